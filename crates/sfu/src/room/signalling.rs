//! What sessions say to the room: joining, and every command of a joined session.

use prost::Message;
use protocol::ids::TrackSid;
use protocol::livekit;

use super::links::{Links, Target};
use super::negotiation::Negotiation;
use super::participant::{Participant, PendingTrack};
use super::{Context, RouteChange};
use crate::command::{Join, Keyed, SessionCommand};
use crate::event::{Event, Joined, SessionEvent};
use crate::peer::sdp::parse::ParseLimits;
use crate::peer::sdp::{Negotiator, NegotiatorSettings, Offerer};
use crate::peer::transport::{IceCredentials, Transport, TransportError};

/// Codecs the server forwards, in order of preference.
const CODECS: [&str; 5] = ["audio/opus", "video/VP8", "video/VP9", "video/H264", "video/AV1"];

/// Bytes of a name or an id that a client chooses.
const MAX_NAME: usize = 256;

/// Characters of a layer's name (RFC 8851 §10): libwebrtc reads no longer ones, and livekit-client's have one.
const MAX_RID: usize = 16;

/// Bytes of an announcement. livekit-client's have about 300, everybody is told most of it, and some of it twice.
const MAX_ANNOUNCEMENT: usize = 1 << 10;

/// Layers of an announcement: more than any codec has.
const MAX_ANNOUNCED_LAYERS: usize = 8;

/// Features of an audio track: more than are defined.
const MAX_AUDIO_FEATURES: usize = 16;

impl super::Room {
    /// Lets a participant in; returns its key, or `None` if the room is full.
    pub(crate) fn join(&mut self, context: &mut Context<'_>, mut join: Join) -> Option<usize> {
        if !Self::may_be_told(&context.config.limits, &join) {
            context.reject("room", "announcements-too-large");
            refuse(context, &join, livekit::DisconnectReason::JoinFailure);
            return None;
        }
        if let Some(older) = self.by_identity.get(&join.identity).copied() {
            // The newer connection wins: its token is the proof.
            self.leave(
                context,
                older,
                livekit::DisconnectReason::DuplicateIdentity,
                livekit::leave_request::Action::Disconnect,
            );
        }
        if self.participants.len() >= context.config.limits.participants || self.is_full_for(join.kind) {
            context.reject("room", "full");
            refuse(context, &join, livekit::DisconnectReason::JoinFailure);
            return None;
        }
        let key = match self.add_participant(context, &join) {
            Ok(key) => key,
            Err(error) => {
                context.reject(error.layer(), error.code());
                refuse(context, &join, livekit::DisconnectReason::JoinFailure);
                return None;
            }
        };
        self.empty_since = None;
        self.settings.was_joined = true;
        self.note_recording(context, Some(key)); // a session's first word is `Joined`, which says it too
        self.next_tick = self.next_tick.max(context.now);
        let offer = join.offer.take();
        let joined = Joined {
            room: self.room_info(),
            participant: self
                .participants
                .get(key)
                .map(|participant| self.info(participant))
                .unwrap_or_default(),
            others: self
                .participants
                .iter()
                .filter(|(other, participant)| *other != key && participant.is_visible())
                .map(|(_, participant)| self.info(participant))
                .collect(),
            enabled_publish_codecs: CODECS
                .map(|mime| livekit::Codec { mime: mime.to_owned(), fmtp_line: String::new() })
                .to_vec(),
            subscriber_primary: join.two_connections,
        };
        context.events.push_back(Event::Session(join.session, SessionEvent::Joined(Box::new(joined))));
        context
            .events
            .push_back(Event::ParticipantJoined { room: self.name.clone(), identity: join.identity.clone() });
        self.announce(context, key);
        self.tell_speakers(context, key);
        self.tell_quality(context, key);
        self.subscribe_to_all(key);
        for request in std::mem::take(&mut join.add_tracks) {
            self.add_track(context, key, request);
        }
        match offer {
            Some(offer) => self.handle_offer(context, key, &offer),
            None => self.request_sections(context, key),
        }
        self.schedule(context, key);
        Some(key)
    }

