//! A model's name, and where the model behind the name runs.

use std::fmt;

use crate::{ModelDefaults, Refusal};

/// The name a model is asked for by: 1–128 letters, digits, `-`, `_`, `.`, `:`, `/` (so that a hub's own name can serve).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, Refusal> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if (1..=128).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name))
        } else {
            Err(Refusal::field("model", "must have 1 to 128 letters, digits or any of - _ . : /"))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a model comes from and what runs it (`LLM_ID`, or a named model's `llm`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LlmId {
    /// One that ships with the project: `bundled:fairy-tales`.
    Bundled(String),
    /// A local folder in Hugging Face's layout: `file:PATH`.
    Folder(String),
    /// A model of the Hugging Face hub: `gpt2`, `ORG/NAME`, `hf:ORG/NAME@REVISION`.
    Hub {
        /// `gpt2` or `ORG/NAME`.
        repository: String,
        /// A branch, tag or commit; `main` if it was not given.
        revision: String,
    },
    /// A model of a server that speaks OpenAI's API: `openai:NAME`.
    OpenAi(String),
    /// A model of an Ollama server: `ollama:NAME`.
    Ollama(String),
}

impl LlmId {
    /// Reads an identifier, as *Choosing a model* in `api.md` lists them.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        const MAX_BYTES: usize = 512;
        let refused = |problem: &str| Err(Refusal::field("llm", problem));
        if text.len() > MAX_BYTES || text.chars().any(char::is_control) {
            return refused("must have at most 512 bytes and no control characters");
        }
        let (scheme, rest) = text.split_once(':').unwrap_or(("hf", text));
        if rest.trim().is_empty() {
            return refused("must name a model, as in bundled:fairy-tales, gpt2, file:PATH, openai:NAME or ollama:NAME");
        }
        match scheme {
            "bundled" if is_path_segment(rest) => Ok(Self::Bundled(rest.to_owned())),
            "bundled" => refused("bundled: takes one name, as in bundled:fairy-tales"),
            "file" => Ok(Self::Folder(rest.to_owned())),
            "openai" => Ok(Self::OpenAi(rest.to_owned())),
            "ollama" => Ok(Self::Ollama(rest.to_owned())),
            "hf" => Self::parse_hub(rest),
            _ => refused("must begin with bundled:, file:, hf:, openai: or ollama:, or be a name on the Hugging Face hub"),
        }
    }

    fn parse_hub(name: &str) -> Result<Self, Refusal> {
        let (repository, revision) = name.split_once('@').unwrap_or((name, "main"));
        let segments: Vec<&str> = repository.split('/').collect();
        let well_formed =
            segments.len() <= 2 && segments.iter().all(|s| is_path_segment(s)) && revision.split('/').all(is_path_segment);
        if well_formed {
            Ok(Self::Hub { repository: repository.to_owned(), revision: revision.to_owned() })
        } else {
            Err(Refusal::field("llm", "is not a name of the Hugging Face hub, as in gpt2 or ORG/NAME@REVISION"))
        }
    }

    /// Whether somebody else's server runs it.
    pub const fn runs_at_a_provider(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Ollama(_) => true,
            Self::Bundled(_) | Self::Folder(_) | Self::Hub { .. } => false,
        }
    }

    /// What runs it, in a word: for lists, records and metrics.
    pub const fn backend(&self) -> &'static str {
        match self {
            Self::Bundled(_) | Self::Folder(_) | Self::Hub { .. } => "onnxruntime",
            Self::OpenAi(_) => "openai",
            Self::Ollama(_) => "ollama",
        }
    }
}

/// A part of a path that cannot lead anywhere else.
fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl fmt::Display for LlmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled(name) => write!(formatter, "bundled:{name}"),
            Self::Folder(path) => write!(formatter, "file:{path}"),
            Self::Hub { repository, revision } if revision == "main" => formatter.write_str(repository),
            Self::Hub { repository, revision } => write!(formatter, "hf:{repository}@{revision}"),
            Self::OpenAi(name) => write!(formatter, "openai:{name}"),
            Self::Ollama(name) => write!(formatter, "ollama:{name}"),
        }
    }
}

/// A model that callers can ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedModel {
    /// What it is asked for by.
    pub name: ModelName,
    /// What stands behind the name.
    pub llm: LlmId,
    /// What applies where a request, and its user, say nothing.
    pub defaults: ModelDefaults,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_contract_is_read_and_written_back() {
        for text in [
            "bundled:fairy-tales",
            "gpt2",
            "openai-community/gpt2",
            "hf:org/name@v1.0",
            "file:/models/mine",
            "openai:gpt-4o-mini",
            "ollama:llama3.1:8b",
        ] {
            assert_eq!(LlmId::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(LlmId::parse("hf:org/name").unwrap(), LlmId::parse("org/name").unwrap());
    }

    #[test]
    fn what_could_leave_its_folder_is_refused() {
        for text in ["bundled:../secret", "hf:../../etc", "a/b/c", "hf:a/..", "hf:a@../x", "", "openai:", "ftp:x", "a\nb"] {
            assert!(LlmId::parse(text).is_err(), "{text}");
        }
    }
}
