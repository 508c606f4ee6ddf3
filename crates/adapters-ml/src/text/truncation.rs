//! Fits a prompt into the room that a request and the model's context give it.

use domain::{LengthLimit, TokenBudget};
use ports::{GenerationError, GenerationStart, Truncation};

/// Answers the prompt as it is to be read, and what may follow it; or the refusal with its figures.
///
/// Where the oldest tokens may go, as few go as leave room for what was asked for: every new token of a number of new tokens, one new
/// token under a limit in total (what the rest of the total is for is the caller's to say). The first `prefix` tokens stay: they tell the
/// model that a text begins. At least one token of the text itself stays too. A number of new tokens that no prompt leaves room for is
/// cut to the context, as it is without truncation, and the prompt with it only if it does not fit by itself.
pub(super) fn fit(
    mut prompt: Vec<u32>,
    prefix: usize,
    length: LengthLimit,
    context_length: u32,
    truncation: Truncation,
) -> Result<(Vec<u32>, GenerationStart), GenerationError> {
    let count = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
    let kept = match truncation {
        Truncation::Refuse => count,
        Truncation::Oldest => most_prompt_tokens(length, context_length).map_or(count, |most| count.min(most)),
    };
    let kept_text = kept.saturating_sub(u32::try_from(prefix).unwrap_or(u32::MAX));
    let budget = length.budget(kept, context_length).filter(|_| kept == count || kept_text > 0);
    let Some(TokenBudget { max_new_tokens, .. }) = budget else {
        let limit = match length {
            LengthLimit::Total(total) => total.min(context_length),
            LengthLimit::New(_) => context_length,
        };
        return Err(GenerationError::PromptTooLong { prompt_tokens: count, limit, context_length });
    };
    let truncated_tokens = count - kept;
    let end = (prefix + truncated_tokens as usize).min(prompt.len());
    prompt.drain(prefix.min(end)..end);
    Ok((prompt, GenerationStart { prompt_tokens: kept, truncated_tokens, max_new_tokens }))
}

/// The most tokens of a prompt that leave the room it asks for, or `None` where not even an empty one would.
fn most_prompt_tokens(length: LengthLimit, context_length: u32) -> Option<u32> {
    match length {
        LengthLimit::Total(total) => Some(total.min(context_length).saturating_sub(1)),
        LengthLimit::New(new) => context_length.checked_sub(new).filter(|room| *room > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LengthLimit::{New, Total};

    fn fitted(tokens: u32, prefix: usize, length: LengthLimit) -> Option<(Vec<u32>, u32, u32)> {
        let (kept, start) = fit((0..tokens).collect(), prefix, length, 10, Truncation::Oldest).ok()?;
        assert_eq!(u32::try_from(kept.len()), Ok(start.prompt_tokens));
        assert_eq!(start.prompt_tokens + start.truncated_tokens, tokens);
        Some((kept, start.truncated_tokens, start.max_new_tokens))
    }

    #[test]
    fn a_prompt_that_fits_stays_as_it_is() {
        assert_eq!(fitted(3, 0, New(7)), Some((vec![0, 1, 2], 0, 7)));
        assert_eq!(fitted(3, 0, Total(8)), Some((vec![0, 1, 2], 0, 5)));
    }

    #[test]
    fn the_oldest_tokens_go_and_as_few_as_make_room() {
        assert_eq!(fitted(5, 0, New(7)), Some((vec![2, 3, 4], 2, 7)));
        assert_eq!(fitted(12, 0, Total(5)), Some((vec![8, 9, 10, 11], 8, 1)));
        assert_eq!(fitted(12, 0, Total(500)), Some(((3..12).collect(), 3, 1)), "the context is the end");
    }

    #[test]
    fn the_beginning_of_the_text_stays() {
        assert_eq!(fitted(5, 1, New(7)), Some((vec![0, 3, 4], 2, 7)));
        assert_eq!(fitted(5, 1, New(8)), Some((vec![0, 4], 3, 8)));
        assert_eq!(fitted(5, 1, New(9)), None, "nothing of the prompt would be left");
    }

    #[test]
    fn more_new_tokens_than_the_context_are_cut_to_it_and_never_empty_the_prompt() {
        assert_eq!(fitted(3, 0, New(500)), Some((vec![0, 1, 2], 0, 7)));
        assert_eq!(fitted(10, 0, New(500)), None);
        assert_eq!(fitted(1, 0, Total(1)), None);
    }

    #[test]
    fn what_may_not_be_cut_is_refused_with_its_figures() {
        let refusal = fit(vec![0; 12], 0, Total(20), 10, Truncation::Refuse).unwrap_err();
        assert_eq!(refusal, GenerationError::PromptTooLong { prompt_tokens: 12, limit: 10, context_length: 10 });
    }
}
