//! One stream that is sent: seals its frames, or lies about them. From a receiver's view a lie is what a server does that
//! injects frames, so tests see that it is refused.

use std::time::Duration;

use client::media::{Codec, FrameSeal};
use e2ee::media::{self, Kind};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::MemberError;
use crate::keyring::{Sealing, SharedKeyring};

/// Frames of one key that are kept to be repeated: some seconds of a film, with a key frame.
const RECORDED: usize = 64;

/// How long the first frame of a lie may take.
const LIE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent in place of sealed frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lie {
    /// Nothing: every frame is sealed.
    #[default]
    None,
    /// Frames as they are, unsealed.
    Plain,
    /// For each frame one that was sealed and sent before under the key in force.
    Replay,
    /// For each frame one that was sealed and sent before the last change of keys.
    Old,
}

/// Tells a stream to lie.
#[derive(Debug)]
pub(crate) struct Liar {
    wanted: watch::Sender<Lie>,
    done: watch::Receiver<Lie>,
}

impl Liar {
    /// Waits until the first frame of that kind has been sent.
    pub(crate) async fn lie(&mut self, lie: Lie) -> Result<(), MemberError> {
        self.wanted.send_replace(lie);
        let sent = timeout(LIE_TIMEOUT, self.done.wait_for(|done| *done == lie)).await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(MemberError::Ended),
            Err(_) => Err(MemberError::Deadline { what: format!("a frame of {lie:?}"), within: LIE_TIMEOUT }),
        }
    }
}

/// Frames that were sent under one key.
struct Recording {
    under: Sealing,
    frames: Vec<Vec<u8>>,
}

/// Seals the frames of one stream with the member's keyring.
pub(crate) struct SealedStream {
    keyring: SharedKeyring,
    kind: Kind,
    wanted: watch::Receiver<Lie>,
    done: watch::Sender<Lie>,
    newest: Option<Recording>,
    before: Option<Recording>,
    /// Frames that were repeated.
    repeated: usize,
}

impl SealedStream {
    pub(crate) fn new(keyring: SharedKeyring, kind: Kind) -> (Self, Liar) {
        let (wanted, wanting) = watch::channel(Lie::None);
        let (doing, done) = watch::channel(Lie::None);
        let stream =
            Self { keyring, kind, wanted: wanting, done: doing, newest: None, before: None, repeated: 0 };
        (stream, Liar { wanted, done })
    }

    fn honest(&mut self, codec: media::Codec, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let mut keyring = self.keyring.lock();
        let Some(under) = keyring.sealing() else { return false };
        let begin = out.len();
        let sealed = keyring.seal(self.kind, codec, frame, out).is_ok();
        drop(keyring);
        if sealed && self.kind == Kind::Camera {
            self.record(under, &out[begin..]);
        }
        sealed
    }

    fn record(&mut self, under: Sealing, frame: &[u8]) {
        if self.newest.as_ref().is_none_or(|newest| newest.under != under) {
            self.before = self.newest.replace(Recording { under, frames: Vec::new() });
        }
        if let Some(newest) = self.newest.as_mut().filter(|newest| newest.frames.len() < RECORDED) {
            newest.frames.push(frame.to_vec());
        }
    }

    fn repeat(&mut self, recording: Option<&Recording>, out: &mut Vec<u8>) -> bool {
        let Some(recording) = recording else { return false };
        let Some(frame) = recording.frames.get(self.repeated % recording.frames.len().max(1)) else {
            return false;
        };
        out.extend_from_slice(frame);
        self.repeated += 1;
        true
    }

    fn repeat_newest(&mut self, out: &mut Vec<u8>) -> bool {
        let newest = self.newest.take();
        let sent = self.repeat(newest.as_ref(), out);
        self.newest = newest;
        sent
    }

    fn repeat_old(&mut self, out: &mut Vec<u8>) -> bool {
        let now = self.keyring.lock().sealing();
        // What was recorded last is old when the keys have changed since.
        if self.newest.as_ref().is_some_and(|newest| Some(newest.under) != now) {
            return self.repeat_newest(out);
        }
        let before = self.before.take();
        let sent = self.repeat(before.as_ref(), out);
        self.before = before;
        sent
    }
}

impl FrameSeal for SealedStream {
    fn seal(&mut self, codec: Codec, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let lie = *self.wanted.borrow_and_update();
        let sent = match lie {
            Lie::None => self.honest(of(codec), frame, out),
            Lie::Plain => {
                out.extend_from_slice(frame);
                true
            }
            Lie::Replay => self.repeat_newest(out),
            Lie::Old => self.repeat_old(out),
        };
        if sent {
            self.done.send_if_modified(|done| std::mem::replace(done, lie) != lie);
        }
        sent
    }
}

fn of(codec: Codec) -> media::Codec {
    match codec {
        Codec::Opus => media::Codec::Opus,
        Codec::Vp8 => media::Codec::Vp8,
        Codec::Vp9 => media::Codec::Vp9,
        Codec::H264 => media::Codec::H264,
        Codec::Av1 => media::Codec::Av1,
    }
}

#[cfg(test)]
mod tests {
    use e2ee::keys::Key;
    use e2ee::rotation::Media;

    use super::*;

    fn epoch(keyring: &SharedKeyring, epoch: u64) {
        let mut keyring = keyring.lock();
        keyring.apply(Media::Own { leaf: 0 });
        keyring.apply(Media::Keys { epoch, base: Key::from([epoch as u8; 32]) });
        keyring.apply(Media::Send { epoch: Some(epoch) });
    }

    fn send(stream: &mut SealedStream, frame: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        stream.seal(Codec::Vp8, frame, &mut out).then_some(out)
    }

    #[test]
    fn each_lie_sends_what_its_name_says() {
        let keyring = SharedKeyring::default();
        let (mut stream, liar) = SealedStream::new(keyring.clone(), Kind::Camera);
        assert_eq!(send(&mut stream, b"early"), None);
        epoch(&keyring, 1);
        let first: Vec<_> = (0..3).map(|_| send(&mut stream, b"first").expect("sealed")).collect();
        liar.wanted.send_replace(Lie::Plain);
        assert_eq!(send(&mut stream, b"plain").as_deref(), Some(b"plain".as_slice()));
        liar.wanted.send_replace(Lie::Old);
        assert_eq!(send(&mut stream, b"none is old yet"), None);
        assert_eq!(*liar.done.borrow(), Lie::Plain);
        liar.wanted.send_replace(Lie::Replay);
        let again: Vec<_> = (0..4).map(|_| send(&mut stream, b"x").expect("repeated")).collect();
        assert_eq!(again, [&first[0], &first[1], &first[2], &first[0]].map(Clone::clone));
        assert_eq!(*liar.done.borrow(), Lie::Replay);
        epoch(&keyring, 2);
        liar.wanted.send_replace(Lie::Old);
        assert!(first.contains(&send(&mut stream, b"x").expect("repeated")));
        liar.wanted.send_replace(Lie::None);
        let second = send(&mut stream, b"second").expect("sealed");
        assert!(!first.contains(&second));
        liar.wanted.send_replace(Lie::Old);
        assert!(first.contains(&send(&mut stream, b"x").expect("repeated")));
        liar.wanted.send_replace(Lie::Replay);
        assert_eq!(send(&mut stream, b"x"), Some(second));
    }
}
