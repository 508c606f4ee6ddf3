//! How large a context Ollama is to give to a request, and what does not fit one.
//!
//! Nobody can count tokens here before Ollama does. A newer Ollama is told to refuse what does not fit (`truncate`, `shift`), so an
//! estimate is enough to ask for a context by. An older one ignores both fields and cuts a prompt without a word: for it a prompt is taken
//! to be as long as it may well be, its context is always asked for in so many words, and what may not fit is refused here.

use ports::{GenerationError, GenerationInput};

use super::wire::Details;

/// The context that Ollama gives to a model unless it is told otherwise (`OLLAMA_CONTEXT_LENGTH`).
const DEFAULT_NUM_CTX: u32 = 4096;
/// New tokens provided for where a request leaves a text all the room there is, as chats do. Few answers are longer, and the memory of a
/// context is taken whether it is used or not; one that is longer ends where the context does.
const OPEN_ENDED_TOKENS: u32 = 2048;
/// The first version that refuses what does not fit, in `/api/generate` and `/api/chat` alike, where it is asked to.
const FIRST_THAT_REFUSES: [u32; 3] = [0, 12, 6];
/// What a model's template puts around each message, at the most that is usual.
const TOKENS_AROUND_A_MESSAGE: u32 = 8;

/// Whether this version, as `/api/version` tells it, refuses a prompt that does not fit. One that tells nothing that can be read does not.
pub(super) fn refuses_what_does_not_fit(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let numbers: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    numbers >= FIRST_THAT_REFUSES
}

/// The context to ask for, or nothing where the usual one will do. In powers of two, since Ollama loads a model again for each other size.
pub(super) fn num_ctx(
    details: Details,
    refuses: bool,
    input: &GenerationInput,
    max_new_tokens: u32,
) -> Result<Option<u32>, GenerationError> {
    let open_ended = max_new_tokens.saturating_add(1) >= details.context_length;
    let new_tokens = if open_ended { max_new_tokens.min(OPEN_ENDED_TOKENS) } else { max_new_tokens };
    let usual = details.num_ctx.unwrap_or(DEFAULT_NUM_CTX);
    let most = if details.context_length == 0 { usual } else { details.context_length };
    let sized = |needed: u32| needed.checked_next_power_of_two().unwrap_or(u32::MAX).min(most);
    if refuses {
        let asked = sized(input.estimated_tokens().saturating_add(new_tokens));
        return Ok((asked > usual).then_some(asked));
    }
    let prompt_tokens = tokens_at_most(input);
    let given = sized(prompt_tokens.saturating_add(new_tokens)).max(usual.min(most));
    // Where a text may fill what is left, there must be a token left to fill; else all that it may have.
    let least = prompt_tokens.saturating_add(if open_ended { 1 } else { new_tokens });
    if least > given {
        return Err(GenerationError::InputRefused(format!(
            "this version of ollama cuts a prompt that does not fit without saying so, and this one may not fit: with what is to follow it \
             may take {least} tokens of {given}; make it shorter, or update ollama to {}",
            FIRST_THAT_REFUSES.map(|number| number.to_string()).join(".")
        )));
    }
    Ok(Some(given))
}

/// The same for inputs of embeddings, of which the longest has about so many tokens: `/api/embed` has refused what does not fit from its
/// first version on.
pub(super) fn embedding_num_ctx(details: Details, longest_tokens: u32) -> Option<u32> {
    let usual = details.num_ctx.unwrap_or(DEFAULT_NUM_CTX);
    let most = if details.context_length == 0 { usual } else { details.context_length };
    let asked = longest_tokens.checked_next_power_of_two().unwrap_or(u32::MAX).min(most);
    (asked > usual).then_some(asked)
}

/// As many tokens as an input may well have. English has about four characters a token, code and other languages in Latin script rarely
/// fewer than two; what is written otherwise has about a token a character, of two bytes and more.
fn tokens_at_most(input: &GenerationInput) -> u32 {
    let messages = match input {
        GenerationInput::Text(_) => 1,
        GenerationInput::Chat(messages) => u32::try_from(messages.len()).unwrap_or(u32::MAX),
    };
    let tokens = u32::try_from(input.bytes().div_ceil(2)).unwrap_or(u32::MAX);
    tokens.saturating_add(messages.saturating_mul(TOKENS_AROUND_A_MESSAGE))
}

#[cfg(test)]
mod tests {
    use domain::Prompt;

    use super::*;

    const DETAILS: Details = Details { context_length: 32_768, num_ctx: None, answers_chats: true, generates: true };

    fn prompt(bytes: usize) -> GenerationInput {
        GenerationInput::Text(Prompt::new("a".repeat(bytes), usize::MAX).unwrap())
    }

    #[test]
    fn a_version_that_cannot_be_read_is_taken_for_an_old_one() {
        for (version, refuses) in [
            ("0.12.6", true),
            ("0.12.6-rc0", true),
            ("0.13.0", true),
            ("1.0", true),
            ("0.12.5", false),
            ("0.9.12", false),
            ("0.0.0", false),
            ("", false),
            ("dev", false),
        ] {
            assert_eq!(refuses_what_does_not_fit(version), refuses, "{version}");
        }
    }

    #[test]
    fn a_newer_server_is_asked_for_more_than_the_usual_context_where_that_is_needed() {
        let of = |bytes, new_tokens| num_ctx(DETAILS, true, &prompt(bytes), new_tokens);
        assert_eq!(of(9_000, 1_000), Ok(None));
        assert_eq!(of(9_000, 2_000), Ok(Some(8192)));
        assert_eq!(of(10_000_000, 10), Ok(Some(32_768)), "which it then refuses itself");
    }

    #[test]
    fn an_older_server_is_always_told_and_gets_nothing_that_may_not_fit() {
        let of = |bytes, new_tokens| num_ctx(DETAILS, false, &prompt(bytes), new_tokens);
        assert_eq!(of(10, 20), Ok(Some(4096)), "its own default may be smaller");
        assert_eq!(of(8_000, 1_000), Ok(Some(8192)));
        assert_eq!(of(65_000, 100), Ok(Some(32_768)));
        let Err(GenerationError::InputRefused(told)) = of(66_000, 100) else { panic!("it may not fit") };
        assert!(told.contains("33108 tokens of 32768") && told.contains("0.12.6"), "{told}");
        assert_eq!(of(65_000, 32_767), Ok(Some(32_768)), "an open end takes what is left");
        assert!(of(66_000, 32_767).is_err());
        let unknown = Details { context_length: 0, ..DETAILS };
        assert!(num_ctx(unknown, false, &prompt(9_000), 100).is_err());
        assert_eq!(num_ctx(unknown, false, &prompt(1_000), 100), Ok(Some(4096)));
    }
}
