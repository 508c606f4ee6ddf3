//! How a generation ends where something goes wrong at its very end: what was made is not lost, and costs what it should.

use std::sync::Arc;
use std::time::Duration;

use domain::{FinishReason, SamplingRequest, TokenUsage, TokensOfDay};
use futures_util::StreamExt;
use ports::{GenerationError, MockTextGenerationStore, MockTokenQuotaStore, ReservationOutcome, StoreError};
use services::{CompletionInput, CompletionRequest, ServiceError, TextPiece};
use test_support::{FakeTextGenerator, Gate, Step};
use tokio::time::timeout;

use crate::gated::Gated;
use crate::support::{Server, Settings, prompt};

fn two_tokens() -> FakeTextGenerator {
    FakeTextGenerator::saying([" a", " time"])
}

fn completion() -> CompletionRequest {
    CompletionRequest {
        input: CompletionInput::Prompts(vec!["Once upon".into()]),
        model: None,
        sampling: SamplingRequest::default(),
        choices: 1,
        logprobs: None,
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("the disk is full".into())
}

/// Reads what there is until nothing comes for a while, and goes away then.
async fn leave_when_it_waits<T>(mut pieces: impl StreamExt<Item = T> + Unpin) {
    while timeout(Duration::from_millis(20), pieces.next()).await.is_ok_and(|piece| piece.is_some()) {}
}

#[tokio::test]
async fn a_caller_who_goes_away_while_the_text_is_stored_leaves_it_whole() {
    let slow = Gated::shut();
    let settings = Settings { texts: Some(slow.clone()), database: slow.database.clone(), ..Settings::default() };
    let server = Server::build(two_tokens(), settings).await;
    let ana = server.newcomer("ana").await;
    leave_when_it_waits(server.texts.stream(&ana, prompt("Once upon")).await.unwrap()).await;
    slow.open();
    server.background.finish().await;
    let kept = server.all_texts(&ana).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].generated_text.as_str(), kept[0].finish_reason), ("Once upon a time", FinishReason::Stop));
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens, TokensOfDay { used: 4, reserved: 0 });
}

#[tokio::test]
async fn a_caller_who_goes_away_while_the_tokens_are_settled_pays_for_them() {
    for tokens_per_day in [None, Some(1000)] {
        let slow = Gated::shut();
        let quotas: Arc<Gated> = slow.clone();
        let settings = Settings { quotas: Some(quotas), database: slow.database.clone(), tokens_per_day, ..Settings::default() };
        let server = Server::build(two_tokens(), settings).await;
        let ana = server.newcomer("ana").await;
        leave_when_it_waits(server.texts.stream(&ana, prompt("Once upon")).await.unwrap()).await;
        leave_when_it_waits(server.completions.stream(&ana, completion()).await.unwrap().1).await;
        slow.open();
        server.background.finish().await;
        let tokens = server.limits.usage(&ana).await.unwrap().tokens;
        assert_eq!(tokens, TokensOfDay { used: 8, reserved: 0 }, "{tokens_per_day:?}");
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_settled_take_nobodys_text_away() {
    for tokens_per_day in [None, Some(1000)] {
        let mut quotas = MockTokenQuotaStore::new();
        quotas.expect_reserve().returning(|_, _| Ok(ReservationOutcome::Reserved));
        quotas.expect_settle().returning(|_, _| Err(away()));
        quotas.expect_count().returning(|_| Err(away()));
        let settings = Settings { quotas: Some(Arc::new(quotas)), tokens_per_day, ..Settings::default() };
        let server = Server::build(two_tokens(), settings).await;
        let ana = server.newcomer("ana").await;
        let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
        assert!(server.texts.replay(&ana, text.id).await.unwrap().identical);
        assert_eq!(server.completions.complete(&ana, completion()).await.unwrap().choices[0].text, " a time");
        server.background.finish().await;
    }
}

#[tokio::test]
async fn without_a_quota_nothing_is_written_before_the_end_and_a_completion_does_not_wait_for_that() {
    let slow = Gated::shut();
    let settings = Settings { quotas: Some(slow.clone()), database: slow.database.clone(), ..Settings::default() };
    let server = Server::build(two_tokens(), settings).await;
    let ana = server.newcomer("ana").await;
    let (_, mut pieces) = server.completions.stream(&ana, completion()).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens, TokensOfDay::default(), "nothing is set aside");
    drop(pieces);
    let completed = timeout(Duration::from_secs(5), server.completions.complete(&ana, completion())).await;
    assert_eq!(completed.unwrap().unwrap().usage, TokenUsage { prompt_tokens: 2, completion_tokens: 2 });
    slow.open();
    server.background.finish().await;
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens, TokensOfDay { used: 7, reserved: 0 });
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_keeps_the_text_all_the_same() {
    let mut texts = MockTextGenerationStore::new();
    texts.expect_add().times(2).returning(|_| Err(away()));
    texts.expect_add().times(1).returning(|_| Ok(()));
    let server = Server::with_text_store(two_tokens(), Arc::new(texts)).await;
    let ana = server.newcomer("ana").await;
    assert_eq!(server.texts.generate(&ana, prompt("Once upon")).await.unwrap().generated_text, "Once upon a time");
    server.background.finish().await;
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens, TokensOfDay { used: 4, reserved: 0 });
}

