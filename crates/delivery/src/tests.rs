//! Scenarios of one room, each with one behaviour.

mod agreement;
mod base;
mod bounds;
mod log;
mod outcome;
mod presence;
mod property;
mod restoring;
mod support;
mod vouching;
mod waiting;
