//! How much may be sent to one subscriber, and what: the vocabulary that estimator, pacer and allocator share.

pub mod allocator;
pub mod ladder;
pub mod target;
