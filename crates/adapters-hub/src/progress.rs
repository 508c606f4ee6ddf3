//! How far a fetch has come: the newest state, for a reader of any speed.

use ports::PullEvent;
use tokio::sync::watch;

/// Where a fetch tells how far it has come. A reader that is slow misses states, never the newest one.
pub(crate) struct Progress {
    newest: watch::Sender<Option<PullEvent>>,
    /// Bytes of the files that are here and checked.
    finished_bytes: u64,
    total_bytes: u64,
}

impl Progress {
    /// Tells nothing before the total is known.
    pub(crate) fn new(newest: watch::Sender<Option<PullEvent>>) -> Self {
        Self { newest, finished_bytes: 0, total_bytes: 0 }
    }

    /// For what is fetched on the way, before there is a total.
    pub(crate) fn untold() -> Self {
        Self::new(watch::Sender::new(None))
    }

    pub(crate) fn set_total(&mut self, total_bytes: u64) {
        self.total_bytes = total_bytes;
    }

    /// So much of a file is here.
    pub(crate) fn at(&self, file: &str, bytes: u64) {
        if self.total_bytes > 0 {
            let fetched_bytes = self.finished_bytes.saturating_add(bytes).min(self.total_bytes);
            let event = PullEvent::Progress { file: file.to_owned(), fetched_bytes, total_bytes: self.total_bytes };
            self.newest.send_replace(Some(event));
        }
    }

    /// A file is here, whole.
    pub(crate) fn finished(&mut self, file: &str, bytes: u64) {
        self.finished_bytes = self.finished_bytes.saturating_add(bytes);
        self.at(file, 0);
    }
}