    fn add_participant(&mut self, context: &mut Context<'_>, join: &Join) -> Result<usize, TransportError> {
        let credentials = IceCredentials::generate(context.config.worker, context.random);
        let ufrag = credentials.ufrag.clone();
        let transport = match &join.keyed {
            None if join.two_connections => {
                Transport::new(context.shared, credentials, context.now).opening_channels()
            }
            None => Transport::new(context.shared, credentials, context.now),
            Some(keyed) => connected(context, keyed)?,
        };
        let publisher = join.keyed.as_ref().and_then(|keyed| keyed.publisher.as_ref());
        let negotiation = Negotiation {
            answerer: Negotiator::new(negotiator_settings(context)),
            offerer: join.two_connections.then(|| Offerer::new(negotiator_settings(context))),
        };
        let (mut links, target) = match join.two_connections {
            true => (Links::pair(transport), Target::Subscriber),
            false => (Links::single(transport), Target::Publisher),
        };
        if let Some(publisher) = publisher {
            links.add_publisher(connected(context, publisher)?);
        }
        let sid = protocol::ids::ParticipantSid::from_random(context.random());
        let own_ssrc = context.random_ssrc();
        let participant =
            Participant::new(sid, join, links, negotiation, own_ssrc, context.now, &context.config.bandwidth);
        let key = self.participants.insert(participant);
        self.by_identity.insert(join.identity.clone(), key);
        match &join.keyed {
            None => context.routes.push(RouteChange::AddUfrag(ufrag, (key, target))),
            Some(keyed) => context.routes.push(RouteChange::AddAddress(keyed.remote, (key, target))),
        }
        if let Some(publisher) = publisher {
            context.routes.push(RouteChange::AddAddress(publisher.remote, (key, Target::Publisher)));
        }
        Ok(key)
    }

    /// Tells the others that somebody came.
    fn announce(&self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        if participant.is_visible() {
            let update = SessionEvent::ParticipantUpdate(vec![self.info(participant)]);
            self.broadcast(context, Some(key), update);
        }
    }

    /// A command of a joined session.
    pub(crate) fn handle_command(&mut self, context: &mut Context<'_>, key: usize, command: SessionCommand) {
        match command {
            SessionCommand::Offer(offer) => self.handle_offer(context, key, &offer),
            SessionCommand::Answer(answer) => self.handle_answer(context, key, &answer),
            // ICE-lite answers checks and starts none, so it needs no candidates of the other side.
            SessionCommand::Trickle(_) => {}
            SessionCommand::AddTrack(request) => self.add_track(context, key, *request),
            SessionCommand::Mute { track, muted } => self.mute(context, key, &track, muted),
            SessionCommand::Subscription(update) => self.update_subscription(context, key, &update),
            SessionCommand::TrackSetting(settings) => self.update_track_settings(context, key, &settings),
            SessionCommand::SubscriptionPermission(permission) => {
                self.update_subscription_permission(context, key, permission);
            }
            SessionCommand::UpdateMetadata(update) => self.update_metadata(context, key, update),
            SessionCommand::UpdateAudioTrack(update) => {
                let track = self.own_track(key, &update.track_sid);
                if update.features.len() > MAX_AUDIO_FEATURES {
                    return context.reject("signal", "invalid-track");
                }
                if !self.may_change_track(&context.config.limits, key) {
                    return context.reject("signal", "announcements-too-large");
                }
                self.change_track(context, key, track, |info| info.audio_features = update.features);
            }
            SessionCommand::UpdateVideoTrack(update) => {
                let track = self.own_track(key, &update.track_sid);
                if !self.may_change_track(&context.config.limits, key) {
                    return context.reject("signal", "announcements-too-large");
                }
                self.change_track(context, key, track, |info| {
                    (info.width, info.height) = (update.width, update.height);
                });
            }
            SessionCommand::PublishDataTrack(request) => self.publish_data_track(context, key, request),
            SessionCommand::UnpublishDataTrack(request) => self.unpublish_data_track(context, key, request),
            SessionCommand::DataSubscription(update) => self.update_data_subscription(context, key, &update),
            SessionCommand::SyncState(state) => self.sync(context, key, &state),
            SessionCommand::Leave(reason) => {
                self.remove(context, key, reason);
            }
            SessionCommand::Disconnected => {
                if let Some(participant) = self.participants.get_mut(key) {
                    if let Some(session) = participant.session.take() {
                        context.routes.push(RouteChange::RemoveSession(session));
                    }
                    participant.disconnected_at = Some(context.now);
                }
            }
        }
        self.mark_dirty(key);
        self.schedule(context, key);
    }

    pub(super) fn handle_offer(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        offer: &livekit::SessionDescription,
    ) {
        if let Err(code) = self.negotiate(context, key, offer) {
            self.refuse_description(context, key, "offer", code);
        }
    }

