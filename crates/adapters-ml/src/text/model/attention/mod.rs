//! Attention over a cache of keys and values that stays where it is.
//!
//! ONNX Runtime's own operator computes a single row of queries in another order of sums than several, so that a token's bits depend on how it
//! was read; it keeps the cache in 32 bits, and wants it as inputs and outputs of every step. This one computes each row of each head in one
//! order ([`kernel`]), keeps what a quantised model remembers in 16 bits ([`lanes`]), and knows its cache from the beginning ([`cache`]).
//! [`operator`] offers it to the graph, with what lies between the packed product and the heads: scales, biases and rotary positions.

mod cache;
mod kernel;
mod lanes;
mod operator;

pub(super) use self::cache::{CacheElement, CacheShape, KvCache};
pub(super) use self::kernel::TILE_ROWS;
pub(super) use self::operator::CachedAttention;
