//! What the server API asks of a room: its settings, its participants, data from outside.

use std::collections::HashSet;
use std::time::Duration;

use prost::Message;
use protocol::ids::{Identity, TrackSid};
use protocol::livekit;

use super::Context;
use super::data::MAX_DESTINATIONS;
use crate::command::administration::{Answer, Answered, Refusal, RequestId, RoomCommand, RoomSettings};
use crate::event::SessionEvent;
use crate::peer::transport::DataChannel;

/// How long a room of the server API waits for its first participant unless told otherwise; as in LiveKit's
/// server.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(300);

/// How long it lives after its last participant unless told otherwise; as in LiveKit's server.
const DEPARTURE_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a topic and of a nonce; clients write a word and 16 bytes.
const MAX_LABEL: usize = 256;

/// Sources that a permission names: more than there are.
const MAX_SOURCES: usize = 16;

/// How a room is, apart from who is in it.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// How long it lives without participants: before the first and after the last. `None` in rooms that
    /// began with a link: the configuration says it.
    timeouts: Option<(Duration, Duration)>,
    /// 0 is as many as the configuration allows.
    max_participants: u32,
    /// Whether somebody ever was in the room.
    pub(super) was_joined: bool,
    /// Whether a recorder is in the room.
    pub(super) is_recorded: bool,
}

impl Settings {
    /// How long the room lives without participants.
    pub(super) fn grace(&self, of_links: Duration) -> Duration {
        match self.timeouts {
            None => of_links,
            Some((empty, departure)) => {
                if self.was_joined {
                    departure
                } else {
                    empty
                }
            }
        }
    }

    fn apply(&mut self, settings: &RoomSettings) {
        let (empty, departure) = self.timeouts.unwrap_or((EMPTY_TIMEOUT, DEPARTURE_TIMEOUT));
        self.timeouts =
            Some((settings.empty_timeout.unwrap_or(empty), settings.departure_timeout.unwrap_or(departure)));
        self.max_participants = settings.max_participants.unwrap_or(self.max_participants);
    }

    /// What is told of it.
    pub(super) fn describe(&self, room: &mut livekit::Room) {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let (empty, departure) = self.timeouts.unwrap_or_default();
        (room.empty_timeout, room.departure_timeout) = (seconds(empty), seconds(departure));
        room.max_participants = self.max_participants;
        room.active_recording = self.is_recorded;
    }
}

/// Whether a participant counts for a room's `max_participants`.
fn counts(kind: livekit::participant_info::Kind) -> bool {
    use livekit::participant_info::Kind;
    !matches!(kind, Kind::Egress | Kind::Agent)
}

impl super::Room {
    /// Settings of a room that starts.
    pub(crate) fn configure(&mut self, settings: &RoomSettings) {
        self.settings.apply(settings);
        if let Some(metadata) = &settings.metadata {
            self.metadata.clone_from(metadata);
        }
    }

    /// Changes the settings of a room that runs.
    pub(crate) fn reconfigure(&mut self, context: &mut Context<'_>, settings: &RoomSettings) {
        let before = self.room_info();
        self.configure(settings);
        if self.room_info() != before {
            self.tell_room(context, None);
        }
    }

