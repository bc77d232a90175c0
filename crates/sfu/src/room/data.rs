//! Data packets: from one participant's channel to the others', stamped with who sent them. The payload is
//! opaque.

use std::collections::HashSet;

use prost::Message;
use protocol::livekit;

use super::Context;
use crate::peer::transport::DataChannel;

/// Destinations that one packet may name.
const MAX_DESTINATIONS: usize = 256;

impl super::Room {
    /// A channel is open: what was kept for it goes out.
    pub(super) fn channel_opened(&mut self, context: &mut Context<'_>, key: usize, channel: DataChannel) {
        if channel != DataChannel::Reliable {
            return;
        }
        let Some(participant) = self.participants.get_mut(key) else { return };
        participant.reliable_open = true;
        for packet in participant.take_early() {
            if let Err(error) = participant.transport.send_data(context.now, DataChannel::Reliable, &packet) {
                context.reject(error.layer(), error.code());
            }
        }
        self.mark_dirty(key);
    }

    /// A message on one of a participant's channels.
    pub(super) fn handle_data(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        channel: DataChannel,
        bytes: &[u8],
    ) {
        match self.route_data(context, key, channel, bytes) {
            Ok(()) => {}
            Err(code) => context.reject("data", code),
        }
    }

    #[expect(deprecated, reason = "older clients read the kind from the packet and send speakers")]
    fn route_data(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        channel: DataChannel,
        bytes: &[u8],
    ) -> Result<(), &'static str> {
        let kind = match channel {
            DataChannel::Reliable => livekit::data_packet::Kind::Reliable,
            DataChannel::Lossy => livekit::data_packet::Kind::Lossy,
            DataChannel::DataTrack => return Err("data-track-unsupported"),
        };
        let Some(participant) = self.participants.get(key) else { return Ok(()) };
        if !participant.permission.can_publish_data {
            return Err("not-allowed");
        }
        if bytes.len() > context.config.limits.data_bytes {
            return Err("too-large");
        }
        let mut packet = livekit::DataPacket::decode(bytes).map_err(|_| "malformed")?;
        packet.kind = kind.into();
        packet.participant_sid = participant.sid.to_string();
        packet.participant_identity = participant.identity.expose().to_owned();
        let mut destinations: HashSet<String> = packet.destination_identities.iter().cloned().collect();
        let mut destination_sids = HashSet::new();
        match &mut packet.value {
            Some(livekit::data_packet::Value::User(user)) => {
                stamp(user, participant, &mut destinations, &mut destination_sids)
            }
            Some(livekit::data_packet::Value::Speaker(_)) | None => return Err("unexpected-content"),
            Some(_) => {}
        }
        if destinations.len() + destination_sids.len() > MAX_DESTINATIONS {
            return Err("too-many-destinations");
        }
        let encoded = packet.encode_to_vec();
        let to_all = destinations.is_empty() && destination_sids.is_empty();
        let keys: Vec<usize> = self
            .participants
            .iter()
            .filter(|(other, participant)| {
                *other != key
                    && (to_all
                        || destinations.contains(participant.identity.expose())
                        || destination_sids.contains(participant.sid.as_str()))
            })
            .map(|(other, _)| other)
            .collect();
        for other in keys {
            self.send_data(context, other, channel, &encoded);
        }
        Ok(())
    }

    fn send_data(&mut self, context: &mut Context<'_>, key: usize, channel: DataChannel, bytes: &[u8]) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if channel == DataChannel::Reliable && !participant.reliable_open {
            if !participant.keep_early(bytes) {
                context.reject("data", "early-queue-full");
            }
            return;
        }
        if let Err(error) = participant.transport.send_data(context.now, channel, bytes)
            && channel == DataChannel::Reliable
        {
            // Lossy data before the channel is open, or while it is full, is lost by its nature.
            context.reject(error.layer(), error.code());
        }
        self.mark_dirty(key);
        self.schedule(context, key);
    }
}

/// Says who sent it, whatever the sender wrote there, and collects the destinations of older clients.
#[expect(deprecated, reason = "older clients name sender and destinations inside the user packet")]
fn stamp(
    user: &mut livekit::UserPacket,
    sender: &super::participant::Participant,
    identities: &mut HashSet<String>,
    sids: &mut HashSet<String>,
) {
    user.participant_sid = sender.sid.to_string();
    user.participant_identity = sender.identity.expose().to_owned();
    identities.extend(user.destination_identities.iter().cloned());
    sids.extend(user.destination_sids.iter().cloned());
}
