//! When media keys come and go: receive keys at once, send with the new key when everybody has it, erase old keys soon
//! after (`docs/e2ee.md`, "Media keys").

use serde::{Serialize, Serializer};

use crate::keys::Key;

/// Sending goes over to the new key at the latest after this, in milliseconds.
pub const SWITCH_MS: u64 = 1000;

/// Old keys are erased so long after their successor came, in milliseconds.
pub const ERASE_MS: u64 = 10_000;

/// The same after a kick.
pub const ERASE_AFTER_KICK_MS: u64 = 1000;

/// What the frame encryption has to do.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Media {
    /// We came into a group, perhaps not for the first time: forgets all that was. Its epochs may have numbers that were
    /// used before, with other keys.
    Reset,
    /// Sends from this leaf from now on.
    Own {
        /// See [`Leaf`](crate::group::Leaf).
        leaf: u32,
    },
    /// The base key of an epoch: frames under it open from now on.
    Keys {
        /// The epoch.
        epoch: u64,
        /// The base key (RFC 9605 §5.2); base64 in JSON.
        #[serde(serialize_with = "base64")]
        base: Key,
    },
    /// Seals with the keys of this epoch; with `None` nothing is sent.
    Send {
        /// The epoch.
        epoch: Option<u64>,
    },
    /// Forgets the keys of an epoch: nothing of it opens any longer.
    Erase {
        /// The epoch.
        epoch: u64,
    },
}

/// Keys that are held.
#[derive(Default)]
pub struct Rotation {
    /// Epochs with the time at which they are erased; the newest without.
    held: Vec<(u64, Option<u64>)>,
    /// Sending goes over to the newest epoch at this time.
    switch_at: Option<u64>,
    sending: Option<u64>,
    paused: bool,
}

impl Rotation {
    /// A new epoch with its base key. `kicked`: somebody was removed against their will.
    pub fn epoch(&mut self, now: u64, epoch: u64, base: Key, kicked: bool) -> Vec<Media> {
        let mut out = Vec::new();
        let erase_at = now + if kicked { ERASE_AFTER_KICK_MS } else { ERASE_MS };
        for (_, at) in &mut self.held {
            *at = Some(at.map_or(erase_at, |at| at.min(erase_at)));
        }
        // Frames name the epoch by its lowest eight bits.
        if let Some(place) = self.held.iter().position(|(old, _)| old % 256 == epoch % 256) {
            let (old, _) = self.held.remove(place);
            out.push(Media::Erase { epoch: old });
        }
        self.held.push((epoch, None));
        out.push(Media::Keys { epoch, base });
        // Epochs in quick succession do not put it off.
        let switch_at = if kicked { now } else { now + SWITCH_MS };
        self.switch_at = Some(self.switch_at.map_or(switch_at, |at| at.min(switch_at)));
        out.extend(self.timeout(now));
        out
    }

    /// Everybody has the newest epoch's key.
    pub fn all_have_it(&mut self, now: u64) -> Vec<Media> {
        if self.switch_at.is_some() {
            self.switch_at = Some(now);
        }
        self.timeout(now)
    }

    /// Stops or resumes sending; keys come and go all the same.
    pub fn pause(&mut self, paused: bool) -> Vec<Media> {
        if self.paused == paused {
            return Vec::new();
        }
        self.paused = paused;
        let epoch = if paused { None } else { self.sending };
        vec![Media::Send { epoch }]
    }

    /// What is due.
    pub fn timeout(&mut self, now: u64) -> Vec<Media> {
        let mut out = Vec::new();
        if self.switch_at.is_some_and(|at| at <= now) {
            self.switch_at = None;
            self.sending = self.held.last().map(|(epoch, _)| *epoch);
            if !self.paused {
                out.push(Media::Send { epoch: self.sending });
            }
        }
        self.held.retain(|(epoch, at)| {
            let stays = at.is_none_or(|at| at > now);
            if !stays {
                out.push(Media::Erase { epoch: *epoch });
            }
            stays
        });
        out
    }

