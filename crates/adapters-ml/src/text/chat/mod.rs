//! Writes a conversation in the form that a model was trained on.
//!
//! That form is the model's own **chat template** (`chat_template.jinja`, or `chat_template` in `tokenizer_config.json`), rendered as
//! Hugging Face's `apply_chat_template` does. A model without one was not trained to converse; it gets a plain **transcript** to go on
//! with. What people wrote cannot pass for the template's own structure: see [`super::control_tokens`].

mod python_json;
mod template;
mod transcript;

use std::path::Path;

use domain::{ChatMessage, ChatRole};
use ports::GenerationError;

use self::template::ChatTemplate;
use super::control_tokens::{Author, unused_mark};
use super::tokenizer::TextTokenizer;

/// How the answer's text is cut out of what the model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct AnswerForm {
    /// What ends the answer, beside the request's own stop strings.
    pub(super) stops: &'static [&'static str],
    /// Whether the white space before its first word is not part of it.
    pub(super) trims_start: bool,
}

/// How one model reads conversations.
pub(super) struct ChatFormat(Form);

enum Form {
    Template(Box<ChatTemplate>),
    /// There is a template that cannot be used; the text says which file it is in, and why.
    Broken(String),
    Transcript,
}

impl ChatFormat {
    /// Finds a model's template and parses it. A broken one is kept as its problem: the model can still do everything else.
    pub(super) fn load(folder: &Path) -> Self {
        Self(match template::read(folder) {
            Ok(Some(template)) => Form::Template(Box::new(template)),
            Ok(None) => Form::Transcript,
            Err(problem) => {
                tracing::warn!(problem, "a chat template cannot be used");
                Form::Broken(problem)
            }
        })
    }

    /// Whether the model comes with a template: whether it was trained to answer.
    pub(super) fn is_trained(&self) -> bool {
        !matches!(self.0, Form::Transcript)
    }

    /// How to cut the answer out.
    pub(super) fn answer_form(&self) -> AnswerForm {
        match self.0 {
            Form::Transcript => transcript::ANSWER,
            Form::Template(_) | Form::Broken(_) => AnswerForm::default(),
        }
    }

    /// The tokens after which the answer begins.
    pub(super) fn tokens(&self, messages: &[ChatMessage], tokenizer: &TextTokenizer) -> Result<Vec<u32>, GenerationError> {
        if messages.is_empty() {
            return Err(GenerationError::InputRefused("a conversation needs at least one message".to_owned()));
        }
        let (messages, mark) = self.marked(messages, tokenizer)?;
        // A template writes the token that begins a text itself.
        let (text, add_special_tokens) = match &self.0 {
            Form::Template(template) => (template.render(&messages)?, false),
            Form::Transcript => (transcript::write(&messages), true),
            Form::Broken(problem) => return Err(GenerationError::ModelUnavailable(problem.clone())),
        };
        let tokens = tokenizer.encode_marked(&text, mark, add_special_tokens);
        tokens.map_err(|error| GenerationError::InputRefused(error.to_string()))
    }

    /// The messages with the names of control tokens marked in them, and the mark, if there are any.
    fn marked(
        &self,
        messages: &[ChatMessage],
        tokenizer: &TextTokenizer,
    ) -> Result<(Vec<ChatMessage>, Option<char>), GenerationError> {
        let control = tokenizer.control_tokens();
        let author = |message: &ChatMessage| if message.role == ChatRole::Assistant { Author::Model } else { Author::Person };
        if !messages.iter().any(|message| control.are_named_in(&message.content, author(message))) {
            return Ok((messages.to_vec(), None));
        }
        let template = if let Form::Template(template) = &self.0 { template.source() } else { "" };
        let texts = messages.iter().map(|message| message.content.as_str()).chain([template]);
        let mark = unused_mark(texts).ok_or_else(|| {
            GenerationError::InputRefused("the messages use up all characters of Unicode's private use area".to_owned())
        })?;
        let mark_in = |message: &ChatMessage| {
            let content = control.marked(&message.content, author(message), mark);
            ChatMessage { role: message.role, content }
        };
        Ok((messages.iter().map(mark_in).collect(), Some(mark)))
    }
}

#[cfg(test)]
mod tests;
