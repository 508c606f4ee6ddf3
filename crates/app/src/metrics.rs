//! The metrics' recorder: what `GET /metrics` renders.
//!
//! Installed before the first model opens, since an engine looks its metrics up once. Histograms gather samples until they are rendered,
//! or until [`Metrics::tidy`], so that a server that nobody scrapes keeps no more of them than of one period.

use adapters_db::DbPool;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::start_error::StartError;

/// From a cached prefix to a queue that is as long as patience.
const WAIT_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// From a small model alone to a large one among many.
const STEP_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5];
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0];

/// Every histogram of the workspace. One that is missing here would be rendered as a summary, which cannot be added up over replicas.
const HISTOGRAMS: [(&str, &[f64]); 7] = [
    (api::HTTP_REQUEST_DURATION, api::HTTP_REQUEST_DURATION_BUCKETS),
    ("tertulia_generation_queue_wait_seconds", WAIT_SECONDS),
    ("tertulia_time_to_first_token_seconds", WAIT_SECONDS),
    ("tertulia_inter_token_seconds", STEP_SECONDS),
    ("tertulia_step_seconds", STEP_SECONDS),
    ("tertulia_decode_batch_size", BATCH_SIZES),
    (adapters_providers::http::ANSWER_SECONDS, WAIT_SECONDS),
];

const DATABASE_CONNECTIONS: &str = "tertulia_database_connections";

/// The recorder of this process.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Makes this the recorder of the process. Called once.
    pub(crate) fn install() -> Result<Self, StartError> {
        let refused = |error: &dyn std::fmt::Display| StartError::System(format!("cannot count metrics: {error}"));
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in HISTOGRAMS {
            let matcher = Matcher::Full(name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, buckets).map_err(|error| refused(&error))?;
        }
        let handle = builder.install_recorder().map_err(|error| refused(&error))?;
        api::describe_metrics();
        adapters_ml::text::describe_metrics();
        adapters_providers::http::describe_metrics();
        describe_gauge!(DATABASE_CONNECTIONS, "Connections to the database, by what they are for and whether they are in use");
        Ok(Self(handle))
    }

    /// Everything in Prometheus' text format, the state of the database's connections as it is now.
    pub(crate) fn render(&self, database: &DbPool) -> String {
        for lane in database.usage() {
            let state = |state: &'static str| gauge!(DATABASE_CONNECTIONS, "lane" => lane.name, "state" => state);
            state("idle").set(f64::from(lane.idle));
            state("in_use").set(f64::from(lane.in_use));
        }
        self.0.render()
    }

    /// Puts the samples that were gathered into their buckets.
    pub(crate) fn tidy(&self) {
        self.0.run_upkeep();
    }
}
