//! Watches over the workers' threads: one that dies is counted and told, since its rooms are out of reach and
//! nothing in the process can bring it back.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::watch;

use crate::metrics::Metrics;

/// Cheap to clone: one for each thread.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    died: watch::Sender<bool>,
    metrics: Metrics,
}

impl Watch {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { died: watch::Sender::new(false), metrics }
    }

    /// Runs a worker to its end.
    pub(super) fn over(&self, run: impl FnOnce() -> io::Result<()>) {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!(%error, "a worker cannot wait for its socket any more"),
            Err(_) => tracing::error!("a worker panicked outside its core"),
        }
        self.metrics.worker_died();
        self.died.send_replace(true);
    }

    /// Returns when a worker has died.
    pub(super) async fn died(&self) {
        // The sender is here, so waiting does not fail.
        let _ = self.died.subscribe().wait_for(|died| *died).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::directory::Directory;

    #[tokio::test(flavor = "current_thread")]
    async fn the_death_of_a_worker_is_counted_and_told() {
        let deaths: [fn() -> io::Result<()>; 2] =
            [|| Err(io::ErrorKind::Other.into()), || panic!("on purpose")];
        for death in deaths {
            let metrics = Metrics::new();
            let watch = Watch::new(metrics.clone());
            watch.over(|| Ok(()));
            assert!(timeout(Duration::ZERO, watch.died()).await.is_err(), "one that was stopped is not dead");
            watch.over(death);
            timeout(Duration::from_secs(10), watch.died()).await.expect("it is told");
            assert!(metrics.render(&Directory::default()).contains("konklave_worker_deaths_total 1"));
        }
    }
}
