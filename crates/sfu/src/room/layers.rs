//! Which layers of a track its subscribers wait for, and the key frames they need for that.

use std::time::Duration;

use super::Context;
use crate::track::down_track::DownTrack;
use crate::track::keyframe::KeyframeRequester;
use crate::track::up_track::{Subscriber, UpTrack};

/// After such a silence of a participant its line was down: whoever has a camera on says something several times a second
/// (sender reports, feedback). Publishers keep about a second of what they send, so that a shorter outage may be repaired
/// without a key frame; with a longer silence the end of an outage is found out by NACKs that nobody answers, a second
/// late. The silence of those who send nothing costs nothing.
pub(super) const OUTAGE: Duration = Duration::from_millis(1500);

impl super::Room {
    /// Looks which layers arrive, decides anew who gets what, and sees that whoever waits for a picture, for
    /// whatever reason, is not forgotten.
    pub(super) fn select_layers(&mut self, context: &mut Context<'_>) {
        for (_, track) in &mut self.tracks {
            let may_stand_still = track.may_stand_still();
            for layer in &mut track.layers {
                layer.store.expire(context.now);
                if !may_stand_still && layer.is_asleep(context.now) {
                    layer.keyframes.cancel(); // none would come
                }
                if layer.is_forgotten(context.now) {
                    layer.store.release();
                }
            }
        }
        let participants: Vec<usize> = self.participants.iter().map(|(key, _)| key).collect();
        for key in participants {
            self.allocate(context, key);
            self.end_holds(context, key);
        }
        let tracks: Vec<usize> = self.tracks.iter().map(|(key, _)| key).collect();
        for key in tracks {
            self.keep_wanting_keyframes(context, key);
        }
    }

    /// Pictures that waited go on, whether more of them come by themselves or not: a screen that stands still sends nothing.
    fn end_holds(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let mut released = Vec::new();
        for (down_track, down) in &mut participant.down_tracks {
            let is_screen = self.tracks.get(down.track).is_some_and(UpTrack::is_screen);
            let is_over = |until| !participant.pacing.holds(context.now, until, is_screen);
            if down.held_until.is_some_and(is_over) {
                down.held_until = None;
                released.push(down_track);
            }
        }
        for down_track in released {
            self.want_keyframe(context, key, down_track);
        }
    }

    /// Asks again for what subscribers of a track still wait for.
    fn keep_wanting_keyframes(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(up_track) = self.tracks.get(track).filter(|track| !track.is_audio()) else { return };
        for layer in 0..up_track.layers.len() {
            let Some(up_track) = self.tracks.get(track) else { return };
            // A camera that is off brings nothing: its first packet, or that it is on again, asks anew.
            let sleeps = up_track.layers.get(layer).is_none_or(|layer| layer.is_asleep(context.now));
            if (!sleeps || up_track.may_stand_still()) && self.is_awaited(up_track, layer) {
                self.ask(context, track, layer, KeyframeRequester::keep_wanting);
            }
        }
    }

    /// Whether a subscriber of the track would begin with a key frame of this layer.
    fn is_awaited(&self, track: &UpTrack, layer: usize) -> bool {
        track.subscribers.iter().any(|subscriber| {
            self.participants.get(subscriber.participant).is_some_and(|participant| {
                participant.links.sending().transport.is_connected()
                    && participant
                        .down_tracks
                        .get(subscriber.down_track)
                        .is_some_and(|down| awaits(down, track) == Some(layer))
            })
        })
    }

    /// Whether a subscriber gets this layer now.
    fn is_watched(&self, track: &UpTrack, layer: usize) -> bool {
        track.subscribers.iter().any(|subscriber| {
            let participant = self.participants.get(subscriber.participant);
            let down = participant.and_then(|other| other.down_tracks.get(subscriber.down_track));
            down.is_some_and(|down| down.forwarder.current().is_some_and(|(current, _)| current == layer))
        })
    }

    /// A subscriber needs a key frame of the layer that it should get, unless it has that layer.
    pub(super) fn want_keyframe(&mut self, context: &mut Context<'_>, key: usize, down_track: usize) {
        let down = self.participants.get(key).and_then(|participant| participant.down_tracks.get(down_track));
        let Some(down) = down else { return };
        let track = down.track;
        let layer = self.tracks.get(track).and_then(|track| awaits(down, track));
        if let Some(layer) = layer {
            self.ask(context, track, layer, KeyframeRequester::want);
        }
    }

    /// [`Self::want_keyframe`] for everybody who gets a track.
    pub(super) fn want_keyframes(&mut self, context: &mut Context<'_>, track: usize) {
        for (_, Subscriber { participant, down_track }) in self.takers(track) {
            self.want_keyframe(context, participant, down_track);
        }
    }

    /// A layer lost what nobody can send again: its pictures are broken until the next key frame.
    pub(super) fn repair_layer(&mut self, context: &mut Context<'_>, track: usize, layer: usize) {
        if self.tracks.get(track).is_some_and(|state| self.is_watched(state, layer)) {
            self.ask(context, track, layer, KeyframeRequester::want);
        }
    }

    /// A publisher's line is back after an [`OUTAGE`]: what was lost cannot be sent again.
    pub(super) fn repair_published(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        for track in participant.sources().collect::<Vec<_>>() {
            let Some(state) = self.tracks.get(track) else { continue };
            let publication = state.primary.and_then(|primary| self.tracks.get(primary)).unwrap_or(state);
            if publication.info.muted {
                continue;
            }
            for layer in 0..state.layers.len() {
                self.repair_layer(context, track, layer);
            }
        }
    }

    fn ask(
        &mut self,
        context: &mut Context<'_>,
        track: usize,
        layer: usize,
        ask: impl FnOnce(&mut KeyframeRequester),
    ) {
        let forwards = |track: &&mut UpTrack| !track.is_audio() && !track.is_silenced;
        let Some(up_track) = self.tracks.get_mut(track).filter(forwards) else { return };
        let Some(layer) = up_track.layers.get_mut(layer) else { return };
        ask(&mut layer.keyframes);
        let Some(due) = layer.keyframes.next_timeout(context.now) else { return };
        let publisher = up_track.publisher;
        if let Some(participant) = self.participants.get_mut(publisher) {
            participant.want_feedback(due);
        }
        self.schedule(context, publisher);
    }
}

/// The layer of the track whose key frame a subscriber waits for.
fn awaits(down: &DownTrack, track: &UpTrack) -> Option<usize> {
    let target = down.target().filter(|_| down.held_until.is_none())?;
    let layer = track.stream_of(target.spatial);
    let generation = track.layers.get(layer).filter(|layer| layer.ssrc.is_some())?.generation;
    down.forwarder.wants_keyframe(layer, generation, track.is_simulcast(), target).then_some(layer)
}
