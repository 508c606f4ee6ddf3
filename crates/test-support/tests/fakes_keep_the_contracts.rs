//! The fakes go through the same stories as the real adapters: none of them can promise what it does not keep.

#![allow(clippy::unused_async, reason = "every maker is async, as those of real adapters are")]

use std::sync::Arc;

use ports::{ModelRepository, ObjectStorage, PasswordHasher, Randomness, RefreshTokens, TextEmbedder, TextGenerator};
use test_support::contracts::Stores;
use test_support::contracts::access_tokens::Signers;
use test_support::contracts::rate_limiter::SteppedLimiter;
use test_support::contracts::sign_in_throttle::SteppedThrottle;
use test_support::{
    FakeAccessTokens, FakeClock, FakeDatabase, FakeModelRepository, FakePasswordHasher, FakeRateLimiter, FakeRefreshTokens,
    FakeSignInThrottle, FakeStorage, FakeTextEmbedder, FakeTextGenerator, SequentialRandomness,
};

async fn stores() -> Stores {
    Stores::fake(&FakeDatabase::default())
}

async fn storage() -> Arc<dyn ObjectStorage> {
    Arc::new(FakeStorage::default())
}

async fn signers() -> Signers {
    Signers { ours: Arc::new(FakeAccessTokens::default()), theirs: Arc::new(FakeAccessTokens::named("theirs")) }
}

async fn tokens() -> Arc<dyn RefreshTokens> {
    Arc::new(FakeRefreshTokens::default())
}

async fn hasher() -> Arc<dyn PasswordHasher> {
    Arc::new(FakePasswordHasher::default())
}

async fn source() -> Arc<dyn Randomness> {
    Arc::new(SequentialRandomness::default())
}

async fn generator() -> Arc<dyn TextGenerator> {
    Arc::new(FakeTextGenerator::saying([" there", " was", " a", " dragon", ".", " The", " end", "."]))
}

async fn embedder() -> Arc<dyn TextEmbedder> {
    Arc::new(FakeTextEmbedder::of(5))
}

async fn repository() -> Arc<dyn ModelRepository> {
    Arc::new(FakeModelRepository::offering(["org/one", "org/two"]))
}

async fn limiter() -> SteppedLimiter {
    let clock = FakeClock::default();
    SteppedLimiter { limiter: Arc::new(FakeRateLimiter::on(clock.clone())), clock }
}

async fn throttle() -> SteppedThrottle {
    let clock = FakeClock::default();
    SteppedThrottle { throttle: Arc::new(FakeSignInThrottle::on(clock.clone())), clock }
}

test_support::user_store_contract!(stores);
test_support::session_store_contract!(stores);
test_support::text_generation_store_contract!(stores);
test_support::model_repository_contract!(repository);
test_support::model_store_contract!(stores);
test_support::api_key_store_contract!(stores);
test_support::token_quota_store_contract!(stores);
test_support::audit_log_contract!(stores);
test_support::one_time_code_store_contract!(stores);
test_support::limit_store_contract!(stores);
test_support::conversation_store_contract!(stores);
test_support::chat_stream_store_contract!(stores);
test_support::media_store_contract!(stores);
test_support::object_storage_contract!(storage);
test_support::access_tokens_contract!(signers);
test_support::refresh_tokens_contract!(tokens);
test_support::password_hasher_contract!(hasher);
test_support::randomness_contract!(source);
test_support::text_embedder_contract!(embedder);
test_support::text_generator_contract!(generator);
test_support::rate_limiter_contract!(limiter);
test_support::sign_in_throttle_contract!(throttle);
