//! Runs many meetings on all cores and tells which of them went wrong and how to see one again.

use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::meeting;
use crate::plan::Plan;

/// Sentences shown of each failure.
const SHOWN: usize = 6;

/// A meeting that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The plan.
    pub plan: Plan,
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub what: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scripts/sim repeat {} {}", self.plan.name(), self.seed)?;
        self.what.iter().take(SHOWN).try_for_each(|what| writeln!(f, "  {what}"))
    }
}

/// Runs the meetings of these plans and seeds; returns those that went wrong, in their order.
pub fn run(pairs: &[(Plan, u64)]) -> Vec<Failure> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((plan, seed)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = catch_unwind(AssertUnwindSafe(|| meeting::run(*plan, *seed).judge()))
                        .unwrap_or_else(|_| vec!["a panic".to_owned()]);
                    if !what.is_empty()
                        && let Ok(mut found) = found.lock()
                    {
                        found.push(Failure { plan: *plan, seed: *seed, what });
                    }
                }
            });
        }
    });
    let mut found: Vec<Failure> = found.into_inner().unwrap_or_default();
    found.sort_by_key(|failure| (failure.plan, failure.seed));
    found
}
