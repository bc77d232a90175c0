//! Subscriptions: what a participant wants and may have, bound to media sections of its offers.
//!
//! With one peer connection the client is the only offerer. So a subscription first is a wish; when sections are
//! missing or their content changed, the client is asked to offer again (`MediaSectionsRequirement`), and its offer
//! binds. With two, we offer ([`super::offering`]).

use std::time::Duration;

use protocol::livekit;

use super::Context;
use super::participant::{Participant, Subscription};
use crate::event::SessionEvent;
use crate::peer::sdp::{MediaKind, SectionIndex, SendTrack};
use crate::track::down_track::DownTrack;
use crate::track::up_track::{Subscriber, UpTrack};
use crate::track::wish::Wish;

/// An answer goes over TCP, where a long one takes another round trip, and is worked on before it holds; pictures over UDP
/// would be there first. libwebrtc begins a stream of its own for what it does not know and replaces it when the answer
/// comes: of one in ten such streams no picture was ever shown. Measured with LiveKit's Python SDK on a busy machine, meetings
/// of two without a picture: 10 of 85 with no hold, 5 of 120 with 30 and 60 ms, 0 of 125 with 100 ms.
const ANSWER_UNDERWAY: Duration = Duration::from_millis(200);

impl Participant {
    /// Takes a DownTrack off its section.
    pub(super) fn release(&mut self, down_track: usize) {
        if let Some(down) = self.down_tracks.try_remove(down_track) {
            self.negotiation.unbind(down.section);
            self.pacing.forget(down_track);
        }
    }

    /// Sections and their kinds that wishes wait for.
    pub(super) fn unbound<'a>(
        &'a self,
        tracks: &'a slab::Slab<UpTrack>,
    ) -> impl Iterator<Item = (usize, MediaKind)> + 'a {
        self.subscriptions
            .iter()
            .filter(|(_, subscription)| {
                subscription.desired && subscription.allowed && subscription.down_track.is_none()
            })
            .filter_map(|(track, _)| Some((*track, kind_of(tracks.get(*track)?))))
    }
}

impl super::Room {
    /// A participant subscribes to everything of which it has said nothing yet, if its client asked for that.
    pub(super) fn subscribe_to_all(&mut self, key: usize) {
        let Some(participant) = self.participants.get(key).filter(|it| it.auto_subscribe) else { return };
        let publications = self.tracks.iter().filter(|(_, track)| track.primary.is_none());
        let new = publications.filter(|(track, _)| !participant.subscriptions.contains_key(track));
        let new: Vec<usize> = new.map(|(track, _)| track).collect();
        for track in new {
            self.subscribe(key, track);
        }
    }

