//! One participant's WebRTC transport: ICE-lite, DTLS, SRTP and SCTP on one five-tuple at a time.
//!
//! [`transport::Transport`] is the whole of it to the rest of the core; the other modules are its layers,
//! each a state machine of its own without clock or socket. Nothing here knows rooms, tracks or codecs.

pub mod dtls;
pub mod ice;
pub mod keying;
pub mod sctp;
pub mod sdp;
pub mod srtp;
pub mod transport;

#[cfg(test)]
mod tests;
