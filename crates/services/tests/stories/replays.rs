//! Making a text again from its record.

use std::sync::Arc;

use domain::{FinishReason, LlmId, ModelDefaults, ModelName, NamedModel, TextGeneration};
use futures_util::StreamExt;
use ports::{GeneratorDescription, ModelStore, TextGenerationStore, TextGenerator, Truncation};
use services::{ServiceError, TextChange};
use test_support::builders::a_text_generation;
use test_support::{FakeDatabase, FakeTextGenerator, Gate, Step};

use crate::support::{Server, prompt};

fn reason(error: ServiceError) -> String {
    let ServiceError::NotReplayable { reason } = error else { panic!("{error}") };
    reason
}

#[tokio::test]
async fn a_text_is_made_again_with_its_own_parameters_and_told_to_be_the_same() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let record = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    let replay = server.texts.replay(&ana, record.id).await.unwrap();
    assert!(replay.identical);
    assert_eq!((replay.generated_text.as_str(), replay.usage), ("Once upon a time", record.usage));
    let [first, second] = &server.generator.requests()[..] else { panic!("two generations") };
    assert_eq!((&first.input, &first.parameters), (&second.input, &second.parameters));
    assert_eq!(server.all_texts(&ana).await, [record], "a replay is not stored");
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 8, "and costs what the text cost");
}

#[tokio::test]
async fn another_text_is_told_to_be_another() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let record = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    server.generator.follow([Step::Text(" another time".into())]);
    let replay = server.texts.replay(&ana, record.id).await.unwrap();
    assert!(!replay.identical);
    assert_eq!((replay.generated_text.as_str(), replay.record), ("Once upon another time", record));
}

#[tokio::test]
async fn an_interrupted_text_is_made_to_the_end_that_it_would_have_had() {
    let server = Server::with(FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(Gate::shut())])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    server.background.finish().await;
    let record = server.all_texts(&ana).await.remove(0);
    assert_eq!(record.finish_reason, FinishReason::Interrupted);

    server.generator.follow([Step::Text(" a".into()), Step::Text(" time".into())]);
    let replay = server.texts.replay(&ana, record.id).await.unwrap();
    assert_eq!((replay.identical, replay.generated_text.as_str()), (true, "Once upon a time"));
    assert_eq!(replay.finish_reason, FinishReason::Stop);
}

#[tokio::test]
async fn a_prompt_that_was_cut_is_cut_again() {
    let generator = FakeTextGenerator::saying([" a"]);
    let description = GeneratorDescription { context_length: 5, ..generator.describe() };
    let server = Server::with(generator.described_as(description)).await;
    let ana = server.newcomer("ana").await;
    let mut request = prompt("one two three four five six");
    request.truncation = Truncation::Oldest;
    request.sampling.max_new_tokens = Some(2);
    let record = server.texts.generate(&ana, request).await.unwrap();
    assert_eq!((record.truncated_tokens, record.usage.prompt_tokens), (3, 3));
    assert_eq!(record.generated_text, "one two three four five six a", "the record holds the whole prompt");
    assert!(server.texts.replay(&ana, record.id).await.unwrap().identical);
}

#[tokio::test]
async fn a_text_whose_words_were_changed_is_not_made_again() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let record = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    let change = TextChange { generated_text: Some("mine".into()), prompt: None };
    assert!(server.texts.edit(&ana, record.id, change).await.unwrap().edited);
    assert!(reason(server.texts.replay(&ana, record.id).await.unwrap_err()).contains("changed"));
}

/// Why a text with this record cannot be made again by a server whose model is described so.
async fn refusal(
    describe: impl FnOnce(GeneratorDescription) -> GeneratorDescription,
    change: impl FnOnce(&mut TextGeneration),
) -> String {
    let texts = Arc::new(FakeDatabase::default());
    let generator = FakeTextGenerator::saying([" a", " time"]);
    let description = describe(generator.describe());
    let server = Server::on(generator.described_as(description), texts.clone()).await;
    let ana = server.newcomer("ana").await;
    let mut record = a_text_generation(ana.user.id);
    change(&mut record);
    let id = record.id;
    TextGenerationStore::add(&*texts, record).await.unwrap();
    let lost = NamedModel {
        name: ModelName::new("lost").unwrap(),
        llm: LlmId::parse("file:/lost").unwrap(),
        defaults: ModelDefaults::default(),
    };
    ModelStore::add(&*texts, lost).await.unwrap();
    reason(server.texts.replay(&ana, id).await.unwrap_err())
}

#[tokio::test]
async fn what_need_not_come_out_the_same_is_refused_with_the_reason() {
    let unchanged = |description| description;
    let provider = refusal(unchanged, |record| record.llm = LlmId::parse("openai:gpt-4o").unwrap()).await;
    assert!(provider.contains("provider"), "{provider}");
    let removed = refusal(unchanged, |record| record.llm = LlmId::parse("gpt2").unwrap()).await;
    assert!(removed.contains("no model of this server is gpt2"), "{removed}");
    let lost = refusal(unchanged, |record| record.llm = LlmId::parse("file:/lost").unwrap()).await;
    assert!(lost.contains("not available"), "{lost}");
    let digest = refusal(unchanged, |record| record.weights_digest = Some("f".repeat(64))).await;
    assert!(digest.contains("weights"), "{digest}");
    let precision = refusal(|known| GeneratorDescription { reproducible: false, ..known }, |_| {}).await;
    assert!(precision.contains("precision"), "{precision}");
}

#[tokio::test]
async fn nobody_replays_what_is_anothers_but_an_admin() {
    let server = Server::start().await;
    let (admin, ana, bob) = (server.newcomer("admin").await, server.newcomer("ana").await, server.newcomer("bob").await);
    let record = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    assert_eq!(server.texts.replay(&bob, record.id).await, Err(ServiceError::TextGenerationNotFound));
    assert!(server.texts.replay(&admin, record.id).await.unwrap().identical);
    assert!(server.audited(&admin).await.contains(&domain::AuditAction::OthersRecordAccessed));
}

#[tokio::test]
async fn a_record_tells_where_the_time_went() {
    let gate = Gate::shut();
    let server =
        Server::with(FakeTextGenerator::following([Step::Queued(1), Step::Wait(gate.clone()), Step::Text(" a".into())])).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, prompt("Once upon")).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    server.clock.advance(chrono::TimeDelta::milliseconds(30));
    gate.let_one_through();
    pieces.next().await.unwrap().unwrap();
    server.clock.advance(chrono::TimeDelta::milliseconds(12));
    let Some(Ok(services::TextPiece::Done(record))) = pieces.next().await else { panic!("it is done") };
    assert_eq!((record.queued_ms, record.first_token_ms, record.duration_ms), (Some(30), Some(30), 42));
}
