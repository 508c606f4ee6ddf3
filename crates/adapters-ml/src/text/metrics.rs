//! Every metric of the engine, by name. All carry the label `model`.
//!
//! | name | kind | meaning |
//! |---|---|---|
//! | `tertulia_generation_queue_length` | gauge | generations that wait for a place |
//! | `tertulia_generation_queue_wait_seconds` | histogram | how long each waited, by `priority` |
//! | `tertulia_generations_running` | gauge | generations that have a place |
//! | `tertulia_generations_total` | counter | generations that ended, by `outcome`: `stop`, `length`, `interrupted`, `cancelled`, `deadline`, `failed`, `shutdown` |
//! | `tertulia_decode_batch_size` | histogram | sequences decoded in one step |
//! | `tertulia_prefill_tokens_total` | counter | prompt tokens read |
//! | `tertulia_decode_tokens_total` | counter | tokens made |
//! | `tertulia_step_seconds` | histogram | time in the model, by `operation`: `prefill`, `decode`, `check`, `copy` |
//! | `tertulia_time_to_first_token_seconds` | histogram | from the request to its first token, waiting included |
//! | `tertulia_inter_token_seconds` | histogram | from one token of a text to the next |
//! | `tertulia_prefix_requests_total` | counter | prompts, by `cache`: `hit` if one began in the cache, else `miss` |
//! | `tertulia_prefix_reused_tokens_total` | counter | prompt tokens that were in the cache and were not read again |
//! | `tertulia_cache_tokens` | gauge | tokens in the cache, of running and of kept texts |
//! | `tertulia_draft_tokens_total` | counter | tokens guessed |
//! | `tertulia_draft_accepted_tokens_total` | counter | guessed tokens that were right |
//! | `tertulia_model_load_seconds` | gauge | how long the model took to load |

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use ports::Priority;

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

/// A model was loaded.
pub(super) fn model_loaded(model: &str, time: Duration) {
    gauge!("tertulia_model_load_seconds", "model" => model.to_owned()).set(time.as_secs_f64());
}
