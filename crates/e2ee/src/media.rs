//! Sealing and opening of frames (RFC 9605), for native clients; the browser does the same in `web/src/e2ee/media`.
//!
//! A frame on the wire is the bytes that its codec needs readable on the way, and then the SFrame ciphertext (§4.2),
//! header first; [`Codec`] says what stays readable, and how H264 and AV1 dress the ciphertext. The suite is
//! AES_128_GCM_SHA256_128, the key id is made of leaf and epoch as §5.2 has it (E = 8), and the additional data is the
//! header, the kind of the stream, and the readable bytes. So a frame opens only as the stream of the leaf that sealed
//! it, of the kind and the codec that it was sealed as.

mod av1;
mod codec;
mod h264;
mod lateness;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use sframe::CipherSuite;
use sframe::frame::{EncryptedFrameView, MediaFrameView, MonotonicCounter};
use sframe::key::{DecryptionKey, EncryptionKey};

pub use codec::Codec;

use crate::keys::Key;
use lateness::{Lateness, Place};
use replay::ReplayWindow;

const SUITE: CipherSuite = CipherSuite::AesGcm128Sha256;
/// Bytes of the authentication tag (RFC 9605 §4.5).
const TAG: usize = 16;
/// The last counter under one key: far more frames than a meeting has, and as few as any bound on GCM asks for.
const LAST_COUNTER: u64 = u32::MAX as u64;
/// Sound frames this short hold no sound (RFC 6716 §3.1 and §2.1.9): sent, they would only undo the pauses of DTX.
const SILENCE: usize = 2;

/// Which of its sender's streams a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of a microphone.
    Microphone = 1,
    /// Of a camera.
    Camera = 2,
    /// Of a shared screen.
    Screen = 3,
    /// The sound of a shared screen.
    ScreenSound = 4,
}

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// There is no key to seal with, or it has sealed all that it may.
    #[error("there is no key to seal with")]
    NoKey,
    /// It is no frame of its codec.
    #[error("this is no frame of its codec")]
    Malformed,
    /// It holds no sound.
    #[error("there is no sound in it")]
    Silence,
}

/// Why a frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no key of its epoch.
    #[error("there is no key of this epoch")]
    UnknownKey,
    /// It was not sealed as what it came as, or changed since.
    #[error("this frame is not authentic")]
    NotAuthentic,
    /// It has been opened, or is too old to know.
    #[error("this frame has been here before")]
    Replayed,
    /// It was sealed by another leaf than the stream is expected from.
    #[error("this frame is somebody else's")]
    Foreign,
    /// Newer frames of the stream have been shown for two seconds.
    #[error("this frame comes too late")]
    Late,
    /// It is not long enough, or has no header.
    #[error("this frame is malformed")]
    Malformed,
    /// It is not dressed as sealed frames of its codec are.
    #[error("this frame is not sealed")]
    Plain,
}

/// Seals all streams of one sender. There is one counter for all of them under each key, and each epoch is switched to
/// at most once and only forwards, so no counter is used twice. A group that one comes into anew takes a new one.
#[derive(Default)]
pub struct Sealer {
    sending: Option<Sending>,
    newest: Option<u64>,
    paused: bool,
    metadata: Vec<u8>,
    sealed: Vec<u8>,
}

struct Sending {
    epoch: u64,
    leaf: u32,
    key: EncryptionKey,
    counter: MonotonicCounter,
}

impl Sealer {
    /// Goes over to the key of an epoch, or goes on with it after a pause. False, and nothing is sealed, if it is another
    /// than before and not newer than all that were.
    pub fn send(&mut self, leaf: u32, epoch: u64, base: &Key) -> bool {
        self.paused = false;
        if self.sending.as_ref().is_some_and(|now| (now.epoch, now.leaf) == (epoch, leaf)) {
            return true;
        }
        self.sending = None;
        if self.newest.is_some_and(|newest| epoch <= newest) {
            return false;
        }
        let Ok(key) = EncryptionKey::derive_from(SUITE, kid(leaf, epoch), base.as_slice()) else {
            return false;
        };
        self.newest = Some(epoch);
        self.sending = Some(Sending { epoch, leaf, key, counter: MonotonicCounter::new(LAST_COUNTER) });
        true
    }

    /// Nothing is sealed until [`Self::send`] says so.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Nothing is sealed with the key of this epoch any more.
    pub fn erase(&mut self, epoch: u64) {
        self.sending.take_if(|now| now.epoch == epoch);
    }

