//! What a participant sends us: which SSRC is which layer of which track, and what we report back about it
//! as a receiver.

use std::time::{Duration, Instant};

use rtp::extension::{ExtensionKind, ExtensionMap};
use rtp::packet::RtpPacket;
use rtp::twcc::ArrivalRecorder;

use crate::peer::sdp::Negotiator;
use crate::track::up_track::UpTrack;

/// SSRCs one participant may use at a time: 32 tracks of 3 layers with retransmissions would be 192; clients
/// use a dozen.
const MAX_STREAMS: usize = 128;

/// Receiver reports go out this often.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One received SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Key of the track in the room.
    pub(crate) track: usize,
    /// Index of its layer.
    pub(crate) layer: usize,
    /// Whether it carries retransmissions.
    pub(crate) is_rtx: bool,
}

/// Why a packet belongs to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("nothing is known about this SSRC and the packet names no media section")]
    UnknownSsrc,
    #[error("the payload type was not negotiated")]
    UnknownPayloadType,
    #[error("the participant uses too many SSRCs")]
    TooManyStreams,
}

impl ReceiveError {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::UnknownSsrc => "unknown-ssrc",
            Self::UnknownPayloadType => "unknown-payload-type",
            Self::TooManyStreams => "too-many-streams",
        }
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Extension ids; one map, because BUNDLE makes them equal over sections (RFC 8843 §9).
    pub(crate) extensions: ExtensionMap,
    /// Transport-wide sequence numbers and arrival times.
    pub(crate) arrivals: ArrivalRecorder,
    pub(crate) next_report: Option<Instant>,
    streams: Vec<(u32, Stream)>,
    /// (section, track) of everything published.
    sections: Vec<(String, usize)>,
    /// Retransmission payload types and the payload types they stand for.
    rtx_payload_types: Vec<(u8, u8)>,
}

impl Receiver {
    /// Learns ids and payload types from the newest offer.
    pub(crate) fn renegotiate(&mut self, negotiator: &Negotiator) {
        self.extensions = *negotiator.extensions();
        self.rtx_payload_types.clear();
        for section in negotiator.receiving() {
            for codec in section.codecs.iter() {
                if let Some(rtx) = codec.rtx_payload_type {
                    self.rtx_payload_types.push((rtx, codec.payload_type));
                }
            }
        }
    }

    /// A track is published on a section.
    pub(crate) fn add_track(&mut self, mid: &str, track: usize) {
        self.sections.push((mid.to_owned(), track));
    }

    /// A track is no longer published.
    pub(crate) fn remove_track(&mut self, track: usize) {
        self.sections.retain(|(_, other)| *other != track);
        self.streams.retain(|(_, stream)| stream.track != track);
    }

    /// Makes an SSRC known that the offer declared.
    pub(crate) fn declare(&mut self, ssrc: u32, stream: Stream) {
        if self.streams.len() < MAX_STREAMS && self.stream(ssrc).is_none() {
            self.streams.push((ssrc, stream));
        }
    }

    /// The medium's payload type behind a retransmission's.
    pub(crate) fn media_payload_type(&self, rtx: u8) -> Option<u8> {
        self.rtx_payload_types.iter().find(|(own, _)| *own == rtx).map(|(_, media)| *media)
    }

    /// Which stream an SSRC is.
    pub(crate) fn stream(&self, ssrc: u32) -> Option<Stream> {
        self.streams.iter().find(|(known, _)| *known == ssrc).map(|(_, stream)| *stream)
    }

    /// Which stream a packet belongs to. The first packets of an SSRC name their section and layer (RFC 8843
    /// §9.2, RFC 8852); later ones, once we reported, do not.
    pub(crate) fn locate(
        &mut self,
        packet: &RtpPacket<'_>,
        tracks: &mut slab::Slab<UpTrack>,
    ) -> Result<Stream, ReceiveError> {
        let ssrc = packet.ssrc();
        if let Some(stream) = self.stream(ssrc) {
            return Ok(stream);
        }
        let text = |kind| self.extensions.id(kind).and_then(|id| packet.extension(id));
        let mid = text(ExtensionKind::Mid).ok_or(ReceiveError::UnknownSsrc)?;
        let key = self.sections.iter().find(|(known, _)| known.as_bytes() == mid).map(|(_, track)| *track);
        let track = key.and_then(|key| tracks.get_mut(key)).ok_or(ReceiveError::UnknownSsrc)?;
        let is_rtx = self.media_payload_type(packet.payload_type()).is_some();
        let rid = text(if is_rtx { ExtensionKind::RepairedRid } else { ExtensionKind::Rid });
        let layer = match rid {
            Some(rid) => {
                track.layers.iter().position(|layer| layer.rid.as_deref().map(str::as_bytes) == Some(rid))
            }
            None if track.layers.len() == 1 => Some(0),
            None => None,
        };
        let layer = layer.ok_or(ReceiveError::UnknownSsrc)?;
        let stream = Stream { track: key.unwrap_or_default(), layer, is_rtx };
        self.streams.retain(|(_, other)| *other != stream);
        if self.streams.len() >= MAX_STREAMS {
            return Err(ReceiveError::TooManyStreams);
        }
        self.streams.push((ssrc, stream));
        if !is_rtx && let Some(layer) = track.layers.get_mut(layer) {
            layer.bind(ssrc);
        }
        Ok(stream)
    }
}