    /// Everybody who wants everything subscribes to a new track.
    pub(super) fn subscribe_all_to(&mut self, context: &mut Context<'_>, track: usize) {
        let keys: Vec<usize> = self
            .participants
            .iter()
            .filter(|(_, participant)| participant.auto_subscribe)
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.subscribe(key, track);
            self.request_sections(context, key);
        }
    }

    /// Notes the wish; binding comes with the next offer.
    pub(super) fn subscribe(&mut self, key: usize, track: usize) {
        let Some(up_track) = self.tracks.get(track) else { return };
        if up_track.publisher == key {
            return;
        }
        let allowed = self.may_subscribe(key, up_track);
        let Some(participant) = self.participants.get_mut(key).filter(|p| p.permission.can_subscribe) else {
            return;
        };
        let subscription = participant.subscriptions.entry(track).or_insert(Subscription {
            desired: true,
            allowed,
            wish: Wish::default(),
            down_track: None,
        });
        subscription.desired = true;
        subscription.allowed = allowed;
    }

    pub(super) fn unsubscribe(&mut self, key: usize, track: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(subscription) = participant.subscriptions.get_mut(&track) else { return };
        subscription.desired = false;
        self.drop_down_track(key, track);
    }

    /// Stops a subscription's flow of packets at once; the section follows with the next offer.
    pub(super) fn drop_down_track(&mut self, key: usize, track: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(subscription) = participant.subscriptions.get_mut(&track) else { return };
        if let Some(down) = subscription.down_track.take() {
            participant.release(down);
        }
        for source in [Some(track), self.backup_of(track)].into_iter().flatten() {
            if let Some(up_track) = self.tracks.get_mut(source) {
                up_track.subscribers.retain(|subscriber| subscriber.participant != key);
            }
        }
    }

    /// Whether the publisher lets this participant have the track.
    pub(super) fn may_subscribe(&self, key: usize, track: &UpTrack) -> bool {
        self.is_permitted(track.publisher, key, track.sid.as_str())
    }

    /// The same of any track, data tracks too, by its id.
    pub(super) fn is_permitted(&self, publisher: usize, subscriber: usize, track_sid: &str) -> bool {
        let (Some(publisher), Some(subscriber)) =
            (self.participants.get(publisher), self.participants.get(subscriber))
        else {
            return false;
        };
        if !publisher.is_visible() || !subscriber.permission.can_subscribe {
            return false;
        }
        let Some(permission) = &publisher.subscription_permission else { return true };
        permission.all_participants
            || permission.track_permissions.iter().any(|entry| {
                let is_meant = entry.participant_sid == subscriber.sid.as_str()
                    || (!entry.participant_identity.is_empty()
                        && entry.participant_identity == subscriber.identity.expose());
                is_meant && (entry.all_tracks || entry.track_sids.iter().any(|sid| sid == track_sid))
            })
    }

    pub(super) fn update_subscription(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        update: &livekit::UpdateSubscription,
    ) {
        let sids = update
            .track_sids
            .iter()
            .chain(update.participant_tracks.iter().flat_map(|tracks| tracks.track_sids.iter()));
        let mut unknown = Vec::new();
        for sid in sids.take(context.config.limits.media_sections) {
            match self.by_track_sid.get(sid.as_str()).copied() {
                Some(track) if update.subscribe => self.subscribe(key, track),
                Some(track) => self.unsubscribe(key, track),
                None if update.subscribe => unknown.push(sid.clone()),
                None => {}
            }
        }
        for track_sid in unknown {
            context.reject("room", "unknown-track");
            let response = livekit::SubscriptionResponse {
                track_sid,
                err: livekit::SubscriptionError::SeTrackNotfound.into(),
            };
            self.tell(context, key, SessionEvent::SubscriptionResponse(response));
        }
        self.request_sections(context, key);
    }

    pub(super) fn update_track_settings(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        settings: &livekit::UpdateTrackSettings,
    ) {
        for sid in settings.track_sids.iter().take(context.config.limits.media_sections) {
            let Some(track) = self.by_track_sid.get(sid.as_str()).copied() else {
                context.reject("room", "unknown-track");
                continue;
            };
            let Some(participant) = self.participants.get_mut(key) else { return };
            // A setting may come before the wish, and holds then.
            participant.subscriptions.entry(track).or_insert(Subscription {
                desired: false,
                allowed: false,
                wish: Wish::default(),
                down_track: None,
            });
            self.set_wish(key, track, |wish| *wish = Wish::from(settings));
            self.update_demand(context, track);
        }
        self.allocate(context, key);
    }

    /// Changes what a subscriber needs of a track; [`Self::allocate`] acts on it.
    pub(super) fn set_wish(&mut self, key: usize, track: usize, change: impl FnOnce(&mut Wish)) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(subscription) = participant.subscriptions.get_mut(&track) else { return };
        change(&mut subscription.wish);
        let down = subscription.down_track.and_then(|down| participant.down_tracks.get_mut(down));
        if let Some(down) = down
            && let Some(up_track) = self.tracks.get(down.track)
        {
            down.want(up_track.wanted(&subscription.wish));
        }
    }

    pub(super) fn update_subscription_permission(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        permission: livekit::SubscriptionPermission,
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let limits = &context.config.limits;
        if permission.track_permissions.len() > limits.participants
            || permission.track_permissions.iter().any(|entry| entry.track_sids.len() > limits.tracks)
        {
            context.reject("signal", "too-many-permissions");
            return;
        }
        participant.subscription_permission = Some(permission);
        self.follow_permission(context, key);
    }

    /// Looks anew whether a participant may have a track that it has or wants, and tells it of a change.
    pub(super) fn reconsider(&mut self, context: &mut Context<'_>, key: usize, track: usize) {
        let Some(up_track) = self.tracks.get(track) else { return };
        let (allowed, track_sid) = (self.may_subscribe(key, up_track), up_track.sid.to_string());
        let publisher = self.participants.get(up_track.publisher);
        let participant_sid = publisher.map(|publisher| publisher.sid.to_string()).unwrap_or_default();
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(subscription) = participant.subscriptions.get_mut(&track) else { return };
        if std::mem::replace(&mut subscription.allowed, allowed) == allowed {
            return;
        }
        if !allowed {
            self.drop_down_track(key, track);
        }
        let update = livekit::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed };
        self.tell(context, key, SessionEvent::SubscriptionPermissionUpdate(update));
    }

    /// Binds wishes to the free sections of the offer being answered.
    pub(super) fn bind_subscriptions(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let wishes: Vec<(usize, MediaKind)> = participant.unbound(&self.tracks).collect();
        let hold = ANSWER_UNDERWAY + participant.quality.rtt().unwrap_or_default();
        for (track, kind) in wishes {
            let Some(send) = self.send_track(context, track, kind) else { continue };
            let Some(participant) = self.participants.get_mut(key) else { return };
            let Some(section) = participant.negotiation.answerer.bind(send) else { continue };
            self.attach(context, key, track, section, hold);
        }
    }

    /// What a session description says of a track that we send.
    pub(super) fn send_track(
        &self,
        context: &mut Context<'_>,
        track: usize,
        kind: MediaKind,
    ) -> Option<SendTrack> {
        let up_track = self.tracks.get(track)?;
        let publisher_sid = self.participants.get(up_track.publisher)?.sid.to_string();
        Some(SendTrack {
            kind,
            participant_sid: publisher_sid.clone(),
            track_sid: up_track.sid.to_string(),
            stream: stream(up_track.info.source()),
            ssrc: context.random_ssrc(),
            rtx_ssrc: (kind == MediaKind::Video).then(|| context.random_ssrc()),
            cname: publisher_sid,
            stereo: up_track.is_stereo(),
        })
    }

    /// Begins to send a track on a section that it is bound to and that the client takes; pictures only after `hold`.
    pub(super) fn attach(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        track: usize,
        section: SectionIndex,
        hold: Duration,
    ) {
        let Some(participant) = self.participants.get(key) else { return };
        let Some(negotiated) = participant.negotiation.send_section(section) else { return };
        let source = self.first_codec(track, &negotiated.codecs);
        let Some(up_track) = self.tracks.get(source) else { return };
        let random = u32::from_be_bytes(context.random());
        let mut down = DownTrack::new(source, section, negotiated, &up_track.codecs, random);
        down.publication = track;
        down.held_until = Some(context.now + hold).filter(|_| !hold.is_zero() && !up_track.is_audio());
        let is_awaited = up_track.is_silent(); // its publisher is asked for it
        let Some(participant) = self.participants.get_mut(key) else { return };
        if !down.has_shared_codec() && !is_awaited {
            participant.negotiation.unbind(section);
            return self.refuse_codec(context, key, track);
        }
        let Some(subscription) = participant.subscriptions.get_mut(&track) else { return };
        down.wanted = up_track.wanted(&subscription.wish);
        let down_track = participant.down_tracks.insert(down);
        subscription.down_track = Some(down_track);
        if let Some(up_track) = self.tracks.get_mut(source) {
            up_track.subscribers.push(Subscriber { participant: key, down_track });
        }
        self.tell_subscribed(context, track);
        self.choose_codecs(context, track);
        self.update_demand(context, track);
        self.allocate(context, key);
        self.want_keyframe(context, key, down_track);
    }

    /// Publisher and subscriber share no codec: says so once and forgets the wish.
    pub(super) fn refuse_codec(&mut self, context: &mut Context<'_>, key: usize, track: usize) {
        if let Some(subscription) =
            self.participants.get_mut(key).and_then(|participant| participant.subscriptions.get_mut(&track))
        {
            subscription.desired = false;
        }
        self.tell_codec_unsupported(context, key, track);
    }

    /// Tells a subscriber that it cannot take what the publisher sends.
    pub(super) fn tell_codec_unsupported(&self, context: &mut Context<'_>, key: usize, track: usize) {
        let Some(up_track) = self.tracks.get(track) else { return };
        let response = livekit::SubscriptionResponse {
            track_sid: up_track.sid.to_string(),
            err: livekit::SubscriptionError::SeCodecUnsupported.into(),
        };
        context.reject("room", "no-shared-codec");
        self.tell(context, key, SessionEvent::SubscriptionResponse(response));
    }

    /// Frees what the client no longer receives, and takes over what its newest offer says of the rest.
    pub(super) fn refresh_down_tracks(&mut self, key: usize, lost: &[SectionIndex]) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let gone: Vec<usize> = participant
            .down_tracks
            .iter()
            .filter(|(_, down)| lost.contains(&down.section))
            .map(|(_, down)| down.publication)
            .collect();
        for track in gone {
            self.drop_down_track(key, track);
        }
        let Some(participant) = self.participants.get_mut(key) else { return };
        for (_, down) in &mut participant.down_tracks {
            if let (Some(send), Some(up_track)) =
                (participant.negotiation.send_section(down.section), self.tracks.get(down.track))
            {
                down.renegotiate(send, &up_track.codecs);
            }
        }
    }

    /// Sees to it that sections follow the wishes: offers them, or asks a client that offers itself for those that
    /// its wishes lack, or just to offer again when sections changed.
    /// What was asked for and has not come yet is not asked for twice.
    pub(super) fn request_sections(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.negotiation.offerer.is_some() {
            return self.offer(context, key);
        }
        if participant.ice_parameters.is_none() && participant.negotiation.answerer.section_count() == 0 {
            // Its first offer is still to come and binds what it can.
            return;
        }
        let (mut audios, mut videos) = (0, 0);
        for (_, kind) in participant.unbound(&self.tracks) {
            match kind {
                MediaKind::Audio => audios += 1,
                MediaKind::Video => videos += 1,
                MediaKind::Application => {}
            }
        }
        let free =
            [MediaKind::Audio, MediaKind::Video].map(|kind| participant.negotiation.answerer.available(kind));
        let bindable = audios.min(free[0]) + videos.min(free[1]);
        // What was asked for and has not come yet counts as well, and all of it must fit into an offer. Wishes
        // beyond that wait until others free their sections.
        let asked = participant.requested;
        let wanted = (audios.saturating_sub(free[0]), videos.saturating_sub(free[1]));
        let fitting = participant
            .negotiation
            .answerer
            .affordable(wanted.0.max(asked.audios), wanted.1.max(asked.videos));
        let missing = (fitting.0.saturating_sub(asked.audios), fitting.1.saturating_sub(asked.videos));
        let is_due = (bindable > 0 || participant.negotiation.answerer.needs_offer()) && !asked.offer;
        if wanted.0 > fitting.0 || wanted.1 > fitting.1 {
            context.reject("room", "sections-exhausted");
        }
        if missing == (0, 0) && !is_due {
            return;
        }
        participant.requested.offer = true;
        participant.requested.audios += missing.0;
        participant.requested.videos += missing.1;
        let event =
            SessionEvent::MediaSectionsRequirement { audios: missing.0 as u32, videos: missing.1 as u32 };
        self.tell(context, key, event);
    }

    /// [`Self::request_sections`] for everybody; after tracks vanished.
    pub(super) fn request_sections_of_all(&mut self, context: &mut Context<'_>) {
        let keys: Vec<usize> = self.participants.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.request_sections(context, key);
        }
    }

    /// Notes which of the requested sections an offer brought. An offer that was under way when they were
    /// asked for brings none; then another follows by itself.
    pub(super) fn note_offer(&mut self, key: usize, before: (usize, usize)) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let (audios, videos) = participant.receivable();
        let requested = &mut participant.requested;
        requested.audios = requested.audios.saturating_sub(audios.saturating_sub(before.0));
        requested.videos = requested.videos.saturating_sub(videos.saturating_sub(before.1));
        requested.offer = requested.audios + requested.videos > 0;
    }
}

impl Participant {
    /// Audio and video sections on which the client can receive.
    pub(super) fn receivable(&self) -> (usize, usize) {
        (
            self.negotiation.answerer.receivable(MediaKind::Audio),
            self.negotiation.answerer.receivable(MediaKind::Video),
        )
    }
}

fn kind_of(track: &UpTrack) -> MediaKind {
    if track.is_audio() { MediaKind::Audio } else { MediaKind::Video }
}

/// The stream of a track: a person's voice and picture are one, and so are a screen and its sound. A name that
/// the publisher chose is not used: it would be text of a stranger's in everybody's SDP.
fn stream(source: livekit::TrackSource) -> &'static str {
    match source {
        livekit::TrackSource::ScreenShare | livekit::TrackSource::ScreenShareAudio => "screen",
        _ => "camera",
    }
}