    /// Appends the frame to `out` as it goes on the wire.
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
        if codec == Codec::Opus && frame.len() <= SILENCE {
            return Err(Withheld::Silence);
        }
        let parts = codec.split(frame).ok_or(Withheld::Malformed)?;
        let sending = self.sending.as_mut().filter(|_| !self.paused).ok_or(Withheld::NoKey)?;
        describe(&mut self.metadata, kind, &parts.clear);
        let sealed = MediaFrameView::try_with_meta_data(&mut sending.counter, parts.secret, &self.metadata)
            .and_then(|frame| frame.encrypt_into(&sending.key, &mut self.sealed))
            .map_err(|_| Withheld::NoKey)?;
        codec.wrap(&parts.clear, sealed.sframe_cipher_text(), out);
        Ok(())
    }
}

/// The keys of the epochs that are in use, and what was opened with them.
#[derive(Default)]
pub struct Opener {
    /// By the low byte of the epoch, which is all that a frame says of it.
    epochs: BTreeMap<u8, Epoch>,
    erased: BTreeSet<u64>,
    metadata: Vec<u8>,
    opened: Vec<u8>,
}

/// One stream that is received: whose it should be, and which.
#[derive(Debug)]
pub struct Stream {
    leaf: u32,
    kind: Kind,
    lateness: Lateness,
}

struct Epoch {
    number: u64,
    base: Key,
    readers: BTreeMap<u32, Reader>,
}

struct Reader {
    key: DecryptionKey,
    window: ReplayWindow,
}

impl Stream {
    /// The stream of a kind from a leaf.
    pub fn new(leaf: u32, kind: Kind) -> Self {
        Self { leaf, kind, lateness: Lateness::default() }
    }
}

impl Opener {
    /// Frames of this epoch can be opened from now on, unless it was erased before or there is a newer one that frames
    /// cannot tell from it. An older such one is erased.
    pub fn add(&mut self, epoch: u64, base: Key) {
        let byte = low_byte(epoch);
        let before = self.epochs.get(&byte).map(|before| before.number);
        if self.erased.contains(&epoch) || before.is_some_and(|before| before >= epoch) {
            return;
        }
        if let Some(before) = before {
            self.erase(before);
        }
        self.epochs.insert(byte, Epoch { number: epoch, base, readers: BTreeMap::new() });
    }

    /// No frame of this epoch is opened any more, and its key cannot come back.
    pub fn erase(&mut self, epoch: u64) {
        self.erased.insert(epoch);
        let byte = low_byte(epoch);
        if self.epochs.get(&byte).is_some_and(|known| known.number == epoch) {
            self.epochs.remove(&byte);
        }
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
        if frame.is_empty() {
            return Err(Refusal::Malformed);
        }
        let wire = codec.unwrap(frame).ok_or(Refusal::Plain)?;
        describe(&mut self.metadata, stream.kind, &wire.clear);
        let sealed = EncryptedFrameView::try_with_meta_data(&wire.sframe, &self.metadata)
            .map_err(|_| Refusal::Malformed)?;
        if sealed.cipher_text().len() < TAG {
            return Err(Refusal::Malformed);
        }
        let (kid, counter) = (sealed.header().key_id(), sealed.header().counter());
        if kid >> 8 != u64::from(stream.leaf) {
            return Err(Refusal::Foreign);
        }
        let epoch = self.epochs.get_mut(&low_byte(kid)).ok_or(Refusal::UnknownKey)?;
        let place = Place { epoch: epoch.number, counter };
        let reader = epoch.reader(stream.leaf).ok_or(Refusal::UnknownKey)?;
        if !reader.window.is_fresh(counter) {
            return Err(Refusal::Replayed);
        }
        if stream.lateness.is_late(place, now) {
            return Err(Refusal::Late);
        }
        let opened = sealed.decrypt_into(&reader.key, &mut self.opened).map_err(|_| Refusal::NotAuthentic)?;
        reader.window.take(counter);
        stream.lateness.opened(place, now);
        codec.restore(&wire.clear, opened.payload(), out);
        Ok(())
    }
}

impl Epoch {
    fn reader(&mut self, leaf: u32) -> Option<&mut Reader> {
        if !self.readers.contains_key(&leaf) {
            let key = DecryptionKey::derive_from(SUITE, kid(leaf, self.number), self.base.as_slice()).ok()?;
            self.readers.insert(leaf, Reader { key, window: ReplayWindow::default() });
        }
        self.readers.get_mut(&leaf)
    }
}

/// The key id of a leaf in an epoch (RFC 9605 §5.2, with E = 8 bits of the epoch and no context).
fn kid(leaf: u32, epoch: u64) -> u64 {
    u64::from(leaf) << 8 | u64::from(low_byte(epoch))
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// The metadata of a frame, that its additional data holds behind the header (RFC 9605 §4.4.3).
fn describe(metadata: &mut Vec<u8>, kind: Kind, clear: &[u8]) {
    metadata.clear();
    metadata.push(kind as u8);
    metadata.extend_from_slice(clear);
}