    /// Whether nobody was in the room yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.settings.was_joined
    }

    /// Whether a newcomer of this kind would be more than the room may hold.
    pub(super) fn is_full_for(&self, kind: livekit::participant_info::Kind) -> bool {
        let max = usize::try_from(self.settings.max_participants).unwrap_or(usize::MAX);
        let present = || self.participants.iter().filter(|(_, other)| counts(other.kind)).count();
        max > 0 && counts(kind) && present() >= max
    }

    /// A recorder came or went: everybody but `except` is told, since it concerns them.
    #[expect(deprecated, reason = "the permission is what tokens and LiveKit's clients know")]
    pub(super) fn note_recording(&mut self, context: &mut Context<'_>, except: Option<usize>) {
        let is_recorded = self.participants.iter().any(|(_, participant)| participant.permission.recorder);
        if std::mem::replace(&mut self.settings.is_recorded, is_recorded) != is_recorded {
            self.tell_room(context, except);
        }
    }

    fn tell_room(&self, context: &mut Context<'_>, except: Option<usize>) {
        self.broadcast(context, except, SessionEvent::RoomUpdate(Box::new(self.room_info())));
    }

    /// Does what the server API asks for. `None`: the answer comes later.
    pub(crate) fn administer(
        &mut self,
        context: &mut Context<'_>,
        id: RequestId,
        command: RoomCommand,
    ) -> Option<Answer> {
        Some(match command {
            RoomCommand::ListParticipants => {
                let infos = self.participants.iter().map(|(_, participant)| self.info(participant));
                Ok(Answered::Participants(infos.collect()))
            }
            RoomCommand::GetParticipant(identity) => self.participant(&identity),
            RoomCommand::RemoveParticipant(identity) => self.expel(context, &identity),
            RoomCommand::MuteTrack { identity, track, muted } => {
                self.mute_for(context, &identity, &track, muted)
            }
            RoomCommand::UpdateParticipant { identity, texts, permission } => {
                self.update_participant(context, &identity, &texts, permission.map(|permission| *permission))
            }
            RoomCommand::UpdateSubscriptions { identity, update } => {
                self.subscribe_for(context, &identity, &update)
            }
            RoomCommand::SendData(request) => self.send_data_of_nobody(context, *request),
            RoomCommand::UpdateMetadata(metadata) => self.update_room_metadata(context, metadata),
            RoomCommand::Move { identity, moved } => self.send_away(context, &identity, moved),
            RoomCommand::PerformRpc { identity, call } => {
                return self.call(context, id, &identity, call).err().map(Err);
            }
        })
    }

    /// Key of a participant.
    pub(super) fn key_of(&self, identity: &Identity) -> Result<usize, Refusal> {
        self.by_identity.get(identity).copied().ok_or(Refusal::UnknownParticipant)
    }

    fn participant(&self, identity: &Identity) -> Answer {
        let participant = self.participants.get(self.key_of(identity)?).ok_or(Refusal::UnknownParticipant)?;
        Ok(Answered::Participant(Box::new(self.info(participant))))
    }

    fn expel(&mut self, context: &mut Context<'_>, identity: &Identity) -> Answer {
        let key = self.key_of(identity)?;
        self.leave(
            context,
            key,
            livekit::DisconnectReason::ParticipantRemoved,
            livekit::leave_request::Action::Disconnect,
        );
        Ok(Answered::Done)
    }

    fn mute_for(
        &mut self,
        context: &mut Context<'_>,
        identity: &Identity,
        track: &TrackSid,
        muted: bool,
    ) -> Answer {
        let key = self.key_of(identity)?;
        let published = self.own_track(key, track.as_str()).ok_or(Refusal::UnknownTrack)?;
        if !muted && !context.config.remote_unmute {
            return Err(Refusal::UnmuteNotAllowed);
        }
        self.tell(
            context,
            key,
            SessionEvent::Mute(livekit::MuteTrackRequest { sid: track.to_string(), muted }),
        );
        self.mute(context, key, track, muted);
        self.set_silenced(context, published, muted); // also if its client does not obey
        let track = self.tracks.get(published).ok_or(Refusal::UnknownTrack)?;
        Ok(Answered::Track(Box::new(track.info.clone())))
    }

    fn update_participant(
        &mut self,
        context: &mut Context<'_>,
        identity: &Identity,
        texts: &livekit::UpdateParticipantMetadata,
        permission: Option<livekit::ParticipantPermission>,
    ) -> Answer {
        let key = self.key_of(identity)?;
        if permission.as_ref().is_some_and(|new| new.can_publish_sources.len() > MAX_SOURCES) {
            return Err(Refusal::TooMany);
        }
        let limit = context.config.limits.metadata_bytes;
        let participant = self.participants.get(key).ok_or(Refusal::UnknownParticipant)?;
        let changed = participant.described_by(texts);
        if !super::signalling::is_within(&changed, limit)
            || !self.may_describe(&context.config.limits, key, &changed)
        {
            return Err(Refusal::TextTooLarge);
        }
        self.participants.get_mut(key).ok_or(Refusal::UnknownParticipant)?.describe(changed);
        match permission {
            Some(permission) => self.change_permission(context, key, permission),
            None => self.broadcast_participant(context, key),
        }
        self.participant(identity)
    }

    fn subscribe_for(
        &mut self,
        context: &mut Context<'_>,
        identity: &Identity,
        update: &livekit::UpdateSubscription,
    ) -> Answer {
        let key = self.key_of(identity)?;
        let mut sids = update
            .track_sids
            .iter()
            .chain(update.participant_tracks.iter().flat_map(|tracks| tracks.track_sids.iter()));
        if sids.clone().count() > context.config.limits.media_sections {
            return Err(Refusal::TooMany);
        }
        if sids.any(|sid| !self.by_track_sid.contains_key(sid.as_str())) {
            return Err(Refusal::UnknownTrack);
        }
        self.update_subscription(context, key, update);
        Ok(Answered::Done)
    }

    #[expect(deprecated, reason = "older programs name destinations by sid, older clients read the kind")]
    fn send_data_of_nobody(
        &mut self,
        context: &mut Context<'_>,
        request: livekit::SendDataRequest,
    ) -> Answer {
        let channel = match request.kind() {
            livekit::data_packet::Kind::Reliable => DataChannel::Reliable,
            livekit::data_packet::Kind::Lossy => DataChannel::Lossy,
        };
        if request.destination_identities.len() + request.destination_sids.len() > MAX_DESTINATIONS {
            return Err(Refusal::TooMany);
        }
        let label = request.topic.as_ref().map_or(0, String::len).max(request.nonce.len());
        let kind = request.kind;
        let user = livekit::UserPacket {
            payload: request.data,
            topic: request.topic,
            nonce: request.nonce,
            destination_identities: request.destination_identities.clone(),
            destination_sids: request.destination_sids.clone(),
            ..Default::default()
        };
        let packet = livekit::DataPacket {
            kind,
            destination_identities: request.destination_identities,
            value: Some(livekit::data_packet::Value::User(user)),
            ..Default::default()
        };
        if label > MAX_LABEL || packet.encoded_len() > context.config.limits.data_bytes {
            return Err(Refusal::DataTooLarge);
        }
        let identities: HashSet<&str> = packet.destination_identities.iter().map(String::as_str).collect();
        let sids: HashSet<&str> = request.destination_sids.iter().map(String::as_str).collect();
        let to_all = identities.is_empty() && sids.is_empty();
        let is_meant = |participant: &super::Participant| {
            to_all
                || identities.contains(participant.identity.expose())
                || sids.contains(participant.sid.as_str())
        };
        let keys: Vec<usize> = self
            .participants
            .iter()
            .filter(|(_, participant)| is_meant(participant))
            .map(|(key, _)| key)
            .collect();
        let encoded = packet.encode_to_vec();
        for key in keys {
            self.send_data(context, key, channel, &encoded);
        }
        Ok(Answered::Done)
    }

    fn update_room_metadata(&mut self, context: &mut Context<'_>, metadata: String) -> Answer {
        if metadata.len() > context.config.limits.metadata_bytes {
            return Err(Refusal::TextTooLarge);
        }
        if self.metadata != metadata {
            self.metadata = metadata;
            self.tell_room(context, None);
        }
        Ok(Answered::Room(Box::new(self.room_info())))
    }

    /// The client gets a token for the other room and is asked to connect anew, so that the rooms may be on
    /// different workers.
    fn send_away(
        &mut self,
        context: &mut Context<'_>,
        identity: &Identity,
        moved: Box<livekit::RoomMovedResponse>,
    ) -> Answer {
        let key = self.key_of(identity)?;
        if self.participants.get(key).is_none_or(|participant| participant.session.is_none()) {
            return Err(Refusal::Away); // it would come back here
        }
        self.tell(context, key, SessionEvent::Moved(moved));
        self.leave(
            context,
            key,
            livekit::DisconnectReason::Migration,
            livekit::leave_request::Action::Reconnect,
        );
        Ok(Answered::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::test_world::World;

    #[test]
    #[expect(deprecated, reason = "the permission is what tokens and LiveKit's clients know")]
    fn a_recorder_s_first_word_is_that_it_joined_and_the_others_learn_that_they_are_recorded() {
        let mut world = World::new();
        world.join(1, "anna");
        let mut join = crate::test_join(2, "r", "recorder");
        join.permission.recorder = true;
        world.told.clear();
        world.enter(join);
        assert!(
            matches!(world.events(2).next(), Some(SessionEvent::Joined(joined)) if joined.room.active_recording)
        );
        let is_told =
            |event: &SessionEvent| matches!(event, SessionEvent::RoomUpdate(room) if room.active_recording);
        assert!(world.events(1).any(is_told));
        assert!(!world.events(2).any(is_told), "it knows");
    }
}
