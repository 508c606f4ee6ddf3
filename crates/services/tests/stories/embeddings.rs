//! Embeddings: made by the model that a name stands for, bounded, counted, and stored nowhere.

use std::sync::Arc;

use domain::Refusal;
use ports::{EmbeddingInput, GenerationError};
use services::{EmbeddingOrder, EmbeddingSource, ModelSpec, ServiceError};
use test_support::{FakeTextEmbedder, Gate};

use crate::support::{Server, Settings};

fn of(texts: &[&str]) -> EmbeddingOrder {
    let inputs = texts.iter().map(|text| EmbeddingSource::Text((*text).to_owned())).collect();
    EmbeddingOrder { inputs, model: None, dimensions: None }
}

#[tokio::test]
async fn vectors_are_made_in_order_and_their_tokens_counted() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let made = server.embeddings.embed(&ana, of(&["once upon a time", "a wolf", "once upon a time"])).await.unwrap();
    assert_eq!((made.model.as_str(), made.vectors.len(), made.prompt_tokens), ("default", 3, 10));
    assert_eq!(made.vectors[0], made.vectors[2]);
    assert_ne!(made.vectors[0], made.vectors[1]);
    server.background.finish().await;
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 10);
    assert_eq!(server.all_texts(&ana).await, []);
}

#[tokio::test]
async fn the_order_reaches_the_model_as_it_is_and_for_its_caller() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let inputs = vec![EmbeddingSource::Tokens(vec![1, 2, 3])];
    server.embeddings.embed(&ana, EmbeddingOrder { inputs, dimensions: Some(3), ..of(&[]) }).await.unwrap();
    let request = &server.embedder.requests()[0];
    assert_eq!(request.inputs, [EmbeddingInput::Tokens(vec![1, 2, 3])]);
    assert_eq!((request.dimensions, request.owner), (Some(3), ports::Owner::User(ana.user.id)));
}

#[tokio::test]
async fn a_named_model_makes_vectors_as_it_makes_texts_and_an_unknown_one_is_not_found() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let llm = "bundled:fairy-tales".to_owned();
    let spec = ModelSpec { name: "search".into(), llm, max_length: None, temperature: None, top_p: None };
    server.models.add(&admin, spec).await.unwrap();
    let named = |name: &str| EmbeddingOrder { model: Some(name.to_owned()), ..of(&["a wolf"]) };
    assert_eq!(server.embeddings.embed(&admin, named("search")).await.unwrap().model.as_str(), "search");
    let unknown = server.embeddings.embed(&admin, named("text-embedding-3-small")).await.unwrap_err();
    assert_eq!(unknown, ServiceError::ModelNotFound { name: "text-embedding-3-small".into() });
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_before_a_model_is_asked() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let refused = async |order| match server.embeddings.embed(&ana, order).await {
        Err(ServiceError::Refused(refusal)) => refusal,
        other => panic!("{other:?} instead of a refusal"),
    };
    assert_eq!(refused(of(&[])).await, Refusal::EmptyPrompt);
    assert_eq!(refused(of(&["a", " "])).await, Refusal::EmptyPrompt);
    assert_eq!(refused(of(&["a"; 5])).await.field_name(), "input");
    assert!(matches!(refused(of(&[&"a".repeat(1001)])).await, Refusal::PromptTooLong { limit: 1000, .. }));
    assert_eq!(refused(EmbeddingOrder { dimensions: Some(0), ..of(&["a"]) }).await.field_name(), "dimensions");
    assert_eq!(server.embedder.requests().len(), 0);
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 0);
}

#[tokio::test]
async fn an_input_beyond_the_context_is_named_where_there_are_several() {
    let embedder = Arc::new(FakeTextEmbedder::of(3).with_context(4));
    let server = Server::with_settings(Settings { embedder, ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let several = server.embeddings.embed(&ana, of(&["a b c d", "a b c d e"])).await.unwrap_err();
    assert_eq!(several, ServiceError::InputTooLong { index: 1, tokens: 5, context_length: 4 });
    let alone = server.embeddings.embed(&ana, of(&["a b c d e"])).await.unwrap_err();
    let expected = GenerationError::PromptTooLong { prompt_tokens: 5, limit: 4, context_length: 4 };
    assert_eq!(alone, ServiceError::Generation(expected));
}

#[tokio::test]
async fn a_quota_is_reserved_before_and_settled_after() {
    let gate = Gate::shut();
    let server = Server::with_settings(Settings { tokens_per_day: Some(10), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    server.embedder.wait_for(gate.clone());
    let running = {
        let (embeddings, ana) = (server.embeddings.clone(), ana.clone());
        tokio::spawn(async move { embeddings.embed(&ana, of(&["one two three", "four five six"])).await })
    };
    while server.embedder.running() == 0 {
        tokio::task::yield_now().await;
    }
    let today = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((today.used, today.reserved), (0, 6));
    let refused = server.embeddings.embed(&ana, of(&["one two three four five"])).await.unwrap_err();
    assert!(matches!(refused, ServiceError::QuotaExceeded { quota: 10, asked: 5, .. }), "{refused:?}");
    gate.let_one_through();
    running.await.unwrap().unwrap();
    let today = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((today.used, today.reserved), (6, 0), "settled before it is answered");
}

#[tokio::test]
async fn where_nobody_counts_before_the_end_an_estimate_is_reserved_and_the_count_settled() {
    let embedder = Arc::new(FakeTextEmbedder::of(3).counting_at_the_end());
    let server = Server::with_settings(Settings { tokens_per_day: Some(10), embedder, ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let refused = server.embeddings.embed(&ana, of(&[&"x".repeat(33)])).await.unwrap_err();
    assert!(matches!(refused, ServiceError::QuotaExceeded { asked: 11, .. }), "{refused:?}");
    server.embeddings.embed(&ana, of(&[&"x".repeat(30)])).await.unwrap();
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.used, 1, "it was one word");
}

#[tokio::test]
async fn a_failure_costs_nothing_and_who_goes_away_pays_for_what_may_have_been_read() {
    let server = Server::with_settings(Settings { tokens_per_day: Some(10), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    server.embedder.refuse_with(Some(GenerationError::ProviderUnreachable { provider: "openai" }));
    let failed = server.embeddings.embed(&ana, of(&["one two three"])).await.unwrap_err();
    assert_eq!(failed, ServiceError::Generation(GenerationError::ProviderUnreachable { provider: "openai" }));
    server.background.finish().await;
    let today = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((today.used, today.reserved), (0, 0));

    server.embedder.refuse_with(None);
    server.embedder.wait_for(Gate::shut());
    let call = server.embeddings.embed(&ana, of(&["one two three"]));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), call).await.is_err());
    assert_eq!(server.embedder.running(), 0, "the model's call is dropped with it");
    server.background.finish().await;
    let today = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((today.used, today.reserved), (3, 0));
}
