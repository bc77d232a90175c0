//! Packets of data tracks, as LiveKit's clients exchange them on the `_data_track` channel: a header like RTP's,
//! then a piece of a frame, which may be encrypted end to end.
//!
//! ```text
//! 0                   1                   2                   3
//! | version | frame   |ext| -  |  reserved  |          handle          |
//! |  3 bits | marker 2| 1 | 2  |   8 bits   |         16 bits          |
//! |        sequence number, 16 bits         |  frame number, 16 bits   |
//! |                    timestamp, 32 bits, 90 kHz                      |
//! | if ext: words that follow these 4 bytes |  extensions …            |
//! ```

use std::num::NonZeroU16;

/// Bytes of a header without extensions.
const FIXED: usize = 12;

/// The one version there is.
const VERSION: u8 = 0;

/// What a forwarder reads of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which track: the publisher's number on the way to the server, the subscriber's on the way from it.
    pub handle: NonZeroU16,
    /// Whether a frame begins with this packet.
    pub is_frame_start: bool,
    /// Which frame the packet belongs to; wraps.
    pub frame: u16,
    /// Bytes of the header with its extensions; the payload follows.
    pub length: usize,
}

/// Why something is no packet of a data track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends within its header.
    #[error("the packet ends within its header")]
    TooShort,
    /// A version of the future.
    #[error("the packet has an unknown version")]
    UnknownVersion,
    /// Handle 0 stands for no track.
    #[error("the packet has the reserved handle 0")]
    ReservedHandle,
}

impl HeaderError {
    /// Stable code for counters.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort => "data-track-too-short",
            Self::UnknownVersion => "data-track-unknown-version",
            Self::ReservedHandle => "data-track-reserved-handle",
        }
    }
}

impl Header {
    /// Reads the header of a packet.
    pub fn parse(packet: &[u8]) -> Result<Self, HeaderError> {
        let (fixed, rest) = packet.split_first_chunk::<FIXED>().ok_or(HeaderError::TooShort)?;
        let [first, _, h0, h1, _, _, f0, f1, ..] = *fixed;
        if first >> 5 != VERSION {
            return Err(HeaderError::UnknownVersion);
        }
        let handle = NonZeroU16::new(u16::from_be_bytes([h0, h1])).ok_or(HeaderError::ReservedHandle)?;
        let extensions = match first & 0x04 {
            0 => 0,
            _ => {
                let words = rest.first_chunk::<2>().ok_or(HeaderError::TooShort)?;
                4 + 4 * usize::from(u16::from_be_bytes(*words))
            }
        };
        if extensions > rest.len() {
            return Err(HeaderError::TooShort);
        }
        Ok(Self {
            handle,
            is_frame_start: first & 0x10 != 0,
            frame: u16::from_be_bytes([f0, f1]),
            length: FIXED + extensions,
        })
    }
}

/// Gives a packet another handle; what is too short for one stays as it is.
pub fn set_handle(packet: &mut [u8], handle: NonZeroU16) {
    if let Some(bytes) = packet.get_mut(2..4) {
        bytes.copy_from_slice(&handle.get().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// First packet of frame 0x0304 of track 0x0102, with a word of extensions and a byte of payload.
    const PACKET: [u8; 19] = [0x14, 0, 1, 2, 0, 9, 3, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7];

    #[test]
    fn a_header_says_which_track_and_frame_and_where_the_payload_begins() {
        // Extensions: 2 bytes of length and 2 in the first word; no further word, so the payload has 3 bytes.
        let header = Header::parse(&PACKET).unwrap();
        assert_eq!((header.handle.get(), header.frame, header.length), (0x0102, 0x0304, 16));
        assert!(header.is_frame_start);
        let mut without = PACKET;
        without[0] = 0x08; // last packet of its frame, no extensions
        let header = Header::parse(&without).unwrap();
        assert!(!header.is_frame_start && header.length == FIXED);
    }

    #[test]
    fn what_is_no_packet_is_refused_by_its_fault() {
        let with = |index: usize, value: u8| {
            let mut packet = PACKET;
            packet[index] = value;
            Header::parse(&packet)
        };
        assert_eq!(Header::parse(&PACKET[..11]), Err(HeaderError::TooShort));
        assert_eq!(Header::parse(&PACKET[..13]), Err(HeaderError::TooShort));
        assert_eq!(with(13, 1), Err(HeaderError::TooShort), "more extensions than packet");
        assert_eq!(with(0, 0x20), Err(HeaderError::UnknownVersion));
        let mut packet = PACKET;
        packet[2..4].fill(0);
        assert_eq!(Header::parse(&packet), Err(HeaderError::ReservedHandle));
    }

    proptest! {
        /// Another handle changes the handle and nothing else, and lengths are those of the packet.
        #[test]
        fn a_packet_with_another_handle_is_the_same_packet(
            mut packet in prop::collection::vec(any::<u8>(), 0..64),
            handle in 1u16..,
        ) {
            let handle = NonZeroU16::new(handle).unwrap();
            let before = Header::parse(&packet);
            let original = packet.clone();
            set_handle(&mut packet, handle);
            if let Ok(before) = before {
                prop_assert!(before.length >= FIXED && before.length <= packet.len());
                prop_assert_eq!(Header::parse(&packet), Ok(Header { handle, ..before }));
                prop_assert_eq!(&packet[..2], &original[..2]);
                prop_assert_eq!(&packet[4..], &original[4..]);
            }
        }
    }
}
