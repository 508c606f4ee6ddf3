//! Speaking to somebody else's server over HTTP, so that nothing it does can hurt this one.
//!
//! One [`Endpoint`] stands for one provider at one base URL. Every wait on it has an end, every body and every line a size, and what it
//! says is taken apart here: nothing of its words leaves this module unbounded, and no key of ours leaves it at all.
//!
//! - [`base_url`]: where the provider is;
//! - [`breaker`]: when to leave it alone (a pure state machine);
//! - [`retry`]: what to repeat, and after how long (pure as well);
//! - [`endpoint`]: one call, from admission to the head of the answer;
//! - [`answer`]: the answer's body, piece by piece or whole;
//! - [`refusal`]: what it says where it says no;
//! - `metrics`: how calls end, and how long they take;
//! - [`lines`] and [`sse`]: streams cut into lines and events, wherever the packets were cut.

pub mod answer;
pub mod base_url;
pub mod breaker;
pub mod circuit;
pub mod endpoint;
pub mod failure;
pub mod lines;
mod metrics;
pub mod refusal;
pub mod retry;
pub mod sse;

pub use answer::Answer;
pub use base_url::BaseUrl;
pub use endpoint::{Call, Endpoint, EndpointConfig, HttpClient, HttpLimits};
pub use failure::HttpFailure;
pub use metrics::{ANSWER_SECONDS, describe_metrics};
pub use refusal::Refusal;
