//! A model's chat template, rendered as Hugging Face's `transformers` renders it (`utils/chat_template_utils.py`, version 5): Jinja with
//! `trim_blocks`, `lstrip_blocks` and loop controls, Python's string methods, and the functions `raise_exception` and `strftime_now`.
//!
//! Templates come from strangers, so a render is bounded: in instructions, in recursion and in what it writes; it reaches no file and no
//! other template; filters that take a width are not there. What is not bounded is the size of a single value that a template builds up
//! on purpose (a string that doubles itself): a model that is installed is trusted that far.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use domain::ChatMessage;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use ports::GenerationError;

use super::python_json::tojson;
use crate::text::model_files;

/// The longest template that is parsed. Those with every tool's grammar in them have 30 kB.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Instructions of a render: a long conversation takes some ten thousand, all of these about a tenth of a second.
const FUEL: u64 = 2_000_000;
/// Nested macros, loops and includes.
const MAX_RECURSION: usize = 100;
/// What a render may write beside the messages, and how often it may repeat them.
const MAX_OWN_BYTES: usize = 1 << 20;
const MAX_REPEATS: usize = 4;
const NAME: &str = "chat_template";

/// A parsed template, and the names of special tokens that it may ask for.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_names: BTreeMap<&'static str, String>,
    /// Where it came from.
    path: PathBuf,
}

/// What the template itself says against the messages.
#[derive(Debug)]
struct RefusedByTemplate(String);

impl fmt::Display for RefusedByTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for RefusedByTemplate {}

/// The template in a model's folder, if it has one. The error names the file.
///
/// As in `transformers`, `chat_template.jinja` goes before `chat_template` in `tokenizer_config.json`, which is a template or a list of
/// named ones of which `default` is meant (or the only one).
pub(super) fn read(folder: &Path) -> Result<Option<ChatTemplate>, String> {
    let (own_file, config) = (folder.join("chat_template.jinja"), folder.join("tokenizer_config.json"));
    let found = match model_files::read_text(&own_file)? {
        Some(source) => Some((own_file, source)),
        None => in_config(&config)?.map(|source| (config, source)),
    };
    let Some((path, source)) = found else { return Ok(None) };
    let template = ChatTemplate::parse(path.clone(), &source, model_files::special_names(folder));
    template.map(Some).map_err(|problem| format!("{}: chat template: {problem}", path.display()))
}

fn in_config(path: &Path) -> Result<Option<String>, String> {
    use serde_json::Value as Json;
    let Some(mut config) = model_files::read_object(path)? else { return Ok(None) };
    let refused = |problem: &str| Err(format!("{}: chat_template: {problem}", path.display()));
    match config.remove("chat_template") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(source)) => Ok(Some(source)),
        Some(Json::Array(named)) => {
            let name_of = |entry: &Json| entry.get("name").and_then(Json::as_str).map(str::to_owned);
            let default = named.iter().find(|entry| name_of(entry).as_deref() == Some("default"));
            let only = if let [only] = named.as_slice() { Some(only) } else { None };
            match default.or(only).and_then(|entry| entry.get("template")).and_then(Json::as_str) {
                Some(source) => Ok(Some(source.to_owned())),
                None => refused("has several templates and none of the name 'default'"),
            }
        }
        Some(_) => refused("must be a text or a list of named templates"),
    }
}

impl ChatTemplate {
    fn parse(path: PathBuf, source: &str, special_names: BTreeMap<&'static str, String>) -> Result<Self, String> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("has {} bytes; at most {MAX_TEMPLATE_BYTES} are read", source.len()));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| error.to_string())?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_unknown_method_callback(bounded_python_method);
        environment.add_function("raise_exception", |problem: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, "refused").with_source(RefusedByTemplate(problem)))
        });
        environment.add_function("strftime_now", |format: String| now(&format));
        environment.add_filter("tojson", tojson);
        // They take a width or a count, which could be any number.
        for filter in ["indent", "format", "pprint", "batch", "slice", "round"] {
            environment.remove_filter(filter);
        }
        environment.add_template_owned(NAME, without_generation_tags(source)).map_err(|error| error.to_string())?;
        Ok(Self { environment, source: source.to_owned(), special_names, path })
    }

    /// What it was parsed from.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation, up to where the answer begins.
    pub(super) fn render(&self, messages: &[ChatMessage]) -> Result<String, GenerationError> {
        let contents: usize = messages.iter().map(|message| message.content.len()).sum();
        let mut text = Bounded { bytes: Vec::new(), limit: MAX_OWN_BYTES + MAX_REPEATS * contents };
        let rendered = self.environment.get_template(NAME).and_then(|template| {
            template.render_captured_to(self.variables(messages), &mut text)?;
            Ok(())
        });
        rendered.map_err(|error| self.refusal(&error))?;
        String::from_utf8(text.bytes).map_err(|error| self.broken(&error))
    }

    /// What `apply_chat_template` hands to a template.
    fn variables(&self, messages: &[ChatMessage]) -> Value {
        let message = |message: &ChatMessage| {
            let (role, content) = (message.role.as_str(), message.content.as_str());
            context! { role, content }
        };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        let special = Value::from_pairs(self.special_names.iter().map(|(purpose, name)| (*purpose, name.as_str())));
        context! { messages, tools => (), documents => (), add_generation_prompt => true, ..special }
    }

    /// What the template refuses is the caller's to change; anything else that goes wrong is the template's own fault.
    fn refusal(&self, error: &Error) -> GenerationError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(RefusedByTemplate(problem)) = error.downcast_ref() {
                return GenerationError::InputRefused(format!("the model's chat template refuses these messages: {problem}"));
            }
            cause = error.source();
        }
        if error.kind() == ErrorKind::WriteFailure {
            return self.broken(&"it writes more than a conversation calls for");
        }
        self.broken(error)
    }

    fn broken(&self, error: &dyn fmt::Display) -> GenerationError {
        GenerationError::ModelUnavailable(format!("{}: chat template: {error}", self.path.display()))
    }
}

/// Python's methods of strings, lists and dictionaries, but for `str.format`, which takes widths.
fn bounded_python_method(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    if method == "format" {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    unknown_method_callback(state, value, method, arguments)
}

/// The time here and now, as Python's `strftime` writes it.
fn now(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let written = write!(text, "{}", chrono::Local::now().format(format));
    written.map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: the format is not understood"))?;
    Ok(text)
}

/// `{% generation %}` … `{% endgeneration %}` marks the model's own words for training. It changes nothing in what is rendered, and this
/// engine does not know it.
fn without_generation_tags(source: &str) -> String {
    let mut rest = source;
    let mut text = String::with_capacity(source.len());
    while let Some((before, tag, after)) = next_tag(rest) {
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
        let (open, close) = (inner.starts_with(['-', '+']), inner.ends_with(['-', '+']));
        let word = inner.trim_matches(['-', '+']).trim();
        let replacement = match word {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        text.push_str(before);
        match replacement {
            Some(replacement) => {
                let sign = |there: bool, sign: Option<char>| sign.filter(|_| there).map(String::from).unwrap_or_default();
                let (open, close) = (sign(open, inner.chars().next()), sign(close, inner.chars().last()));
                // Writing to a string does not fail.
                let _ = write!(text, "{{%{open} {replacement} {close}%}}");
            }
            None => text.push_str(tag),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The first `{% … %}` of a text, with what is before and after it.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("{%")?;
    let (before, from_tag) = text.split_at_checked(start)?;
    let (tag, after) = from_tag.split_at_checked(from_tag.find("%}")? + 2)?;
    Some((before, tag, after))
}

/// Takes so many bytes and refuses more.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
