//! Tracks that are to be had in two codecs: announcing, publishing and ending the backup, and which of the two each
//! subscriber gets. [`crate::track::backup`] explains them.

use std::sync::Arc;
use std::time::Instant;

use protocol::livekit;

use super::Context;
use super::participant::PendingTrack;
use crate::event::SessionEvent;
use crate::peer::sdp::{NegotiatedCodec, Preferences, ReceiveSection};
use crate::track::backup::{self, Backup, codec_info};
use crate::track::demand::{Demand, Level};
use crate::track::up_track::{Subscriber, UpTrack};

impl super::Room {
    /// Notes the backup codec that a new track was announced with, if it was.
    #[expect(deprecated, reason = "LiveKit's clients fill this field")]
    pub(super) fn note_backup(&mut self, key: usize, track: usize, request: &livekit::AddTrackRequest) {
        let (_, Some(codec)) = backup::announced(request) else { return };
        let mut announced = request.simulcast_codecs.iter();
        let Some(announced) = announced.find(|it| backup::kind(&it.codec) == Some(codec)) else { return };
        let Some(up_track) = self.tracks.get_mut(track) else { return };
        let info = codec_info(codec, "", &announced.layers);
        let mut spare = UpTrack::backup_of(track, up_track, codec);
        spare.demand = Demand::of_backup(announced.codec.clone());
        spare.info.codecs = vec![info.clone()];
        spare.info.layers.clone_from(&announced.layers);
        up_track.info.codecs.push(info);
        let spare = self.tracks.insert(spare);
        if let Some(up_track) = self.tracks.get_mut(track) {
            up_track.backup = Some(Backup::new(spare, request.backup_codec_policy()));
        }
        if let Some(participant) = self.participants.get_mut(key) {
            participant.backups.push(spare);
        }
    }

    /// A publisher announces that it sends the backup codec of a track (`AddTrack` with the id of that).
    pub(super) fn announce_backup(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        request: livekit::AddTrackRequest,
    ) {
        let track = self.own_track(key, &request.sid).and_then(|track| self.tracks.get(track));
        let spare = track.and_then(|track| self.tracks.get(track.backup.as_ref()?.track));
        let codec = request.simulcast_codecs.first().and_then(|codec| backup::kind(&codec.codec));
        let (Some(track), Some(_)) = (track, spare.filter(|spare| spare.announced == codec)) else {
            let reason = livekit::request_response::Reason::NotFound;
            return self.refuse_track(context, key, request, reason, "unknown-codec");
        };
        let response =
            livekit::TrackPublishedResponse { cid: request.cid.clone(), track: Some(track.info.clone()) };
        let pending = PendingTrack { sid: track.sid.clone(), request };
        if !self.may_announce(&context.config.limits, key, &pending) {
            let reason = livekit::request_response::Reason::LimitExceeded;
            return self.refuse_track(context, key, pending.request, reason, "announcements-too-large");
        }
        let Some(participant) = self.participants.get_mut(key) else { return };
        participant.pending_tracks.retain(|known| known.sid != pending.sid);
        participant.pending_tracks.push(pending);
        self.tell(context, key, SessionEvent::TrackPublished(response));
        // The offer may have been quicker than the announcement.
        self.publish_offered(context, key);
    }

    /// The section of an announced backup codec is offered.
    #[expect(deprecated, reason = "LiveKit's clients fill this field")]
    pub(super) fn publish_backup(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        track: usize,
        section: &ReceiveSection,
        request: &livekit::AddTrackRequest,
    ) {
        let Some(spare) = self.backup_of(track) else { return };
        let Some(up_track) = self.tracks.get_mut(spare).filter(|spare| spare.is_silent()) else { return };
        let of_codec = request.simulcast_codecs.first().map(|codec| &codec.layers);
        let layers = of_codec.filter(|of| !of.is_empty()).unwrap_or(&request.layers);
        up_track.info.layers.clone_from(layers);
        for info in &mut up_track.info.codecs {
            (info.mid, info.cid) = (section.mid.clone(), request.cid.clone());
            info.layers.clone_from(layers);
        }
        up_track.begin(section.track_id.clone().unwrap_or_default(), section);
        let preferences = Preferences { codec: up_track.announced, ..Preferences::default() };
        if let Some(participant) = self.participants.get_mut(key) {
            participant.negotiation.answerer.prefer(section.index, preferences);
            participant.receiver.add_track(&section.mid, spare);
        }
        self.declare_streams(key, spare, section);
        self.tell_backup(context, track);
    }

