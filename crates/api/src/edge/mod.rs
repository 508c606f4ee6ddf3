//! How the server meets the network: which proxies it believes, which web pages it answers, and who may read its metrics.
//!
//! Everything here is closed unless a setting opens it.

mod metrics_access;
mod origin;
mod public_url;
mod trusted_proxies;

pub use metrics_access::MetricsAccess;
pub use origin::{NotAnOrigin, Origin};
pub use public_url::PublicUrl;
pub use trusted_proxies::{NotANetwork, TrustedProxies};

pub(crate) use metrics_access::is_of_this_machine;
pub(crate) use public_url::OwnUrl;
pub(crate) use trusted_proxies::{X_FORWARDED_FOR, client_address};

/// What stands between the server and its clients. The default believes no proxy, answers no foreign web page and has no metrics.
#[derive(Clone, Default)]
pub struct Edge {
    /// The web pages whose scripts may read answers (CORS). None if empty.
    pub cors_origins: Vec<Origin>,
    /// The proxies whose `X-Forwarded-For` is believed. None if empty.
    pub trusted_proxies: TrustedProxies,
    /// What `GET /metrics` shows, and by which token.
    pub metrics: MetricsAccess,
    /// Where the server is reached from outside.
    pub public_url: PublicUrl,
}
