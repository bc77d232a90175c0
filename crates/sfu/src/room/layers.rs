//! Which layer of a track subscribers get, and the key frames they need for that.

use super::Context;
use crate::track::up_track::UpTrack;

impl super::Room {
    /// Looks which layers arrive: subscribers are to get the best of them, and whoever waits for a picture
    /// of it, for whatever reason, is not forgotten.
    pub(super) fn select_layers(&mut self, context: &mut Context<'_>) {
        let tracks: Vec<usize> = self.tracks.iter().map(|(key, _)| key).collect();
        for key in tracks {
            let Some(track) = self.tracks.get_mut(key).filter(|track| !track.is_audio()) else { continue };
            if track.layers.len() > 1 {
                track.select_target(context.now);
            }
            for layer in track.layers.iter_mut().filter(|layer| layer.is_asleep(context.now)) {
                layer.keyframes.cancel(); // none would come
                layer.store.release();
            }
            let target = track.target();
            // A camera that is off brings nothing: its first packet, or that it is on again, asks anew.
            let sleeps = track.layers.get(target).is_none_or(|layer| layer.is_asleep(context.now));
            if !sleeps && self.is_awaited(key) {
                self.ask(context, key, target, |keyframes| keyframes.keep_wanting());
            }
        }
    }

    /// Whether a subscriber of the track would begin with a key frame of its target layer.
    fn is_awaited(&self, track: usize) -> bool {
        let Some(track) = self.tracks.get(track) else { return false };
        let target = track.target();
        let Some(layer) = track.layers.get(target).filter(|layer| layer.ssrc.is_some()) else { return false };
        track.subscribers.iter().any(|subscriber| {
            self.participants.get(subscriber.participant).is_some_and(|participant| {
                participant.links.sending().transport.is_connected()
                    && participant.down_tracks.get(subscriber.down_track).is_some_and(|down| {
                        !down.disabled && down.forwarder.wants_keyframe(target, layer.generation)
                    })
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

    /// A subscriber needs a key frame of the layer that it should get.
    pub(super) fn want_keyframe(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(target) = self.tracks.get(track).map(UpTrack::target) else { return };
        self.ask(context, track, target, |keyframes| keyframes.want());
    }

    /// A layer lost what nobody can send again: its pictures are broken until the next key frame.
    pub(super) fn repair_layer(&mut self, context: &mut Context<'_>, track: usize, layer: usize) {
        if self.tracks.get(track).is_some_and(|state| self.is_watched(state, layer)) {
            self.ask(context, track, layer, |keyframes| keyframes.want());
        }
    }

    fn ask(
        &mut self,
        context: &mut Context<'_>,
        track: usize,
        layer: usize,
        ask: impl FnOnce(&mut crate::track::keyframe::KeyframeRequester),
    ) {
        let Some(up_track) = self.tracks.get_mut(track).filter(|track| !track.is_audio()) else { return };
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
