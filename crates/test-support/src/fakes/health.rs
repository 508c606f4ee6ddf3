//! A part of the server whose health a test decides.

use std::sync::Mutex;

use async_trait::async_trait;
use ports::{HealthCheck, Unhealthy};

/// Well until told otherwise.
#[derive(Debug)]
pub struct FakeHealth {
    name: &'static str,
    illness: Mutex<Option<Unhealthy>>,
}

impl FakeHealth {
    /// A healthy part of this name.
    pub const fn of(name: &'static str) -> Self {
        Self { name, illness: Mutex::new(None) }
    }

    /// From now on it is unwell, for this reason.
    pub fn fall_ill(&self, reason: impl Into<String>) {
        *self.illness.lock().unwrap() = Some(Unhealthy(reason.into()));
    }

    /// It is well again.
    pub fn recover(&self) {
        *self.illness.lock().unwrap() = None;
    }
}

#[async_trait]
impl HealthCheck for FakeHealth {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        self.illness.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}
