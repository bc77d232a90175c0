//! Data packets: from one participant's channel to the others', stamped with who sent them. The payload is
//! opaque.

use std::collections::HashSet;

use prost::Message;
use protocol::livekit;

use super::Context;
use super::participant::Participant;
use crate::peer::transport::DataChannel;

/// Destinations that one packet may name.
pub(super) const MAX_DESTINATIONS: usize = 256;

impl super::Room {
    /// A channel is open: what was kept for it goes out.
    pub(super) fn channel_opened(&mut self, context: &mut Context<'_>, key: usize, channel: DataChannel) {
        if channel != DataChannel::Reliable {
            return;
        }
        let Some(participant) = self.participants.get_mut(key) else { return };
        participant.reliable_open = true;
        for packet in participant.take_early() {
            self.send_data(context, key, DataChannel::Reliable, &packet);
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
            DataChannel::DataTrack => return self.forward_data_track(context, key, bytes),
        };
        let Some(participant) = self.participants.get_mut(key) else { return Ok(()) };
        if !participant.permission.can_publish_data {
            return Err("not-allowed");
        }
        if bytes.len() > context.config.limits.data_bytes {
            return Err("too-large");
        }
        let mut packet = livekit::DataPacket::decode(bytes).map_err(|_| "malformed")?;
        if channel == DataChannel::Reliable && packet.sequence != 0 {
            if packet.sequence <= participant.last_sequence {
                return Err("repeated"); // sent again after a resume; it had arrived
            }
            participant.last_sequence = packet.sequence;
        }
        if self.take_answer(context, key, &packet) {
            return Ok(());
        }
        let Some(participant) = self.participants.get(key) else { return Ok(()) };
        packet.kind = kind.into();
        (packet.participant_sid, packet.participant_identity) = sender(participant);
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
        let are_metrics = matches!(packet.value, Some(livekit::data_packet::Value::Metrics(_)));
        let to_all = destinations.is_empty() && destination_sids.is_empty();
        let keys: Vec<usize> = self
            .participants
            .iter()
            .filter(|(other, participant)| {
                *other != key
                    && (!are_metrics || participant.permission.can_subscribe_metrics)
                    && (to_all
                        || destinations.contains(participant.identity.expose())
                        || destination_sids.contains(participant.sid.as_str()))
            })
            .map(|(other, _)| other)
            .collect();
        for other in keys {
            self.send_data(context, other, channel, &encoded);
            if channel == DataChannel::Reliable {
                self.note_backlog(context, key, other);
            }
        }
        Ok(())
    }

    pub(super) fn send_data(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        channel: DataChannel,
        bytes: &[u8],
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let lost = match channel {
            DataChannel::Reliable if !participant.reliable_open => {
                (!participant.keep_early(bytes)).then_some(("data", "early-queue-full"))
            }
            // Lossy data before the channel is open, or while it is full, is lost by its nature.
            _ => participant
                .links
                .sending_mut()
                .transport
                .send_data(context.now, channel, bytes)
                .err()
                .filter(|_| channel == DataChannel::Reliable)
                .map(|error| (error.layer(), error.code())),
        };
        if let Some((layer, code)) = lost {
            // Whoever cannot keep up must know that something is missing: their client starts afresh.
            context.reject(layer, code);
            return self.start_afresh(context, key);
        }
        self.mark_dirty(key);
        self.schedule(context, key);
    }
}

/// Id and identity of who sent it, as others may know them: of who is hidden they know nothing.
fn sender(participant: &Participant) -> (String, String) {
    match participant.is_visible() {
        true => (participant.sid.to_string(), participant.identity.expose().to_owned()),
        false => Default::default(),
    }
}

