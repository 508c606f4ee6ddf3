//! One fake a port. They keep everything in memory, draw nothing at random and wait for nobody unless a test says so.

mod access_tokens;
mod background;
mod clock;
mod codes;
mod database;
mod health;
mod language_models;
mod media;
mod model_repository;
mod object_storage;
mod password_hasher;
mod randomness;
mod rate_limiter;
mod refresh_tokens;
mod sign_in_throttle;
mod text_embedder;
mod text_generator;
mod timer;

pub use access_tokens::FakeAccessTokens;
pub use background::{InlineBackground, TokioBackground};
pub use clock::FakeClock;
pub use codes::{FakeApiKeyCodec, FakeOneTimeCodes};
pub use database::FakeDatabase;
pub use health::FakeHealth;
pub use language_models::FakeLanguageModels;
pub use media::{FakeDocuments, FakeImageGenerator, FakePictureCodec, FakeSynthesizer, Piece};
pub use model_repository::FakeModelRepository;
pub use object_storage::{FakeLinks, FakeStorage};
pub use password_hasher::FakePasswordHasher;
pub use randomness::SequentialRandomness;
pub use rate_limiter::FakeRateLimiter;
pub use refresh_tokens::FakeRefreshTokens;
pub use sign_in_throttle::FakeSignInThrottle;
pub use text_embedder::FakeTextEmbedder;
pub use text_generator::{FakeTextGenerator, Gate, Step};
pub use timer::TokioTimer;
