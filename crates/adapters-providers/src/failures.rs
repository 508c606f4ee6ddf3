//! What a call that came to nothing means for whoever wanted a text.

use ports::GenerationError;

use crate::http::{HttpFailure, Refusal};

/// When a provider that asks for patience does not say how much.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 5;

/// What holds for every provider. A refusal whose meaning is the provider's own is read before this.
pub(crate) fn generation_error(provider: &'static str, failure: HttpFailure) -> GenerationError {
    match failure {
        HttpFailure::Unreachable { .. } | HttpFailure::Silent { .. } | HttpFailure::CircuitOpen { .. } => {
            // The error that goes on names the provider alone: this is where the cause is told.
            tracing::warn!(provider, cause = %failure, "a provider cannot be reached");
            GenerationError::ProviderUnreachable { provider }
        }
        HttpFailure::DeadlineExceeded => GenerationError::DeadlineExceeded,
        HttpFailure::Refused(refusal) => refused(provider, &refusal),
        HttpFailure::Redirected | HttpFailure::Broken { .. } | HttpFailure::TooLarge { .. } | HttpFailure::Garbled { .. } => {
            GenerationError::ProviderFailed { provider, problem: failure.to_string() }
        }
    }
}

/// The same once the provider has begun to answer: then it was reached.
pub(crate) fn midway_error(provider: &'static str, failure: HttpFailure) -> GenerationError {
    match failure {
        HttpFailure::Silent { .. } => GenerationError::ProviderFailed { provider, problem: failure.to_string() },
        other => generation_error(provider, other),
    }
}

fn refused(provider: &'static str, refusal: &Refusal) -> GenerationError {
    match (refusal.status, refusal.retry_after) {
        (429, asked) => busy(provider, asked),
        (503, Some(asked)) => busy(provider, Some(asked)),
        _ => GenerationError::ProviderFailed { provider, problem: refusal.to_string() },
    }
}

fn busy(provider: &'static str, asked: Option<std::time::Duration>) -> GenerationError {
    let seconds = asked.map_or(DEFAULT_RETRY_AFTER_SECONDS, |asked| {
        let up = u64::from(asked.subsec_nanos() > 0);
        u32::try_from(asked.as_secs().saturating_add(up)).unwrap_or(u32::MAX).max(1)
    });
    GenerationError::ProviderBusy { provider, retry_after_seconds: seconds }
}

/// A request that the provider read and does not want (400, 422): its caller is told why, in the provider's own bounded words, since it is
/// theirs to change.
pub(crate) fn request_refused(provider: &'static str, refusal: &Refusal) -> GenerationError {
    GenerationError::InputRefused(match refusal.message.as_str() {
        "" => format!("{provider} refuses the request (status {})", refusal.status),
        words => format!("{provider} refuses the request: {words}"),
    })
}

/// Whether a provider refuses the key. Some answer a bad one with a 400, whose words may quote a part of it.
pub(crate) fn speaks_of_the_key(refusal: &Refusal) -> bool {
    refusal.code.to_lowercase().contains("api_key") || refusal.message.to_lowercase().contains("api key")
}

/// What somebody must look at whose key was refused. The provider's own words are left out: they may quote a part of the key.
pub(crate) fn key_refused(provider: &'static str, status: u16, settings: &str) -> GenerationError {
    GenerationError::ProviderFailed { provider, problem: format!("it refused our key (status {status}): check {settings}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, retry_after: Option<Duration>) -> GenerationError {
        generation_error("openai", HttpFailure::Refused(Box::new(Refusal::new(status, retry_after, b"down", &[]))))
    }

    #[test]
    fn each_failure_tells_a_caller_what_to_do() {
        let busy = |seconds| GenerationError::ProviderBusy { provider: "openai", retry_after_seconds: seconds };
        assert_eq!(of(429, None), busy(DEFAULT_RETRY_AFTER_SECONDS));
        assert_eq!(of(429, Some(Duration::from_millis(1200))), busy(2));
        assert_eq!(of(503, Some(Duration::from_secs(7))), busy(7));
        let failed = |problem: &str| GenerationError::ProviderFailed { provider: "openai", problem: problem.to_owned() };
        assert_eq!(of(500, None), failed("status 500: down"));
        assert_eq!(of(503, None), failed("status 503: down"));
        let unreachable = GenerationError::ProviderUnreachable { provider: "openai" };
        for failure in [
            HttpFailure::Unreachable { cause: "refused".to_owned() },
            HttpFailure::Silent { patience: Duration::from_secs(1) },
            HttpFailure::CircuitOpen { retry_in: Duration::from_secs(1) },
        ] {
            assert_eq!(generation_error("openai", failure), unreachable);
        }
        assert_eq!(generation_error("openai", HttpFailure::DeadlineExceeded), GenerationError::DeadlineExceeded);
        let silent = HttpFailure::Silent { patience: Duration::from_secs(1) };
        assert_eq!(midway_error("openai", silent), failed("it said nothing for 1 s"));
    }
}
