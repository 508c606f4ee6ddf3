//! The sampling parameters that every request for a text has under the same names.
//!
//! The requests spell them out, each with what its own readers should know: serde cannot refuse unknown fields, or tell where an error is,
//! beside a flattened struct. What is made of them is written once, here.

/// The [`domain::SamplingRequest`] of a request's own fields, without what not all of them have: its lengths and its seed. Takes the lists
/// out of the request.
macro_rules! shared_sampling {
    ($request:expr) => {
        domain::SamplingRequest {
            temperature: $request.temperature,
            top_p: $request.top_p,
            top_k: $request.top_k,
            min_p: $request.min_p,
            repetition_penalty: $request.repetition_penalty,
            presence_penalty: $request.presence_penalty,
            frequency_penalty: $request.frequency_penalty,
            logit_bias: $request.logit_bias.take().unwrap_or_default(),
            stop: $request.stop.take().map(Into::into).unwrap_or_default(),
            ..domain::SamplingRequest::default()
        }
    };
}
pub(crate) use shared_sampling;
