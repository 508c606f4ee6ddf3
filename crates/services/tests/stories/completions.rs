//! Completions: several texts at once, nothing stored, every token counted.

use domain::{ChatMessage, ChatRole, FinishReason, LengthLimit, SamplingRequest, TokenUsage};
use futures_util::StreamExt;
use ports::{GenerationError, GenerationInput, GeneratorDescription, TextGenerator};
use services::{CompletionInput, CompletionPiece, CompletionRequest, ServiceError};
use test_support::{FakeTextGenerator, Gate, Step};

use crate::support::{Server, Settings};

fn continuing(prompts: &[&str]) -> CompletionRequest {
    CompletionRequest {
        input: CompletionInput::Prompts(prompts.iter().map(|prompt| (*prompt).to_owned()).collect()),
        model: None,
        sampling: SamplingRequest { max_new_tokens: Some(8), seed: Some(42), ..SamplingRequest::default() },
        choices: 1,
        logprobs: None,
    }
}

fn answering(message: &str) -> CompletionRequest {
    let message = ChatMessage { role: ChatRole::User, content: message.to_owned() };
    CompletionRequest { input: CompletionInput::Chat(vec![message]), sampling: SamplingRequest::default(), ..continuing(&[]) }
}

#[tokio::test]
async fn a_completion_is_made_counted_and_not_stored() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let completed = server.completions.complete(&ana, continuing(&["Once upon"])).await.unwrap();
    assert_eq!(completed.choices[0].text, " a time");
    assert_eq!(completed.choices[0].finish_reason, FinishReason::Stop);
    assert_eq!(completed.usage, TokenUsage { prompt_tokens: 2, completion_tokens: 2 });
    assert_eq!((completed.head.model.as_str(), completed.head.weights_digest.unwrap().len()), ("default", 64));
    assert_eq!(server.all_texts(&ana).await, []);
    server.background.finish().await;
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 4);
}

#[tokio::test]
async fn several_choices_of_several_prompts_run_beside_each_other_with_seeds_that_follow_from_one() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let request = CompletionRequest { choices: 2, ..continuing(&["Once upon", "There was once"]) };
    let (_, pieces) = server.completions.stream(&ana, request.clone()).await.unwrap();
    let pieces: Vec<_> = pieces.map(Result::unwrap).collect().await;
    let ended: Vec<u32> = pieces
        .iter()
        .filter_map(|piece| if let CompletionPiece::Ended { choice, .. } = piece { Some(*choice) } else { None })
        .collect();
    assert_eq!(ended.len(), 4);
    let usage = TokenUsage { prompt_tokens: 5, completion_tokens: 8 };
    assert_eq!(pieces.last(), Some(&CompletionPiece::Done(usage)), "each prompt is counted once, each choice in full");

    let made = server.generator.requests();
    let of = |index: usize| (made[index].input.clone(), made[index].parameters.seed);
    assert_eq!((of(0).0, of(2).0), (of(1).0, of(3).0));
    assert_eq!((of(0).1, of(1).1), (of(2).1, of(3).1), "a prompt's text does not depend on the prompts beside it");
    assert_eq!(of(0).1.get(), 42);
    assert_ne!(of(0).1, of(1).1);
    let again = server.completions.complete(&ana, request).await.unwrap();
    assert_eq!(again.choices.len(), 4);
    assert_eq!(server.generator.requests()[5].parameters.seed, of(1).1);
}

#[tokio::test]
async fn the_whole_is_set_aside_before_and_what_was_not_used_comes_back() {
    // Two tokens read once and twice eight made are eighteen.
    let server = Server::with_settings(Settings { tokens_per_day: Some(18), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let request = CompletionRequest { choices: 2, ..continuing(&["Once upon"]) };
    server.completions.complete(&ana, request.clone()).await.unwrap();
    let usage = server.limits.usage(&ana).await.unwrap();
    assert_eq!((usage.tokens.used, usage.tokens.reserved), (6, 0));
    let error = server.completions.complete(&ana, request).await.unwrap_err();
    assert!(matches!(error, ServiceError::QuotaExceeded { asked: 18, .. }), "{error}");
}

#[tokio::test]
async fn a_caller_who_goes_away_stops_every_choice_and_pays_for_what_was_made() {
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(Gate::shut())])).await;
    let ana = server.newcomer("ana").await;
    let request = CompletionRequest { choices: 3, ..continuing(&["Once upon"]) };
    let (_, mut pieces) = server.completions.stream(&ana, request).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(pieces.next().await, Some(Ok(CompletionPiece::Text { .. }))));
    }
    drop(pieces);
    server.background.finish().await;
    assert_eq!((server.generator.open_streams(), server.generator.cancelled_streams()), (0, 3));
    let usage = server.limits.usage(&ana).await.unwrap();
    assert_eq!((usage.tokens.used, usage.tokens.reserved), (5, 0));
}