    /// Ends a participant whose offer or answer is of no use, and says why.
    pub(super) fn refuse_description(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        what: &'static str,
        code: &'static str,
    ) {
        context.reject("sdp", code);
        let refusal = livekit::RequestResponse {
            reason: livekit::request_response::Reason::InvalidRequest.into(),
            message: format!("the {what} cannot be used: {code}"),
            ..Default::default()
        };
        self.tell(context, key, SessionEvent::RequestResponse(refusal));
        self.leave(
            context,
            key,
            livekit::DisconnectReason::JoinFailure,
            livekit::leave_request::Action::Disconnect,
        );
    }

    pub(super) fn add_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        request: livekit::AddTrackRequest,
    ) {
        let limit = context.config.limits.tracks;
        if !request.sid.is_empty() && is_reasonable(&request) {
            return self.announce_backup(context, key, request);
        }
        let Some(participant) = self.participants.get(key) else { return };
        let announced = participant.pending_tracks.iter().find(|pending| pending.request.cid == request.cid);
        let sid = match announced {
            Some(pending) => pending.sid.clone(), // asked twice: the same answer
            None => TrackSid::from_random(context.random()),
        };
        let pending = PendingTrack { sid, request };
        let request = &pending.request;
        let refusal = if !participant.may_publish(request.source) {
            Some((livekit::request_response::Reason::NotAllowed, "publish-not-allowed"))
        } else if participant.published.len() + participant.pending_tracks.len() >= limit {
            Some((livekit::request_response::Reason::LimitExceeded, "too-many-tracks"))
        } else if !is_reasonable(request) {
            Some((livekit::request_response::Reason::InvalidRequest, "invalid-track"))
        } else if !self.may_announce(&context.config.limits, key, &pending) {
            Some((livekit::request_response::Reason::LimitExceeded, "announcements-too-large"))
        } else {
            None
        };
        if let Some((reason, code)) = refusal {
            return self.refuse_track(context, key, pending.request, reason, code);
        }
        let response = livekit::TrackPublishedResponse {
            cid: request.cid.clone(),
            track: Some(super::publishing::track_info(&pending.sid, request)),
        };
        let Some(participant) = self.participants.get_mut(key) else { return };
        participant.pending_tracks.retain(|known| known.request.cid != pending.request.cid);
        participant.pending_tracks.push(pending);
        self.tell(context, key, SessionEvent::TrackPublished(response));
        // The offer may have been quicker than the announcement.
        self.publish_offered(context, key);
    }

    /// Tells a publisher that a track it announced is not taken, and why.
    pub(super) fn refuse_track(
        &self,
        context: &mut Context<'_>,
        key: usize,
        request: livekit::AddTrackRequest,
        reason: livekit::request_response::Reason,
        code: &'static str,
    ) {
        context.reject("signal", code);
        let response = livekit::RequestResponse {
            reason: reason.into(),
            message: code.to_owned(),
            request: Some(livekit::request_response::Request::AddTrack(request)),
            ..Default::default()
        };
        self.tell(context, key, SessionEvent::RequestResponse(response));
    }

    pub(super) fn mute(&mut self, context: &mut Context<'_>, key: usize, track: &TrackSid, muted: bool) {
        let published = self.own_track(key, track.as_str());
        if let Some(track) = published.and_then(|track| self.tracks.get_mut(track)) {
            track.loudness.silence();
            if muted {
                self.hush(context, key);
            }
        } else if let Some(pending) = self.participants.get_mut(key).and_then(|participant| {
            participant.pending_tracks.iter_mut().find(|pending| pending.sid == *track)
        }) {
            pending.request.muted = muted;
        } else {
            return context.reject("room", "unknown-track"); // or somebody else's
        }
        self.change_track(context, key, published, |info| info.muted = muted);
        if let Some(track) = published.filter(|_| !muted) {
            self.set_silenced(context, track, false);
            self.want_keyframes(context, track);
        }
    }

    /// Key of one of the participant's own published tracks.
    pub(super) fn own_track(&self, key: usize, sid: &str) -> Option<usize> {
        let track = *self.by_track_sid.get(sid)?;
        (self.tracks.get(track)?.publisher == key).then_some(track)
    }

    /// Changes what is told of a track, and tells it.
    fn change_track(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        track: Option<usize>,
        change: impl FnOnce(&mut livekit::TrackInfo),
    ) {
        let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) else { return };
        let before = track.info.clone();
        change(&mut track.info);
        if track.info == before {
            return;
        }
        if let Some(participant) = self.participants.get_mut(key) {
            participant.version += 1;
        }
        self.broadcast_participant(context, key);
    }

    fn update_metadata(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        update: livekit::UpdateParticipantMetadata,
    ) {
        let limit = context.config.limits.metadata_bytes;
        let Some(participant) = self.participants.get(key) else { return };
        let changed = participant.described_by(&update);
        let fits = is_within(&changed, limit) && self.may_describe(&context.config.limits, key, &changed);
        let reason = if !participant.permission.can_update_metadata {
            livekit::request_response::Reason::NotAllowed
        } else if !fits {
            livekit::request_response::Reason::LimitExceeded
        } else {
            livekit::request_response::Reason::Ok
        };
        if reason == livekit::request_response::Reason::Ok {
            if let Some(participant) = self.participants.get_mut(key) {
                participant.describe(changed);
            }
            self.broadcast_participant(context, key);
        } else {
            context.reject("signal", "metadata-refused");
        }
        let response = livekit::RequestResponse {
            request_id: update.request_id,
            reason: reason.into(),
            request: Some(livekit::request_response::Request::UpdateMetadata(update)),
            ..Default::default()
        };
        self.tell(context, key, SessionEvent::RequestResponse(response));
    }
}

