//! How likely tokens were, in the form that OpenAI's chat API gave to it and Ollama took over.

use ports::TokenLogprob;
use serde::Deserialize;

/// One token.
#[derive(Deserialize)]
pub(crate) struct WireLogprob {
    token: String,
    logprob: f64,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Vec<WireLogprob>,
}

impl WireLogprob {
    /// With at most so many alternatives, the likeliest first.
    pub(crate) fn into_logprob(self, most: usize) -> TokenLogprob {
        let top = self.top_logprobs.into_iter().map(|other| (other.bytes.unwrap_or(other.token.into_bytes()), other.logprob));
        TokenLogprob {
            token: self.bytes.unwrap_or(self.token.into_bytes()),
            logprob: narrowed(self.logprob),
            top: likeliest(top.collect(), most),
        }
    }
}

/// At most so many, the likeliest first.
pub(crate) fn likeliest(mut tokens: Vec<(Vec<u8>, f64)>, most: usize) -> Vec<(Vec<u8>, f32)> {
    tokens.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    tokens.into_iter().take(most).map(|(token, logprob)| (token, narrowed(logprob))).collect()
}

/// In the port's precision.
#[expect(clippy::cast_possible_truncation, reason = "a probability's logarithm needs no more digits than the port has")]
pub(crate) const fn narrowed(logprob: f64) -> f32 {
    logprob as f32
}
