//! Every metric of the engine. All carry the label `model`.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use ports::Priority;

/// What a metric counts in.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Each with its meaning, as `GET /metrics` tells it.
const METRICS: &[(&str, Kind, &str)] = &[
    ("tertulia_generation_queue_length", Kind::Gauge, "Generations, and requests for embeddings, that wait for a place"),
    ("tertulia_generation_queue_wait_seconds", Kind::Histogram, "How long each waited, by `priority`"),
    ("tertulia_generations_running", Kind::Gauge, "Generations, and requests for embeddings, that have a place"),
    (
        "tertulia_generations_total",
        Kind::Counter,
        "Generations that ended, by `outcome`: `stop`, `length`, `interrupted`, `cancelled`, `deadline`, `failed`, `shutdown`",
    ),
    (
        "tertulia_embedding_requests_total",
        Kind::Counter,
        "Requests for embeddings that ended, by `outcome`: `finished`, `cancelled`, `deadline`, `failed`, `shutdown`",
    ),
    ("tertulia_decode_batch_size", Kind::Histogram, "Sequences decoded in one step"),
    ("tertulia_prefill_tokens_total", Kind::Counter, "Prompt tokens read"),
    ("tertulia_decode_tokens_total", Kind::Counter, "Tokens made"),
    ("tertulia_step_seconds", Kind::Histogram, "Time in the model, by `operation`: `prefill`, `decode`, `check`, `copy`"),
    ("tertulia_time_to_first_token_seconds", Kind::Histogram, "From the request to its first token, waiting included"),
    ("tertulia_inter_token_seconds", Kind::Histogram, "From one token of a text to the next"),
    ("tertulia_prefix_requests_total", Kind::Counter, "Prompts, by `cache`: `hit` if one began in the cache, else `miss`"),
    ("tertulia_prefix_reused_tokens_total", Kind::Counter, "Prompt tokens that were in the cache and were not read again"),
    ("tertulia_cache_tokens", Kind::Gauge, "Tokens in the cache, of running and of kept texts"),
    ("tertulia_draft_tokens_total", Kind::Counter, "Tokens guessed"),
    ("tertulia_draft_accepted_tokens_total", Kind::Counter, "Guessed tokens that were right"),
    ("tertulia_model_load_seconds", Kind::Gauge, "How long the model took to load"),
    ("tertulia_model_loaded", Kind::Gauge, "1 while the model is in memory, 0 once it was unloaded"),
    ("tertulia_model_memory_bytes", Kind::Gauge, "Memory that is planned for the model; 0 once it was unloaded"),
    ("tertulia_model_loads_total", Kind::Counter, "How often the model was loaded"),
    (
        "tertulia_model_unloads_total",
        Kind::Counter,
        "How often it was unloaded, by `reason`: `idle`, `room` (for another model), `shutdown`",
    ),
];

/// Tells the recorder what every metric means. It must be installed before.
pub fn describe_metrics() {
    for (name, kind, help) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *help),
            Kind::Gauge => describe_gauge!(*name, *help),
            Kind::Histogram => describe_histogram!(*name, *help),
        }
    }
}

/// How a generation ended, for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Finished(&'static str),
    Cancelled,
    Deadline,
    Failed,
    ShutDown,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Finished(reason) => reason,
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Failed => "failed",
            Self::ShutDown => "shutdown",
        }
    }
}

/// One engine's metrics, looked up once: a step then costs a few atomic additions.
pub(super) struct EngineMetrics {
    model: String,
    pub(super) queue_length: Gauge,
    pub(super) queue_wait: [Histogram; 2],
    pub(super) running: Gauge,
    pub(super) batch_size: Histogram,
    pub(super) prefill_tokens: Counter,
    pub(super) decode_tokens: Counter,
    pub(super) prefill_time: Histogram,
    pub(super) decode_time: Histogram,
    pub(super) check_time: Histogram,
    pub(super) copy_time: Histogram,
    pub(super) first_token: Histogram,
    pub(super) inter_token: Histogram,
    pub(super) prefix_hits: Counter,
    pub(super) prefix_misses: Counter,
    pub(super) reused_tokens: Counter,
    pub(super) cache_tokens: Gauge,
    pub(super) draft_tokens: Counter,
    pub(super) draft_accepted: Counter,
}

