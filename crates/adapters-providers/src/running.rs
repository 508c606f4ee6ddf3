//! Which texts are being made at providers, so that a server that stops can wait for them and then cut them.

use std::time::Duration;

use ports::GenerationError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// All texts under way. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Running {
    tracker: TaskTracker,
    cut: CancellationToken,
}

/// A text's place among them, until it is dropped.
pub(crate) struct Place {
    _counted: TaskTrackerToken,
    cut: CancellationToken,
}

impl Running {
    /// A place, or a refusal where the server is stopping.
    pub(crate) fn begin(&self) -> Result<Place, GenerationError> {
        if self.tracker.is_closed() {
            return Err(GenerationError::ShuttingDown);
        }
        Ok(Place { _counted: self.tracker.token(), cut: self.cut.clone() })
    }

    /// Refuses what comes from now on, and waits for what runs; cuts what has not ended by then.
    pub(crate) async fn shut_down(&self, grace: Duration) {
        self.tracker.close();
        if timeout(grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(texts = self.tracker.len(), "texts that providers were still making are cut");
            self.cut.cancel();
        }
    }
}

impl Place {
    /// Waits for something unless the server stops meanwhile.
    pub(crate) async fn unless_cut<T>(&self, waiting: impl Future<Output = T>) -> Result<T, GenerationError> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(GenerationError::ShuttingDown),
            done = waiting => Ok(done),
        }
    }
}