#[tokio::test]
async fn one_choice_that_breaks_ends_all_of_them() {
    let broken = GenerationError::Failed("the runtime is gone".into());
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Fail(broken.clone())])).await;
    let ana = server.newcomer("ana").await;
    let request = CompletionRequest { choices: 2, ..continuing(&["Once upon"]) };
    let (_, pieces) = server.completions.stream(&ana, request).await.unwrap();
    let pieces: Vec<_> = pieces.collect().await;
    assert_eq!(pieces.last().unwrap().as_ref().unwrap_err(), &ServiceError::Generation(broken));
    assert_eq!(pieces.iter().filter(|piece| piece.is_err()).count(), 1);
    assert_eq!(server.generator.open_streams(), 0);
}

#[tokio::test]
async fn what_is_refused_begins_nothing() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let refused = async |request| server.completions.complete(&ana, request).await.unwrap_err();
    assert!(matches!(refused(continuing(&[""])).await, ServiceError::Refused(domain::Refusal::EmptyPrompt)));
    for choices in [0, 9] {
        let error = refused(CompletionRequest { choices, ..continuing(&["Once"]) }).await;
        assert!(matches!(error, ServiceError::Refused(ref refusal) if refusal.field_name() == "n"), "{error}");
    }
    let error = refused(CompletionRequest { model: Some("absent".into()), ..continuing(&["Once"]) }).await;
    assert_eq!(error, ServiceError::ModelNotFound { name: "absent".into() });
    assert_eq!(server.generator.requests().len(), 0);
    let long = "word ".repeat(199);
    let mut request = continuing(&[&long]);
    request.sampling = SamplingRequest { max_length: Some(100), ..SamplingRequest::default() };
    let expected = GenerationError::PromptTooLong { prompt_tokens: 199, limit: 100, context_length: 1024 };
    assert_eq!(refused(request).await, ServiceError::Generation(expected));
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 0);
}

/// The limit of the generation that a request without one became.
async fn limit_of(
    description: impl FnOnce(GeneratorDescription) -> GeneratorDescription,
    request: CompletionRequest,
) -> LengthLimit {
    let generator = FakeTextGenerator::saying([" a"]);
    let description = description(generator.describe());
    let server = Server::with(generator.described_as(description)).await;
    let ana = server.newcomer("ana").await;
    server.completions.complete(&ana, request).await.unwrap();
    server.generator.requests()[0].parameters.length
}

#[tokio::test]
async fn without_a_length_a_chat_model_may_fill_its_context_and_any_other_gets_the_models_default() {
    let chats = |known| GeneratorDescription { answers_chats: true, ..known };
    let endless = |known| GeneratorDescription { answers_chats: true, context_length: 0, ..known };
    assert_eq!(limit_of(chats, answering("Hello")).await, LengthLimit::Total(1024));
    assert_eq!(limit_of(endless, answering("Hello")).await, LengthLimit::New(4096), "a provider's model of unknown context");
    assert_eq!(limit_of(|known| known, answering("Hello")).await, LengthLimit::New(200));
    let silent = CompletionRequest { sampling: SamplingRequest::default(), ..continuing(&["Once"]) };
    assert_eq!(limit_of(chats, silent).await, LengthLimit::New(200));
}

#[tokio::test]
async fn a_conversation_reaches_the_model_as_one_and_probabilities_come_back() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let request = CompletionRequest { logprobs: Some(1), ..answering("Hello there") };
    let completed = server.completions.complete(&ana, request).await.unwrap();
    let asked = &server.generator.requests()[0];
    assert!(matches!(&asked.input, GenerationInput::Chat(messages) if messages[0].content == "Hello there"));
    assert_eq!(completed.usage.prompt_tokens, 3, "the fake counts a token for each message");
    let logprobs = &completed.choices[0].logprobs;
    assert_eq!((logprobs.len(), logprobs[1].token.as_slice()), (2, b" time".as_slice()));
}
