//! Simulation of whole meetings: a real core ([`sfu::Sfu`]) between scripted clients, on a virtual network
//! and in virtual time. Without sockets, threads and clocks, and from one seed: what failed once fails again.
//!
//! [`world::World`] runs it. Two oracles judge: [`tap::Tap`] opens every packet at the core's exit and compares
//! it with [`rules::Rules`]; [`reception::Reception`] judges what a receiver can make of what arrives.
//! Payloads carry [`stamp::Stamp`]s, so every packet is known wherever it shows up.

pub mod bottleneck;
pub mod checks;
pub mod client;
pub mod codec;
pub mod competing;
pub mod description;
pub mod encoder;
pub mod feedback;
pub mod meeting;
pub mod network;
pub mod oracles;
pub mod plan;
pub mod plot;
pub mod publication;
pub mod reception;
pub mod red;
pub mod rules;
pub mod scalability;
pub mod script;
pub mod search;
pub mod stamp;
pub mod table;
pub mod tap;
pub mod trace;
pub mod wire;
pub mod world;