    /// A publisher no longer sends the backup codec of a track; it may be asked to do so again.
    pub(super) fn withdraw_backup(&mut self, context: &mut Context<'_>, spare: usize) {
        let Some(up_track) = self.tracks.get_mut(spare) else { return };
        up_track.end();
        for info in &mut up_track.info.codecs {
            (info.mid, info.cid) = Default::default();
        }
        let (publisher, track) = (up_track.publisher, up_track.primary);
        if let Some(publisher) = self.participants.get_mut(publisher) {
            publisher.receiver.remove_track(spare);
        }
        if let Some(track) = track {
            self.tell_backup(context, track);
        }
    }

    /// What is sent of a backup changed: everybody is told, and whoever is to get it does.
    fn tell_backup(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(spare) = self.backup_of(track) else { return };
        let Some(up_track) = self.tracks.get(spare) else { return };
        let (publisher, info) = (up_track.publisher, up_track.info.codecs.clone());
        self.renegotiate_subscribers(spare);
        if let Some(up_track) = self.tracks.get_mut(track) {
            up_track.info.codecs.truncate(1);
            up_track.info.codecs.extend(info);
        }
        if let Some(publisher) = self.participants.get_mut(publisher) {
            publisher.version += 1;
        }
        self.broadcast_participant(context, publisher);
        for (current, subscriber) in self.takers(track) {
            if current == spare {
                self.follow_wish(subscriber);
            }
        }
        self.choose_codecs(context, track);
        self.update_demand(context, track);
    }

    /// Key of a track's backup codec.
    pub(super) fn backup_of(&self, track: usize) -> Option<usize> {
        Some(self.tracks.get(track)?.backup.as_ref()?.track)
    }

    /// Everybody who gets a track in whichever codec, with the key of what they get.
    pub(super) fn takers(&self, track: usize) -> Vec<(usize, Subscriber)> {
        let of = |key| {
            let subscribers = self.tracks.get(key).into_iter().flat_map(|track| &track.subscribers);
            subscribers.map(move |subscriber| (key, *subscriber))
        };
        of(track).chain(self.backup_of(track).into_iter().flat_map(of)).collect()
    }

    /// Decides anew which codec of a track each subscriber gets. To be called regularly, and when one begins to arrive.
    pub(super) fn choose_codecs(&mut self, context: &mut Context<'_>, track: usize) {
        if self.backup_of(track).is_none() {
            return;
        }
        let takers = self.takers(track);
        let needs_backup = |(_, subscriber): &(usize, Subscriber)| {
            self.codecs_of(*subscriber).is_some_and(|codecs| self.suiting(track, &codecs) == (false, true))
        };
        let is_needed = takers.iter().any(needs_backup);
        let backup = self.tracks.get_mut(track).and_then(|track| track.backup.as_mut());
        if let Some(backup) = backup.filter(|_| is_needed) {
            backup.note_needed(context.now);
        }
        for (current, subscriber) in takers {
            let Some(codecs) = self.codecs_of(subscriber) else { continue };
            let best = self.best_codec(context.now, track, current, &codecs);
            if best != current {
                self.change_codec(context, subscriber, current, best);
            }
        }
    }

    /// What the publisher is asked for in one of a track's codecs: the most that anybody needs who gets it, or is to
    /// get it as soon as it arrives.
    pub(super) fn needed(&self, now: Instant, track: usize, codec: usize) -> Level {
        let Some(source) = self.tracks.get(codec) else { return Level::NOTHING };
        let has_backup = self.backup_of(track).is_some();
        let levels = self.takers(track).into_iter().filter_map(|(current, subscriber)| {
            let participant = self.participants.get(subscriber.participant)?;
            let down = participant.down_tracks.get(subscriber.down_track)?;
            let gets = current == codec && (down.has_shared_codec() || source.is_silent());
            let is_preferred = || {
                let codecs = self.codecs_of(subscriber);
                codecs.is_some_and(|codecs| self.preferred_codec(now, track, &codecs) == codec)
            };
            let wanted = if gets {
                down.wanted?
            } else if has_backup && is_preferred() {
                source.wanted(&participant.subscriptions.get(&track)?.wish)?
            } else {
                return None;
            };
            Some(source.level(wanted.spatial))
        });
        levels.max().unwrap_or(Level::NOTHING)
    }

