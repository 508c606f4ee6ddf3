//! Where a text ends at the latest, in tokens.

use crate::Refusal;

/// A limit on a text's length. Which of the two a caller gave matters: only the model knows how many tokens its prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthLimit {
    /// Prompt and continuation together (`max_length`, as Hugging Face's pipeline counts).
    Total(u32),
    /// The continuation alone (`max_new_tokens`).
    New(u32),
}

/// How many tokens a prompt has and how many may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBudget {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The most tokens that may follow; at least 1.
    pub max_new_tokens: u32,
}

impl LengthLimit {
    /// The largest number of tokens any model here is asked for.
    pub const MAX: u32 = 1_048_576;

    /// Checks the two fields of a request; if neither is given, the model's default total applies.
    pub fn resolve(max_length: Option<i64>, max_new_tokens: Option<i64>, default_total: u32) -> Result<Self, Refusal> {
        match (max_length, max_new_tokens) {
            (Some(_), Some(_)) => Err(Refusal::field("max_new_tokens", "must not be given together with max_length")),
            (Some(total), None) => checked_length("max_length", total).map(Self::Total),
            (None, Some(new)) => checked_length("max_new_tokens", new).map(Self::New),
            (None, None) => Ok(Self::Total(default_total)),
        }
    }

    /// What is left for the continuation of a prompt in a model with this context, or `None` where there is no room for one token.
    ///
    /// A limit beyond the context ends at the context. A default total that the prompt alone fills is no room either: the text would
    /// be cut before it began, and the caller is told so.
    pub fn budget(self, prompt_tokens: u32, context_length: u32) -> Option<TokenBudget> {
        let room = context_length.checked_sub(prompt_tokens)?;
        let asked = match self {
            Self::Total(total) => total.checked_sub(prompt_tokens)?,
            Self::New(new) => new,
        };
        let max_new_tokens = asked.min(room);
        (max_new_tokens > 0).then_some(TokenBudget { prompt_tokens, max_new_tokens })
    }
}

/// `got`, if a model can be asked for so many tokens (E005).
pub(crate) fn checked_length(field: &'static str, got: i64) -> Result<u32, Refusal> {
    u32::try_from(got).ok().filter(|length| (1..=LengthLimit::MAX).contains(length)).ok_or(Refusal::LengthOutOfRange {
        field,
        min: 1,
        max: LengthLimit::MAX,
        got,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_counts_the_prompt_and_a_number_of_new_tokens_does_not() {
        let budget = |limit: LengthLimit, prompt| limit.budget(prompt, 100).map(|b| b.max_new_tokens);
        assert_eq!(budget(LengthLimit::Total(50), 10), Some(40));
        assert_eq!(budget(LengthLimit::New(50), 10), Some(50));
        assert_eq!(budget(LengthLimit::New(500), 10), Some(90), "the context is the end");
        assert_eq!(budget(LengthLimit::Total(10), 10), None);
        assert_eq!(budget(LengthLimit::New(1), 100), None);
        assert_eq!(budget(LengthLimit::New(1), 101), None);
    }

    #[test]
    fn lengths_outside_the_range_and_both_at_once_are_refused() {
        assert!(LengthLimit::resolve(Some(1), Some(1), 50).is_err());
        for bad in [0, -1, i64::MAX] {
            assert!(matches!(LengthLimit::resolve(Some(bad), None, 50), Err(Refusal::LengthOutOfRange { .. })));
        }
        assert_eq!(LengthLimit::resolve(None, None, 50), Ok(LengthLimit::Total(50)));
    }
}
