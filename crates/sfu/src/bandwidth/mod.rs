//! How much may be sent to one subscriber, and what: the vocabulary that estimator, pacer and allocator share.

pub mod target;