/// A transport whose keys are given.
fn connected(context: &Context<'_>, keyed: &Keyed) -> Result<Transport, TransportError> {
    Transport::keyed(context.shared, context.now, keyed.remote, None, keyed.profile, &keyed.keys)
}

fn negotiator_settings(context: &mut Context<'_>) -> NegotiatorSettings {
    let limits = &context.config.limits;
    NegotiatorSettings {
        limits: ParseLimits { bytes: limits.sdp_bytes, sections: limits.media_sections },
        session_id: u64::from_be_bytes(context.random()) >> 1,
        ..NegotiatorSettings::default()
    }
}

/// Whether everything in an announcement is of a size and kind that clients send: it is told to everybody.
fn is_reasonable(request: &livekit::AddTrackRequest) -> bool {
    use livekit::{TrackSource, TrackType};
    let kind = match request.source() {
        TrackSource::Microphone | TrackSource::ScreenShareAudio => Some(TrackType::Audio),
        TrackSource::Camera | TrackSource::ScreenShare => Some(TrackType::Video),
        TrackSource::Unknown => None,
    };
    let is_name = |text: &str| text.len() <= MAX_NAME;
    let are_layers = |layers: &[livekit::VideoLayer]| {
        layers.len() <= MAX_ANNOUNCED_LAYERS && layers.iter().all(|layer| layer.rid.len() <= MAX_RID)
    };
    kind.is_none_or(|kind| kind == request.r#type())
        && request.r#type() != TrackType::Data
        && !request.cid.is_empty()
        && request.encoded_len() <= MAX_ANNOUNCEMENT
        && [&request.cid, &request.name, &request.sid, &request.stream].into_iter().all(|text| is_name(text))
        && are_layers(&request.layers)
        && request.simulcast_codecs.len() <= MAX_ANNOUNCED_LAYERS
        && request
            .simulcast_codecs
            .iter()
            .all(|codec| is_name(&codec.cid) && is_name(&codec.codec) && are_layers(&codec.layers))
        && request.audio_features.len() <= MAX_AUDIO_FEATURES
}

/// Whether what is said of a participant has a size that is told to everybody.
pub(super) fn is_within(update: &livekit::UpdateParticipantMetadata, limit: usize) -> bool {
    described_bytes(update) <= limit && update.name.len() <= MAX_NAME
}

/// Bytes of what a participant says of itself, as [`crate::config::Limits::metadata_bytes`] counts them.
fn described_bytes(update: &livekit::UpdateParticipantMetadata) -> usize {
    let attributes = update.attributes.iter().map(|(name, value)| name.len() + value.len());
    update.metadata.len() + attributes.sum::<usize>()
}

/// Tells a session that it does not get in.
fn refuse(context: &mut Context<'_>, join: &Join, reason: livekit::DisconnectReason) {
    let leave = livekit::LeaveRequest {
        can_reconnect: false,
        reason: reason.into(),
        action: livekit::leave_request::Action::Disconnect.into(),
        regions: None,
    };
    context.events.push_back(Event::Session(join.session, SessionEvent::Leave(leave)));
}
