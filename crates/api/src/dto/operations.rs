//! How the server is.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// The server answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// Always `OK`.
    #[schema(example = "OK")]
    pub(crate) status: &'static str,
}

/// How a part of the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// It can do its work.
    Ok,
    /// It cannot, and the server does its work without it; the log says why.
    Degraded,
    /// It cannot; the log says why.
    Failing,
}

/// Whether the server can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// The worst of the parts.
    pub(crate) status: Health,
    /// Each part by its name.
    #[schema(example = json!({"database": "ok", "model": "ok"}))]
    pub(crate) checks: BTreeMap<&'static str, Health>,
}
