//! How calls to providers end, and how long their answers take to begin.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

use super::failure::HttpFailure;

const REQUESTS: &str = "tertulia_provider_requests_total";
/// The histogram of how long answers take to begin.
pub const ANSWER_SECONDS: &str = "tertulia_provider_answer_seconds";

/// Tells the recorder what every metric means. It must be installed before.
pub fn describe_metrics() {
    describe_counter!(
        REQUESTS,
        "Calls to providers that ended, by `provider`, by `kind` (`text`, `embedding`, `image`, `speech`, `other`) and by `outcome`: \
         `answered`, `refused`, `unreachable`, `silent`, `deadline`, `broken`, `left_alone` (it kept failing and was not asked)"
    );
    describe_histogram!(
        ANSWER_SECONDS,
        "From a call to the head of its answer, by `provider` and `kind`; calls that got none do not count"
    );
}

/// Counts a call that ended.
pub(super) fn count<T>(provider: &'static str, path: &str, result: &Result<T, HttpFailure>, elapsed: Duration) {
    let kind = kind(path);
    counter!(REQUESTS, "provider" => provider, "kind" => kind, "outcome" => outcome(result)).increment(1);
    if result.is_ok() {
        histogram!(ANSWER_SECONDS, "provider" => provider, "kind" => kind).record(elapsed);
    }
}

/// What is asked for there. Paths are this program's own, so that they tell.
fn kind(path: &str) -> &'static str {
    match path {
        "completions" | "chat/completions" | "api/chat" | "api/generate" => "text",
        "embeddings" | "api/embed" => "embedding",
        "images/generations" | "prompt" | "image" => "image",
        "audio/speech" | "translate_tts" => "speech",
        _ => "other",
    }
}

fn outcome<T>(result: &Result<T, HttpFailure>) -> &'static str {
    match result {
        Ok(_) => "answered",
        Err(HttpFailure::Refused(_)) => "refused",
        Err(HttpFailure::Unreachable { .. }) => "unreachable",
        Err(HttpFailure::Silent { .. }) => "silent",
        Err(HttpFailure::DeadlineExceeded) => "deadline",
        Err(HttpFailure::CircuitOpen { .. }) => "left_alone",
        Err(
            HttpFailure::Redirected | HttpFailure::Broken { .. } | HttpFailure::TooLarge { .. } | HttpFailure::Garbled { .. },
        ) => "broken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_is_asked_for_has_its_kind() {
        let kinds = ["completions", "chat/completions", "api/chat", "embeddings", "images/generations", "audio/speech", "models"]
            .map(kind);
        assert_eq!(kinds, ["text", "text", "text", "embedding", "image", "speech", "other"]);
        assert_eq!(outcome(&Err::<(), _>(HttpFailure::DeadlineExceeded)), "deadline");
        assert_eq!(outcome(&Ok(())), "answered");
    }
}