#[tokio::test]
async fn a_text_that_cannot_be_stored_is_an_error_and_costs_nothing() {
    for tokens_per_day in [None, Some(1000)] {
        let mut texts = MockTextGenerationStore::new();
        texts.expect_add().times(5).returning(|_| Err(away()));
        let settings = Settings { texts: Some(Arc::new(texts)), tokens_per_day, ..Settings::default() };
        let server = Server::build(two_tokens(), settings).await;
        let ana = server.newcomer("ana").await;
        let error = server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
        assert_eq!(error, ServiceError::Store(away()));
        server.background.finish().await;
        assert_eq!(server.limits.usage(&ana).await.unwrap().tokens, TokensOfDay::default());
    }
}

#[tokio::test]
async fn what_had_begun_and_is_kept_is_never_told_as_a_refusal() {
    let provider = "openai";
    for error in [
        GenerationError::ProviderUnreachable { provider },
        GenerationError::ProviderBusy { provider, retry_after_seconds: 1 },
        GenerationError::Overloaded { retry_after_seconds: 1 },
    ] {
        let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Fail(error.clone())])).await;
        let ana = server.newcomer("ana").await;
        let told = server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
        let is_no_refusal = matches!(
            told,
            ServiceError::Generation(GenerationError::ProviderFailed { provider: "openai", .. } | GenerationError::Failed(_))
        );
        assert!(is_no_refusal, "{told:?}");
        server.background.finish().await;
        assert_eq!(server.all_texts(&ana).await[0].finish_reason, FinishReason::Interrupted);

        server.generator.follow([Step::Queued(1), Step::Fail(error.clone())]);
        server.texts.remove(&ana, server.all_texts(&ana).await[0].id).await.unwrap();
        let told = server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
        server.background.finish().await;
        let kept = server.all_texts(&ana).await;
        assert_eq!(kept.is_empty(), told == ServiceError::Generation(error), "what is refused stores nothing");
    }
}

#[tokio::test]
async fn a_text_that_the_servers_end_cuts_is_answered_as_far_as_it_came() {
    let steps = [Step::Text(" a".into()), Step::Fail(GenerationError::ShuttingDown)];
    let server = Server::with(FakeTextGenerator::following(steps.clone())).await;
    let ana = server.newcomer("ana").await;
    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    assert_eq!((text.generated_text.as_str(), text.finish_reason), ("Once upon a", FinishReason::Interrupted));
    assert_eq!(server.all_texts(&ana).await, [text]);

    let interrupted = FakeTextGenerator::following(steps.into_iter().take(1)).finishing_with(FinishReason::Interrupted);
    let server = Server::with(interrupted).await;
    let ana = server.newcomer("ana").await;
    let refused = server.completions.complete(&ana, completion()).await.unwrap_err();
    assert_eq!(refused, ServiceError::Generation(GenerationError::ShuttingDown));
    server.background.finish().await;
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 0, "a completion that is no answer costs nothing");
}

#[tokio::test]
async fn a_full_server_refuses_before_it_counts_a_token() {
    let server = Server::with_settings(Settings { tokens_per_day: Some(1000), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    let counted = server.generator.counted_inputs();
    assert_eq!(counted, 1);
    server.generator.refuse_with(Some(GenerationError::Overloaded { retry_after_seconds: 1 }));
    server.texts.generate(&ana, prompt("Once upon")).await.unwrap_err();
    server.completions.complete(&ana, completion()).await.unwrap_err();
    assert_eq!(server.generator.counted_inputs(), counted);
}

#[tokio::test]
async fn a_record_is_streamed_last_and_once() {
    let gate = Gate::shut();
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(gate.clone())])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    gate.let_one_through();
    assert!(matches!(pieces.next().await, Some(Ok(TextPiece::Done(_)))));
    assert!(pieces.next().await.is_none());
    drop(pieces);
    server.background.finish().await;
    assert_eq!(server.all_texts(&ana).await.len(), 1);
}
