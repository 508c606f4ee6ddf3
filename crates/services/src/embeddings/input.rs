//! What vectors may be made of.

use domain::{Prompt, Refusal};
use ports::EmbeddingInput;

use super::{EmbeddingLimits, EmbeddingSource};

/// More numbers than any model's vector has.
const MAX_DIMENSIONS: i64 = 65_536;

/// Checks inputs against the server's limits.
pub(super) fn checked(sources: Vec<EmbeddingSource>, limits: EmbeddingLimits) -> Result<Vec<EmbeddingInput>, Refusal> {
    if sources.is_empty() {
        return Err(Refusal::EmptyPrompt);
    }
    if sources.len() > limits.inputs {
        let problem = format!("holds {} inputs; a request may hold {}", sources.len(), limits.inputs);
        return Err(Refusal::field("input", problem));
    }
    sources.into_iter().map(|source| checked_input(source, limits.prompt_characters)).collect()
}

fn checked_input(source: EmbeddingSource, limit: usize) -> Result<EmbeddingInput, Refusal> {
    match source {
        EmbeddingSource::Text(text) => Prompt::new(text, limit).map(EmbeddingInput::Text),
        EmbeddingSource::Tokens(tokens) if tokens.is_empty() => Err(Refusal::EmptyPrompt),
        // A token stands for a character at the least.
        EmbeddingSource::Tokens(tokens) if tokens.len() > limit => {
            Err(Refusal::PromptTooLong { characters: tokens.len(), limit })
        }
        EmbeddingSource::Tokens(tokens) => Ok(EmbeddingInput::Tokens(tokens)),
    }
}

/// How many numbers each vector is to have.
pub(super) fn checked_dimensions(dimensions: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(asked) = dimensions else { return Ok(None) };
    let checked = u32::try_from(asked).ok().filter(|_| (1..=MAX_DIMENSIONS).contains(&asked));
    let refusal = || Refusal::field("dimensions", format!("must be between 1 and {MAX_DIMENSIONS}, got {asked}"));
    checked.map(Some).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_a_few_inputs_none_of_them_empty_or_too_long() {
        let limits = EmbeddingLimits { prompt_characters: 5, inputs: 2 };
        let text = |words: &str| EmbeddingSource::Text(words.to_owned());
        assert!(checked(vec![text("wolf"), EmbeddingSource::Tokens(vec![1; 5])], limits).is_ok());
        for empty in [vec![], vec![text("a"), text(" \n")], vec![EmbeddingSource::Tokens(vec![])]] {
            assert_eq!(checked(empty, limits), Err(Refusal::EmptyPrompt));
        }
        for too_long in [text("wolves"), EmbeddingSource::Tokens(vec![1; 6])] {
            assert_eq!(checked(vec![too_long], limits), Err(Refusal::PromptTooLong { characters: 6, limit: 5 }));
        }
        let refusal = checked(vec![text("a"), text("b"), text("c")], limits).unwrap_err();
        assert_eq!(refusal.to_string(), "input holds 3 inputs; a request may hold 2");
    }

    #[test]
    fn dimensions_are_a_number_of_numbers() {
        assert_eq!(checked_dimensions(None), Ok(None));
        assert_eq!(checked_dimensions(Some(256)), Ok(Some(256)));
        for asked in [0, -1, MAX_DIMENSIONS + 1, i64::MAX] {
            assert_eq!(checked_dimensions(Some(asked)).unwrap_err().field_name(), "dimensions");
        }
    }
}
