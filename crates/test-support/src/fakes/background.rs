//! Work beside the requests, so that a test knows when it is done.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use futures_util::FutureExt;
use ports::Background;
use tokio::task::JoinHandle;

/// Runs each task to its end before `spawn` returns. Only for tasks that never really wait, as with the other fakes; any other panics.
#[derive(Debug, Clone, Copy, Default)]
pub struct InlineBackground;

impl Background for InlineBackground {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send + 'static>>) {
        task.now_or_never().expect("this task waits for something: use TokioBackground");
    }
}

/// Runs tasks on the test's runtime.
#[derive(Debug, Default)]
pub struct TokioBackground {
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl TokioBackground {
    /// Waits for every task spawned until now, and for those that they spawn. A task that panicked panics here.
    pub async fn finish(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                task.await.expect("a background task panicked");
            }
        }
    }
}

impl Background for TokioBackground {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send + 'static>>) {
        self.tasks.lock().unwrap().push(tokio::spawn(task));
    }
}
