//! What of a frame has to stay readable on its way, by codec.

use std::borrow::Cow;

use super::{av1, h264};

/// How a stream is encoded, and so what of its frames stays readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Nothing: packetizers take a frame as it is.
    Opus,
    /// One byte, whose lowest bit says whether this is a key frame (RFC 6386 §9.1): depacketizers read it there.
    Vp8,
    /// Nothing: what is needed on the way stands in the payload descriptor (RFC 9628 §4.2).
    Vp9,
    /// Parameter sets, and the beginning of the first slice.
    H264,
    /// Nothing: the frame travels inside an OBU.
    Av1,
}

/// A frame before sealing.
pub(super) struct Split<'a> {
    /// What stays readable; authenticated.
    pub(super) clear: Cow<'a, [u8]>,
    pub(super) secret: &'a [u8],
}

/// A frame on the wire.
pub(super) struct Wire<'a> {
    pub(super) clear: Cow<'a, [u8]>,
    /// Header, ciphertext and tag.
    pub(super) sframe: Cow<'a, [u8]>,
}

impl Codec {
    /// `None` for what is no frame of the codec.
    pub(super) fn split(self, frame: &[u8]) -> Option<Split<'_>> {
        match self {
            Self::Opus | Self::Vp9 => prefix(frame, 0),
            Self::Vp8 => prefix(frame, 1),
            Self::H264 => h264::split(frame),
            Self::Av1 => av1::split(frame),
        }
    }

    /// Appends the frame as it goes on the wire.
    pub(super) fn wrap(self, clear: &[u8], sframe: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Opus | Self::Vp8 | Self::Vp9 => {
                out.extend_from_slice(clear);
                out.extend_from_slice(sframe);
            }
            Self::H264 => h264::wrap(clear, sframe, out),
            Self::Av1 => av1::wrap(sframe, out),
        }
    }

    /// `None` for what `wrap` cannot have made.
    pub(super) fn unwrap(self, frame: &[u8]) -> Option<Wire<'_>> {
        match self {
            Self::Opus | Self::Vp8 | Self::Vp9 => {
                let Split { clear, secret } = self.split(frame)?;
                Some(Wire { clear, sframe: Cow::Borrowed(secret) })
            }
            Self::H264 => h264::unwrap(frame),
            Self::Av1 => av1::unwrap(frame),
        }
    }

    /// Appends the frame that `split` was given, or one that decodes to the same.
    pub(super) fn restore(self, clear: &[u8], secret: &[u8], out: &mut Vec<u8>) {
        if self != Self::Av1 {
            out.extend_from_slice(clear);
        }
        out.extend_from_slice(secret);
    }
}

fn prefix(frame: &[u8], clear: usize) -> Option<Split<'_>> {
    let (clear, secret) = frame.split_at_checked(clear)?;
    (!secret.is_empty()).then_some(Split { clear: Cow::Borrowed(clear), secret })
}