impl EngineMetrics {
    /// The metrics of one model. The recorder must be installed before.
    pub(super) fn new(model: &str) -> Self {
        let model = model.to_owned();
        let step =
            |operation: &'static str| histogram!("tertulia_step_seconds", "model" => model.clone(), "operation" => operation);
        let prefix = |cache: &'static str| counter!("tertulia_prefix_requests_total", "model" => model.clone(), "cache" => cache);
        let wait = |priority: &'static str| histogram!("tertulia_generation_queue_wait_seconds", "model" => model.clone(), "priority" => priority);
        Self {
            queue_length: gauge!("tertulia_generation_queue_length", "model" => model.clone()),
            queue_wait: [wait("interactive"), wait("batch")],
            running: gauge!("tertulia_generations_running", "model" => model.clone()),
            batch_size: histogram!("tertulia_decode_batch_size", "model" => model.clone()),
            prefill_tokens: counter!("tertulia_prefill_tokens_total", "model" => model.clone()),
            decode_tokens: counter!("tertulia_decode_tokens_total", "model" => model.clone()),
            prefill_time: step("prefill"),
            decode_time: step("decode"),
            check_time: step("check"),
            copy_time: step("copy"),
            first_token: histogram!("tertulia_time_to_first_token_seconds", "model" => model.clone()),
            inter_token: histogram!("tertulia_inter_token_seconds", "model" => model.clone()),
            prefix_hits: prefix("hit"),
            prefix_misses: prefix("miss"),
            reused_tokens: counter!("tertulia_prefix_reused_tokens_total", "model" => model.clone()),
            cache_tokens: gauge!("tertulia_cache_tokens", "model" => model.clone()),
            draft_tokens: counter!("tertulia_draft_tokens_total", "model" => model.clone()),
            draft_accepted: counter!("tertulia_draft_accepted_tokens_total", "model" => model.clone()),
            model,
        }
    }

    pub(super) fn waited(&self, priority: Priority, time: Duration) {
        let [interactive, batch] = &self.queue_wait;
        match priority {
            Priority::Interactive => interactive.record(time),
            Priority::Batch => batch.record(time),
        }
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        counter!("tertulia_generations_total", "model" => self.model.clone(), "outcome" => outcome.as_str()).increment(1);
    }
}

impl EngineMetrics {
    pub(super) fn embedding_ended(&self, outcome: Outcome) {
        let labels = [("model", self.model.clone()), ("outcome", outcome.as_str().to_owned())];
        counter!("tertulia_embedding_requests_total", &labels).increment(1);
    }
}

/// Why a model was unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnloadReason {
    Idle,
    Room,
    Shutdown,
}

impl UnloadReason {
    const ALL: [Self; 3] = [Self::Idle, Self::Room, Self::Shutdown];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Room => "room",
            Self::Shutdown => "shutdown",
        }
    }

    fn counter(self, model: &str) -> Counter {
        counter!("tertulia_model_unloads_total", "model" => model.to_owned(), "reason" => self.as_str())
    }
}

/// A model was loaded.
#[expect(clippy::cast_precision_loss, reason = "bytes for a gauge")]
pub(super) fn model_loaded(model: &str, time: Duration, memory_bytes: u64) {
    gauge!("tertulia_model_load_seconds", "model" => model.to_owned()).set(time.as_secs_f64());
    gauge!("tertulia_model_loaded", "model" => model.to_owned()).set(1.0);
    gauge!("tertulia_model_memory_bytes", "model" => model.to_owned()).set(memory_bytes as f64);
    counter!("tertulia_model_loads_total", "model" => model.to_owned()).increment(1);
    // So that the first unload shows as an increase.
    for reason in UnloadReason::ALL {
        reason.counter(model).increment(0);
    }
}

/// A model was unloaded.
pub(super) fn model_unloaded(model: &str, reason: UnloadReason) {
    for name in ["tertulia_model_loaded", "tertulia_model_memory_bytes", "tertulia_cache_tokens"] {
        gauge!(name, "model" => model.to_owned()).set(0.0);
    }
    reason.counter(model).increment(1);
}
