//! Conversations: what is said, kept, taken up, branched, remembered, taken along.

mod branches;
mod crowd;
mod memory;
mod streams;
mod support;
mod transfer;
mod turns;
mod waiting;
