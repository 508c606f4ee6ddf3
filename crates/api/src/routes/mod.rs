//! The endpoints, one family a file, each with its description above its handler.
//!
//! A handler extracts, calls one use case and writes the answer. A family's `configure` registers its handlers through utoipa, so that a
//! route cannot exist without being in the document; [`table`] says who may call it, and tests compare the two.

mod accounts;
mod aliases;
mod api_keys;
mod audit;
mod chat;
mod codes;
mod documents;
mod export;
mod fallback;
mod images;
mod limits;
mod media;
mod metrics;
mod model_pull;
mod models;
mod objects;
mod openai;
mod operations;
mod sessions;
mod speech;
pub mod table;
mod texts;
mod token;

use utoipa_actix_web::service_config::ServiceConfig;

pub(crate) use documents::{Documents, configure as configure_documents};
pub(crate) use fallback::no_such_route;

use crate::ApiError;

/// What a handler answers.
type Answer<T> = Result<T, ApiError>;

/// Registers every family.
pub(crate) fn configure(config: &mut ServiceConfig) {
    operations::configure(config);
    export::configure(config);
    accounts::configure(config);
    token::configure(config);
    sessions::configure(config);
    codes::configure(config);
    api_keys::configure(config);
    limits::configure(config);
    audit::configure(config);
    model_pull::configure(config);
    models::configure(config);
    texts::configure(config);
    images::configure(config);
    speech::configure(config);
    objects::configure(config);
    chat::configure(config);
    aliases::configure(config);
    openai::configure(config);
    metrics::configure(config);
}
