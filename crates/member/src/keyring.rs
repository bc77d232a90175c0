//! The media keys of a member, as its session tells them: what its own frames are sealed with, and what those of the
//! others are opened with. Browsers have the same in `web/src/e2ee/media/keyring.ts`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use e2ee::keys::Key;
use e2ee::media::{Codec, Kind, Opener, Refusal, Sealer, Stream, Withheld};
use e2ee::rotation::Media;

/// Which key seals: how often a group was come into anew, and the epoch in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealing {
    groups: u32,
    epoch: u64,
}

/// The media keys that are in use. One for all streams of a member, since their frames share one counter.
#[derive(Default)]
pub struct Keyring {
    groups: u32,
    leaf: Option<u32>,
    keys: BTreeMap<u64, Key>,
    sealer: Sealer,
    sending: Option<u64>,
    opener: Opener,
}

impl Keyring {
    /// Does what the session says.
    pub fn apply(&mut self, media: Media) {
        match media {
            Media::Reset => *self = Self { groups: self.groups + 1, ..Self::default() },
            Media::Own { leaf } => self.leaf = Some(leaf),
            Media::Keys { epoch, base } => {
                self.opener.add(epoch, base.clone());
                self.keys.insert(epoch, base);
            }
            Media::Send { epoch } => self.send(epoch),
            Media::Erase { epoch } => {
                self.keys.remove(&epoch);
                self.sealer.erase(epoch);
                self.opener.erase(epoch);
                self.sending.take_if(|sending| *sending == epoch);
            }
        }
    }

    fn send(&mut self, epoch: Option<u64>) {
        let key = epoch.and_then(|epoch| Some((self.leaf?, epoch, self.keys.get(&epoch)?)));
        self.sending = None;
        match key {
            Some((leaf, epoch, base)) => {
                self.sending = self.sealer.send(leaf, epoch, base).then_some(epoch);
            }
            None => self.sealer.pause(),
        }
    }

    /// The key that seals at the moment; `None` while nothing may be sent.
    pub(crate) fn sealing(&self) -> Option<Sealing> {
        Some(Sealing { groups: self.groups, epoch: self.sending? })
    }

    /// Appends a frame to `out` as it goes on the wire.
    ///
    /// # Errors
    /// [`Withheld`]; then `out` is as it was and nothing may be sent.
    pub fn seal(
        &mut self,
        kind: Kind,
        codec: Codec,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Withheld> {
        self.sealer.seal(kind, codec, frame, out)
    }

    /// Appends to `out` the frame that was sealed. `now` is in milliseconds and does not go back.
    ///
    /// # Errors
    /// [`Refusal`]; then `out` is as it was.
    pub fn open(
        &mut self,
        stream: &mut Stream,
        codec: Codec,
        frame: &[u8],
        now: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        self.opener.open(stream, codec, frame, now, out)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("sending", &self.sending).finish_non_exhaustive()
    }
}

/// A keyring that the session's task fills and streams use.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedKeyring(Arc<Mutex<Keyring>>);

impl SharedKeyring {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Keyring> {
        // Whoever panicked with it left nothing half done that a later call would take for whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from([byte; 32])
    }

    fn sealed(keyring: &mut Keyring) -> Result<Vec<u8>, Withheld> {
        let mut out = Vec::new();
        keyring.seal(Kind::Camera, Codec::Vp8, b"picture", &mut out).map(|()| out)
    }

    #[test]
    fn frames_are_sealed_once_the_session_says_so_and_open_elsewhere() {
        let (mut ada, mut ben) = (Keyring::default(), Keyring::default());
        for keyring in [&mut ada, &mut ben] {
            keyring.apply(Media::Reset);
            keyring.apply(Media::Keys { epoch: 5, base: key(1) });
        }
        ada.apply(Media::Own { leaf: 2 });
        assert_eq!(sealed(&mut ada), Err(Withheld::NoKey));
        ada.apply(Media::Send { epoch: Some(5) });
        let frame = sealed(&mut ada).expect("sealed");
        let mut opened = Vec::new();
        let mut stream = Stream::new(2, Kind::Camera);
        assert_eq!(ben.open(&mut stream, Codec::Vp8, &frame, 0, &mut opened), Ok(()));
        assert_eq!(opened, b"picture");
        let again = ben.open(&mut stream, Codec::Vp8, &frame, 0, &mut opened);
        assert_eq!(again, Err(Refusal::Replayed));
    }

    #[test]
    fn nothing_is_sealed_in_a_pause_with_an_erased_key_or_after_a_reset() {
        let mut ada = Keyring::default();
        let start = |ada: &mut Keyring, byte| {
            ada.apply(Media::Reset);
            ada.apply(Media::Own { leaf: 0 });
            ada.apply(Media::Keys { epoch: 1, base: key(byte) });
            ada.apply(Media::Send { epoch: Some(1) });
            ada.sealing().expect("it may send")
        };
        let first = start(&mut ada, 1);
        ada.apply(Media::Send { epoch: None });
        assert_eq!((sealed(&mut ada), ada.sealing()), (Err(Withheld::NoKey), None));
        ada.apply(Media::Send { epoch: Some(1) });
        assert!(sealed(&mut ada).is_ok());
        ada.apply(Media::Erase { epoch: 1 });
        assert_eq!((sealed(&mut ada), ada.sealing()), (Err(Withheld::NoKey), None));
        // The same number in another group is another key.
        assert_ne!(start(&mut ada, 2), first);
        assert!(sealed(&mut ada).is_ok());
        ada.apply(Media::Reset);
        assert_eq!((sealed(&mut ada), ada.sealing()), (Err(Withheld::NoKey), None));
    }

    #[test]
    fn an_epoch_without_a_key_pauses_what_is_sent() {
        let mut ada = Keyring::default();
        ada.apply(Media::Own { leaf: 0 });
        ada.apply(Media::Keys { epoch: 1, base: key(1) });
        ada.apply(Media::Send { epoch: Some(1) });
        ada.apply(Media::Send { epoch: Some(2) });
        assert_eq!(sealed(&mut ada), Err(Withheld::NoKey));
    }
}