    /// When something is due next.
    pub fn next(&self) -> Option<u64> {
        self.held.iter().filter_map(|(_, at)| *at).chain(self.switch_at).min()
    }

    /// We came into a group.
    pub fn enter(&mut self, leaf: u32) -> Vec<Media> {
        *self = Self { paused: self.paused, ..Self::default() };
        vec![Media::Reset, Media::Own { leaf }]
    }

    /// Erases everything: one is no member any longer.
    pub fn end(&mut self) -> Vec<Media> {
        let mut out = vec![Media::Send { epoch: None }];
        out.extend(self.held.drain(..).map(|(epoch, _)| Media::Erase { epoch }));
        self.switch_at = None;
        self.sending = None;
        out
    }
}

fn base64<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    channel::Blob(key.to_vec()).serialize(serializer)
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reset => f.write_str("reset"),
            Self::Own { leaf } => write!(f, "own {leaf}"),
            Self::Keys { epoch, .. } => write!(f, "keys {epoch}"),
            Self::Send { epoch } => write!(f, "send {epoch:?}"),
            Self::Erase { epoch } => write!(f, "erase {epoch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(media: Vec<Media>) -> Vec<String> {
        media.iter().map(|media| format!("{media:?}")).collect()
    }

    #[test]
    fn sending_waits_for_the_others_but_not_for_ever() {
        let mut rotation = Rotation::default();
        assert_eq!(said(rotation.epoch(0, 1, Key::default(), false)), ["keys 1"]);
        assert_eq!(said(rotation.all_have_it(300)), ["send Some(1)"]);
        assert_eq!(said(rotation.epoch(1000, 2, Key::default(), false)), ["keys 2"]);
        assert_eq!(said(rotation.timeout(1999)), [""; 0]);
        assert_eq!(rotation.next(), Some(2000));
        assert_eq!(said(rotation.timeout(2000)), ["send Some(2)"]);
    }

    #[test]
    fn old_keys_go_after_their_successor_came() {
        let mut rotation = Rotation::default();
        rotation.epoch(0, 1, Key::default(), false);
        rotation.epoch(5000, 2, Key::default(), false);
        rotation.timeout(6000);
        assert_eq!(said(rotation.timeout(14_999)), [""; 0]);
        assert_eq!(said(rotation.timeout(15_000)), ["erase 1"]);
        assert_eq!(rotation.next(), None);
    }

    #[test]
    fn after_a_kick_everything_is_quicker() {
        let mut rotation = Rotation::default();
        rotation.epoch(0, 1, Key::default(), false);
        rotation.epoch(100, 2, Key::default(), false);
        assert_eq!(said(rotation.epoch(200, 3, Key::default(), true)), ["keys 3", "send Some(3)"]);
        assert_eq!(said(rotation.timeout(1200)), ["erase 1", "erase 2"]);
    }

    #[test]
    fn epochs_in_quick_succession_do_not_put_the_switch_off() {
        let mut rotation = Rotation::default();
        rotation.epoch(0, 1, Key::default(), false);
        rotation.epoch(600, 2, Key::default(), false);
        assert_eq!(said(rotation.epoch(1100, 3, Key::default(), false)), ["keys 3", "send Some(3)"]);
    }

    #[test]
    fn two_epochs_that_frames_cannot_tell_apart_are_never_held_together() {
        let mut rotation = Rotation::default();
        rotation.epoch(0, 1, Key::default(), false);
        assert_eq!(said(rotation.epoch(1, 257, Key::default(), false)), ["erase 1", "keys 257"]);
    }

    #[test]
    fn a_pause_outlasts_new_keys() {
        let mut rotation = Rotation::default();
        rotation.epoch(0, 1, Key::default(), false);
        rotation.all_have_it(0);
        assert_eq!(said(rotation.pause(true)), ["send None"]);
        rotation.epoch(10, 2, Key::default(), false);
        assert_eq!(said(rotation.all_have_it(20)), [""; 0]);
        assert_eq!(said(rotation.pause(false)), ["send Some(2)"]);
        assert_eq!(said(rotation.end()), ["send None", "erase 1", "erase 2"]);
    }
}
