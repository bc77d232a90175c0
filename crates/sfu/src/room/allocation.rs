//! What each subscriber gets of the tracks it subscribes to.

use super::Context;

impl super::Room {
    /// Decides anew what a participant gets of each track: what it wants, as far as it arrives. To be called whenever
    /// wishes, what arrives, or rates changed.
    pub(super) fn allocate(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let mut changed = Vec::new(); // allocates only when something changes
        for (down_track, down) in &mut participant.down_tracks {
            let Some(track) = self.tracks.get(down.track) else { continue };
            let target = down.wanted.map(|wanted| match track.is_audio() {
                true => wanted,
                false => track.nearest(context.now, wanted),
            });
            if down.set_target(target) {
                changed.push(down_track);
            }
        }
        for down_track in changed {
            self.want_keyframe(context, key, down_track);
        }
    }

    /// What arrives of a track changed: [`Self::allocate`] for everybody who gets it.
    pub(super) fn allocate_track(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(track) = self.tracks.get(track) else { return };
        let subscribers: Vec<usize> =
            track.subscribers.iter().map(|subscriber| subscriber.participant).collect();
        for key in subscribers {
            self.allocate(context, key);
        }
    }
}
