//! CPU time of the calling thread: what other processes do to the machine shows less in it than in wall time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time this thread has used so far.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// CPU time that something takes.
pub(crate) fn measure<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = thread_time();
    let result = run();
    (result, thread_time().saturating_sub(start))
}
