//! End-to-end encryption of what is published. Frames are sealed before they are split into packets; with what is the
//! business of whoever holds the keys.

use std::fmt;

use super::Codec;

/// Bytes by which sealing may make a frame of sound longer, which has to fit into one packet.
pub(crate) const SEAL_BYTES: usize = 64;

/// Seals the frames of one stream.
pub trait FrameSeal: Send + 'static {
    /// Appends to `out` what goes on the wire in place of a frame. `false` if nothing is to be sent of it.
    fn seal(&mut self, codec: Codec, frame: &[u8], out: &mut Vec<u8>) -> bool;
}

/// What a source seals with, if it does.
#[derive(Default)]
pub(crate) struct Sealing(Option<Box<dyn FrameSeal>>);

impl Sealing {
    pub(crate) fn with(seal: Box<dyn FrameSeal>) -> Self {
        Self(Some(seal))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The frame as it goes on the wire; `None` if nothing of it does.
    pub(crate) fn apply(&mut self, codec: Codec, frame: Vec<u8>) -> Option<Vec<u8>> {
        let Some(seal) = &mut self.0 else { return Some(frame) };
        let mut sealed = Vec::with_capacity(frame.len() + SEAL_BYTES);
        seal.seal(codec, &frame, &mut sealed).then_some(sealed)
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Sealing(on)" } else { "Sealing(off)" })
    }
}

/// For tests of sources: turns every byte round, and lets nothing of every third frame through.
#[cfg(test)]
pub(crate) struct Inverting {
    frames: u32,
}

#[cfg(test)]
impl Inverting {
    pub(crate) fn boxed() -> Box<dyn FrameSeal> {
        Box::new(Self { frames: 0 })
    }
}

#[cfg(test)]
impl FrameSeal for Inverting {
    fn seal(&mut self, _codec: Codec, frame: &[u8], out: &mut Vec<u8>) -> bool {
        self.frames += 1;
        out.extend(frame.iter().map(|byte| !byte));
        !self.frames.is_multiple_of(3)
    }
}
