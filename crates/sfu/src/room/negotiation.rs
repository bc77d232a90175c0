//! What is negotiated with a participant: what it offers, and with two peer connections also what we offer.
//!
//! The rest of the room binds tracks to sections and never asks whose offer they are in.

use super::Context;
use crate::peer::sdp::{LocalTransport, Negotiator, Offerer, SectionIndex, SendSection};
use crate::peer::transport::Transport;

/// See the module's description.
pub(crate) struct Negotiation {
    /// Answers the client's offers: what it publishes, and with one peer connection also what it receives.
    pub(crate) answerer: Negotiator,
    /// With two peer connections: offers what the client receives.
    pub(crate) offerer: Option<Offerer>,
}

impl Negotiation {
    /// Takes the track off a section that the client receives on.
    pub(crate) fn unbind(&mut self, section: SectionIndex) {
        match &mut self.offerer {
            Some(offerer) => offerer.unbind(section),
            None => self.answerer.unbind(section),
        }
    }

    /// What the client receives on a section, and how.
    pub(crate) fn send_section(&self, section: SectionIndex) -> Option<&SendSection> {
        match &self.offerer {
            Some(offerer) => offerer.send_section(section),
            None => self.answerer.send_section(section),
        }
    }
}

/// What descriptions say of our end of a connection.
pub(super) fn local<'a>(context: &'a Context<'_>, transport: &'a Transport) -> LocalTransport<'a> {
    let credentials = transport.local_credentials();
    LocalTransport {
        ice_ufrag: &credentials.ufrag,
        ice_pwd: &credentials.pwd,
        candidates: &context.config.candidates,
        fingerprint: context.shared.fingerprint(),
        sctp_port: 5000,
        max_message_size: 262_144,
    }
}
