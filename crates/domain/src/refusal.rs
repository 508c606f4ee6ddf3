//! Why a value from outside is not acceptable.

/// A value that breaks a rule of the domain. The text is for people and never repeats a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A prompt without a single visible character (E004).
    #[error("Prompt cannot be empty")]
    EmptyPrompt,
    /// A prompt longer than the server accepts, in characters.
    #[error("prompt has {characters} characters; at most {limit} are accepted")]
    PromptTooLong {
        /// Unicode scalar values in the prompt.
        characters: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// `max_length` or `max_new_tokens` outside its range (E005).
    #[error("{field} must be between {min} and {max}, got {got}")]
    LengthOutOfRange {
        /// The request's own name of the field.
        field: &'static str,
        /// The smallest value allowed.
        min: u32,
        /// The largest value allowed.
        max: u32,
        /// What was asked for.
        got: i64,
    },
    /// `temperature` outside 0–2 (E006).
    #[error("temperature must be between 0 and 2, got {0}")]
    TemperatureOutOfRange(f64),
    /// `top_p` outside 0–1 (E007).
    #[error("top_p must be between 0 and 1, got {0}")]
    TopPOutOfRange(f64),
    /// Any other field that breaks its own rule.
    #[error("{field} {problem}")]
    Field {
        /// The request's own name of the field.
        field: &'static str,
        /// What is wrong and what is allowed, as the rest of a sentence that begins with the field's name.
        problem: String,
    },
}

impl Refusal {
    /// A [`Refusal::Field`].
    pub fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    /// The request's own name of the field that was refused.
    pub fn field_name(&self) -> &'static str {
        match self {
            Self::EmptyPrompt | Self::PromptTooLong { .. } => "prompt",
            Self::LengthOutOfRange { field, .. } | Self::Field { field, .. } => field,
            Self::TemperatureOutOfRange(_) => "temperature",
            Self::TopPOutOfRange(_) => "top_p",
        }
    }
}