/// Says who sent it, whatever the sender wrote there, and collects the destinations of older clients.
#[expect(deprecated, reason = "older clients name sender and destinations inside the user packet")]
fn stamp(
    user: &mut livekit::UserPacket,
    participant: &Participant,
    identities: &mut HashSet<String>,
    sids: &mut HashSet<String>,
) {
    (user.participant_sid, user.participant_identity) = sender(participant);
    identities.extend(user.destination_identities.iter().cloned());
    sids.extend(user.destination_sids.iter().cloned());
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use protocol::ids::{RoomName, RoomSid, SessionId};

    use super::*;
    use crate::event::{Event, SessionEvent};
    use crate::peer::sctp::RELIABLE_QUEUE;
    use crate::room::test_world::turn;
    use crate::room::{Context, Room};

    #[test]
    fn whoever_cannot_take_what_must_not_be_lost_is_told_to_start_afresh() {
        turn(crate::test_start(), early_data_has_a_bound);
    }

    fn early_data_has_a_bound(context: &mut Context<'_>) {
        let mut room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, context.now);
        let anna = room.join(context, crate::test_join(1, "r", "anna")).unwrap();
        room.join(context, crate::test_join(2, "r", "ben")).unwrap();

        // Ben never opens the channel: what is kept for him has a bound.
        let user = livekit::UserPacket { payload: vec![7; 60_000], ..Default::default() };
        let value = Some(livekit::data_packet::Value::User(user));
        let packet = livekit::DataPacket { value, ..Default::default() }.encode_to_vec();
        let leaves = |events: &VecDeque<Event>| {
            events.iter().any(|event| {
                matches!(event, Event::Session(SessionId(2), SessionEvent::Leave(leave))
                    if leave.action() == livekit::leave_request::Action::Reconnect)
            })
        };
        for _ in 0..RELIABLE_QUEUE / 61_000 {
            room.handle_data(context, anna, DataChannel::Reliable, &packet);
        }
        assert!(!leaves(context.events), "so much is kept");
        for _ in 0..10 {
            room.handle_data(context, anna, DataChannel::Reliable, &packet);
        }
        assert!(leaves(context.events));
        assert!(room.has_participant(anna));
        let counted = |event: &Event| matches!(event, Event::Rejected(rejection) if rejection.code == "early-queue-full");
        assert!(context.events.iter().any(counted));
    }

    #[test]
    #[expect(deprecated, reason = "older clients read the sender from the user packet")]
    fn who_is_hidden_is_not_named_and_metrics_go_to_who_may_have_them() {
        crate::room::test_world::turn(crate::test_start(), |context| {
            let mut room = Room::new(RoomName::new("r"), RoomSid::from_random([1; 12]), 0, context.now);
            let mut enter = |session, identity, change: fn(&mut livekit::ParticipantPermission)| {
                let mut join = crate::test_join(session, "r", identity);
                change(&mut join.permission);
                room.join(context, join).unwrap()
            };
            let anna = enter(1, "anna", |_| {});
            let ghost = enter(2, "ghost", |permission| permission.hidden = true);
            let ben = enter(3, "ben", |_| {});
            let cleo = enter(4, "cleo", |permission| permission.can_subscribe_metrics = true);
            let value = livekit::data_packet::Value::User(livekit::UserPacket::default());
            let user = livekit::DataPacket { value: Some(value), ..Default::default() }.encode_to_vec();
            let value = livekit::data_packet::Value::Metrics(livekit::MetricsBatch::default());
            let metrics = livekit::DataPacket { value: Some(value), ..Default::default() }.encode_to_vec();
            let got = |room: &mut Room, key: usize| -> Vec<livekit::DataPacket> {
                let kept = room.participants[key].take_early();
                kept.iter().map(|packet| livekit::DataPacket::decode(&packet[..]).unwrap()).collect()
            };

            room.handle_data(context, anna, DataChannel::Reliable, &user);
            room.handle_data(context, ghost, DataChannel::Reliable, &user);
            let [named, nameless] = &got(&mut room, ben)[..] else { panic!("two packets") };
            assert_eq!(named.participant_identity, "anna");
            let Some(livekit::data_packet::Value::User(user)) = &nameless.value else {
                panic!("a user packet")
            };
            let names = [&nameless.participant_identity, &nameless.participant_sid];
            assert_eq!(names, [&user.participant_identity, &user.participant_sid]);
            assert_eq!(names, ["", ""]);

            got(&mut room, cleo);
            room.handle_data(context, anna, DataChannel::Reliable, &metrics);
            assert_eq!((got(&mut room, ben).len(), got(&mut room, cleo).len()), (0, 1));
        });
    }
}
