//! What a completion may go on from.

use domain::{Prompt, Refusal};
use ports::GenerationInput;

use super::{CompletionInput, CompletionRequest};

/// Checks an input against the server's limit and answers one generation's input for each prompt.
pub(super) fn checked(input: CompletionInput, max_characters: usize) -> Result<Vec<GenerationInput>, Refusal> {
    match input {
        CompletionInput::Prompts(prompts) => {
            if prompts.is_empty() {
                return Err(Refusal::EmptyPrompt);
            }
            prompts.into_iter().map(|text| Prompt::new(text, max_characters).map(GenerationInput::Text)).collect()
        }
        CompletionInput::Chat(messages) => {
            let max = CompletionRequest::MAX_MESSAGES;
            if !(1..=max).contains(&messages.len()) {
                return Err(Refusal::field("messages", format!("must hold 1 to {max} messages")));
            }
            let characters: usize = messages.iter().map(|message| message.content.chars().count()).sum();
            if characters > max_characters {
                let problem = format!("have {characters} characters; at most {max_characters} are accepted");
                return Err(Refusal::field("messages", problem));
            }
            Ok(vec![GenerationInput::Chat(messages)])
        }
    }
}

/// How many choices of each of so many inputs are made.
pub(super) fn checked_choices(choices: i64, inputs: usize) -> Result<u32, Refusal> {
    let (max_choices, max_generations) = (CompletionRequest::MAX_CHOICES, CompletionRequest::MAX_GENERATIONS);
    let count = u32::try_from(choices).ok().filter(|_| (1..=max_choices).contains(&choices));
    let Some(count) = count else {
        return Err(Refusal::field("n", format!("must be between 1 and {max_choices}, got {choices}")));
    };
    let generations = inputs.saturating_mul(usize::try_from(count).unwrap_or(usize::MAX));
    if generations > max_generations {
        let problem = format!("and n ask for {generations} texts; a request may ask for {max_generations}");
        return Err(Refusal::field("prompt", problem));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use domain::{ChatMessage, ChatRole};

    use super::*;

    #[test]
    fn a_request_asks_for_a_few_texts_at_once() {
        assert_eq!(checked_choices(8, 2), Ok(8));
        for (choices, inputs) in [(0, 1), (-1, 1), (9, 1), (i64::MAX, 1), (8, 3), (1, 17)] {
            assert!(checked_choices(choices, inputs).is_err(), "{choices} of {inputs}");
        }
    }

    #[test]
    fn a_conversation_is_bounded_like_a_prompt() {
        let said = |content: &str| ChatMessage { role: ChatRole::User, content: content.to_owned() };
        let chat = |messages: Vec<ChatMessage>| checked(CompletionInput::Chat(messages), 10);
        assert!(chat(vec![said("hello"), said("world")]).is_ok());
        assert!(chat(vec![said("hello"), said("worlds")]).is_err());
        assert!(chat(Vec::new()).is_err());
        assert!(chat(vec![said(""); CompletionRequest::MAX_MESSAGES + 1]).is_err());
        assert_eq!(checked(CompletionInput::Prompts(vec!["a".into(), " ".into()]), 10), Err(Refusal::EmptyPrompt));
        assert_eq!(checked(CompletionInput::Prompts(Vec::new()), 10), Err(Refusal::EmptyPrompt));
    }
}
