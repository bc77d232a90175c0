//! The sockets: one port number, bound once for TCP and once per worker for UDP; batched sending and
//! receiving. It knows nothing about what is inside a datagram.
//!
//! This is the only crate with `unsafe` (module `mmsg`, and one call in `limits`).

mod bind;
mod interfaces;
mod limits;
#[cfg(target_os = "linux")]
mod mmsg;
mod receive;
mod udp;

pub use bind::{BindError, BindRequest, Bound, bind};
pub use interfaces::candidate_addresses;
pub use limits::raise_file_limit;
pub use receive::{ReceiveBuffers, Received};
pub use udp::{Outgoing, SendCounts, UdpSocket};
