//! Making texts and keeping them.

use domain::{FinishReason, PageRequest, TokenUsage};
use futures_util::StreamExt;
use ports::GenerationError;
use services::{ServiceError, TextChange, TextPiece};
use test_support::{FakeTextGenerator, Gate, Step};

use crate::support::{Server, prompt};

#[tokio::test]
async fn a_text_is_the_prompt_and_what_follows_and_its_record_tells_how_it_was_made() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    assert_eq!(text.generated_text, "Once upon a time");
    assert_eq!(text.usage, TokenUsage { prompt_tokens: 2, completion_tokens: 2 });
    assert_eq!((text.finish_reason, text.model.as_str()), (FinishReason::Stop, "default"));
    assert_eq!(text.weights_digest.as_deref(), Some("0".repeat(64).as_str()));
    assert_eq!(server.texts.get(&ana, text.id).await.unwrap(), text);
    assert_eq!(server.generator.requests()[0].parameters.seed, text.parameters.seed, "the stored seed is the one that was used");
}

#[tokio::test]
async fn a_stream_hands_out_the_pieces_and_then_the_record() {
    let server =
        Server::with(FakeTextGenerator::following([Step::Queued(3), Step::Text(" a".into()), Step::Text(" time".into())])).await;
    let ana = server.newcomer("ana").await;
    let pieces: Vec<_> = server.texts.stream(&ana, prompt("Once upon")).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(pieces[0], TextPiece::Queued { position: 3 });
    assert_eq!(pieces[1..3], [TextPiece::Text(" a".into()), TextPiece::Text(" time".into())]);
    let TextPiece::Done(record) = &pieces[3] else { panic!("the last piece is the record") };
    assert_eq!((pieces.len(), record.generated_text.as_str()), (4, "Once upon a time"));
}

#[tokio::test]
async fn what_a_caller_who_went_away_was_given_is_kept_as_interrupted() {
    let gate = Gate::shut();
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(gate)])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap(), TextPiece::Text(" a".into()));

    drop(pieces);
    server.background.finish().await;

    assert_eq!((server.generator.open_streams(), server.generator.cancelled_streams()), (0, 1));
    let kept = server.all_texts(&ana).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].generated_text.as_str(), kept[0].finish_reason), ("Once upon a", FinishReason::Interrupted));
    assert_eq!(kept[0].usage, TokenUsage { prompt_tokens: 2, completion_tokens: 1 });
}

#[tokio::test]
async fn who_leaves_the_queue_leaves_nothing_behind() {
    let server = Server::with(FakeTextGenerator::following([Step::Queued(1), Step::Wait(Gate::shut())])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    server.background.finish().await;
    assert_eq!(server.all_texts(&ana).await, []);
}

#[tokio::test]
async fn a_generation_that_breaks_midway_answers_its_error_and_keeps_what_was_made() {
    let broken = GenerationError::Failed("the runtime is gone".into());
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Fail(broken.clone())])).await;
    let ana = server.newcomer("ana").await;
    let error = server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
    assert_eq!(error, ServiceError::Generation(broken));
    server.background.finish().await;
    let kept = server.all_texts(&ana).await;
    assert_eq!(kept[0].finish_reason, FinishReason::Interrupted);
}

#[tokio::test]
async fn what_is_refused_stores_nothing() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    for refusal in [GenerationError::Overloaded { retry_after_seconds: 2 }, GenerationError::ShuttingDown] {
        server.generator.refuse_with(Some(refusal.clone()));
        let error = server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
        assert_eq!(error, ServiceError::Generation(refusal));
    }
    server.generator.refuse_with(None);
    assert!(matches!(server.texts.generate(&ana, prompt("  ")).await, Err(ServiceError::Refused(domain::Refusal::EmptyPrompt))));
    assert!(matches!(server.texts.generate(&ana, prompt(&"x".repeat(1001))).await, Err(ServiceError::Refused(_))));
    let mut unknown = prompt("Once upon");
    unknown.model = Some("absent".into());
    let error = server.texts.generate(&ana, unknown).await.unwrap_err();
    assert_eq!(error, ServiceError::ModelNotFound { name: "absent".into() });
    server.background.finish().await;
    assert_eq!(server.all_texts(&ana).await, []);
}

#[tokio::test]
async fn a_prompt_without_room_is_refused_with_its_counts() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let mut request = prompt("one two three");
    request.sampling.max_length = Some(3);
    let error = server.texts.generate(&ana, request).await.unwrap_err();
    let expected = GenerationError::PromptTooLong { prompt_tokens: 3, limit: 3, context_length: 1024 };
    assert_eq!(error, ServiceError::Generation(expected));
}

#[tokio::test]
async fn an_account_removed_while_its_text_was_made_keeps_nothing() {
    let gate = Gate::shut();
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(gate.clone())])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    server.accounts.delete_own(&ana).await.unwrap();
    gate.let_one_through();
    assert!(matches!(pieces.next().await, Some(Ok(TextPiece::Done(_)))), "the caller still gets what they asked for");
    assert_eq!(server.all_texts(&ana).await, []);
}

#[tokio::test]
async fn nobody_reads_changes_or_removes_what_is_anothers_but_an_admin() {
    let server = Server::start().await;
    let (admin, ana, bob) = (server.newcomer("admin").await, server.newcomer("ana").await, server.newcomer("bob").await);
    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    let not_found = ServiceError::TextGenerationNotFound;
    assert_eq!(server.texts.get(&bob, text.id).await, Err(not_found.clone()));
    assert_eq!(server.texts.edit(&bob, text.id, TextChange::default()).await, Err(not_found.clone()));
    assert_eq!(server.texts.remove(&bob, text.id).await, Err(not_found));
    assert_eq!(server.texts.list(&bob, PageRequest::default()).await.unwrap().items, []);
    assert_eq!(server.texts.get(&admin, text.id).await.unwrap(), text);
    assert_eq!(server.texts.list(&admin, PageRequest::default()).await.unwrap().items, [], "an admin's list is their own");
}

#[tokio::test]
async fn a_text_can_be_edited_and_removed_by_its_owner() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    let change = TextChange { generated_text: Some("Once upon a midnight dreary".into()), prompt: None };
    let edited = server.texts.edit(&ana, text.id, change).await.unwrap();
    assert_eq!((edited.prompt.as_str(), edited.generated_text.as_str()), ("Once upon", "Once upon a midnight dreary"));
    let too_long = TextChange { generated_text: Some("x".repeat(16_001)), prompt: None };
    assert!(matches!(server.texts.edit(&ana, text.id, too_long).await, Err(ServiceError::Refused(_))));
    server.texts.remove(&ana, text.id).await.unwrap();
    assert_eq!(server.texts.get(&ana, text.id).await, Err(ServiceError::TextGenerationNotFound));
}

#[tokio::test]
async fn a_list_without_pages_ends_somewhere_and_says_so() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    for texts in 1..=251 {
        server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
        if matches!(texts, 1 | 200 | 250) {
            assert!(!server.texts.list_all(&ana).await.unwrap().is_cut, "{texts} are listed whole");
            assert_eq!(server.all_texts(&ana).await.len(), texts);
        }
    }
    assert!(server.texts.list_all(&ana).await.unwrap().is_cut);
    let all = server.all_texts(&ana).await;
    assert_eq!(all.len(), 250);
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
}
