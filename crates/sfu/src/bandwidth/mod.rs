//! How much may be sent to one subscriber, and what: the vocabulary that estimator, pacer and allocator share.

pub mod acknowledged;
pub mod aimd;
pub mod allocator;
pub mod delay;
pub mod estimator;
pub mod fallback;
pub mod history;
pub mod ladder;
pub mod loss;
pub mod pacer;
pub mod probe;
pub mod queue;
pub mod receiver_clock;
pub mod target;
#[cfg(test)]
mod tests;
pub mod trust;