    /// The backup of a track does not come: whoever waits for it is told that there is nothing to see.
    pub(super) fn give_up_backup(&mut self, context: &mut Context<'_>, track: usize) {
        let spare = self.backup_of(track);
        for (_, subscriber) in self.takers(track).into_iter().filter(|(current, _)| Some(*current) == spare) {
            let participant = self.participants.get_mut(subscriber.participant);
            let down = participant.and_then(|it| it.down_tracks.get_mut(subscriber.down_track));
            if down.is_some_and(|down| !std::mem::replace(&mut down.codec_refused, true)) {
                self.tell_codec_unsupported(context, subscriber.participant, track);
            }
        }
    }

    /// The codec that a new subscriber begins with: the first, unless it can take only the backup.
    pub(super) fn first_codec(&self, track: usize, codecs: &[NegotiatedCodec]) -> usize {
        let spare = self.backup_of(track).filter(|_| self.suiting(track, codecs) == (false, true));
        spare.unwrap_or(track)
    }

    /// What a subscriber takes, in its order of preference.
    fn codecs_of(&self, subscriber: Subscriber) -> Option<Arc<[NegotiatedCodec]>> {
        let participant = self.participants.get(subscriber.participant)?;
        let down = participant.down_tracks.get(subscriber.down_track)?;
        Some(Arc::clone(&participant.negotiation.send_section(down.section)?.codecs))
    }

    /// Whether a subscriber can take the first codec of a track, and its backup.
    fn suiting(&self, track: usize, codecs: &[NegotiatedCodec]) -> (bool, bool) {
        let suits = |key| self.tracks.get(key).is_some_and(|track| track.suits(codecs));
        (suits(track), self.backup_of(track).is_some_and(suits))
    }

    /// The codec that a subscriber is to get in the long run.
    fn preferred_codec(&self, now: Instant, track: usize, codecs: &[NegotiatedCodec]) -> usize {
        let backup = self.tracks.get(track).and_then(|track| track.backup.as_ref());
        let Some(backup) = backup else { return track };
        match self.suiting(track, codecs) {
            (false, true) => backup.track,
            (true, true) if backup.is_for_all(now) => backup.track,
            _ => track,
        }
    }

    /// The codec that a subscriber is to get now: the preferred one as soon as it arrives, and what arrives until then.
    fn best_codec(&self, now: Instant, track: usize, current: usize, codecs: &[NegotiatedCodec]) -> usize {
        let preferred = self.preferred_codec(now, track, codecs);
        let other = if preferred == track { self.backup_of(track) } else { Some(track) };
        let suits = |key: &usize| self.tracks.get(*key).is_some_and(|source| source.suits(codecs));
        let arrives = |key: &usize| self.tracks.get(*key).is_some_and(|source| source.arrives(now));
        let choice = [Some(preferred), other].into_iter().flatten().filter(suits).find(arrives);
        choice.unwrap_or(if suits(&current) { current } else { preferred })
    }

    fn change_codec(&mut self, context: &mut Context<'_>, subscriber: Subscriber, from: usize, to: usize) {
        let Subscriber { participant: key, down_track } = subscriber;
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(down) = participant.down_tracks.get_mut(down_track) else { return };
        let (Some(send), Some(up_track)) =
            (participant.negotiation.send_section(down.section), self.tracks.get_mut(to))
        else {
            return;
        };
        down.change_codec(to, send, &up_track.codecs);
        up_track.subscribers.push(subscriber);
        if let Some(before) = self.tracks.get_mut(from) {
            before.subscribers.retain(|other| *other != subscriber);
        }
        self.follow_wish(subscriber);
        self.allocate(context, key);
        self.want_keyframe(context, key, down_track);
    }

    /// What a subscriber needs, in terms of the layers that its codec has.
    fn follow_wish(&mut self, subscriber: Subscriber) {
        let Some(participant) = self.participants.get_mut(subscriber.participant) else { return };
        let Some(down) = participant.down_tracks.get_mut(subscriber.down_track) else { return };
        let wish = participant.subscriptions.get(&down.publication).map(|it| it.wish);
        if let Some(up_track) = self.tracks.get(down.track) {
            down.want(up_track.wanted(&wish.unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests;
