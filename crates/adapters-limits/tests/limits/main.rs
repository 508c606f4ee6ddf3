//! The limits in memory and on a real Redis (`TEST_REDIS_URL` and `TEST_REDIS_SERVER`, which `make test` sets).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod agreement;
mod outages;
mod replicas;
mod support;

/// The contracts in memory.
mod in_memory {
    use crate::support::{a_memory_limiter, a_memory_throttle};

    test_support::rate_limiter_contract!(a_memory_limiter);
    test_support::sign_in_throttle_contract!(a_memory_throttle);
}

/// The contracts on Redis.
mod on_redis {
    use crate::support::{a_redis_limiter, a_redis_throttle};

    test_support::rate_limiter_contract!(a_redis_limiter);
    test_support::sign_in_throttle_contract!(a_redis_throttle);
}

/// The contracts in what is left when Redis is away.
mod without_redis {
    use crate::support::{a_limiter_without_redis, a_throttle_without_redis};

    test_support::rate_limiter_contract!(a_limiter_without_redis);
    test_support::sign_in_throttle_contract!(a_throttle_without_redis);
}
