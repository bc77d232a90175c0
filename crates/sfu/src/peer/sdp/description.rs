//! A session description as a tree of values borrowed from its text; [`parse`](super::parse::parse) makes it.

use super::{Direction, MediaKind, Setup};

/// A parsed description.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SessionDescription<'a> {
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// The mids of every `a=group:BUNDLE`.
    pub bundle_groups: Vec<Vec<&'a str>>,
    /// Transport attributes of the session level; sections may override them.
    pub transport: Transport<'a>,
    /// The sections in order.
    pub sections: Vec<MediaDescription<'a>>,
}

/// Attributes of a transport (`TRANSPORT` in RFC 8859).
#[derive(Clone, Debug, Default)]
pub struct Transport<'a> {
    /// `a=ice-ufrag`.
    pub ice_ufrag: Option<&'a str>,
    /// `a=ice-pwd`.
    pub ice_pwd: Option<&'a str>,
    /// Every `a=fingerprint`: name of the hash function and digest in hexadecimal, unchecked.
    pub fingerprints: Vec<(&'a str, &'a str)>,
    /// `a=setup`.
    pub setup: Option<Setup>,
}

/// One media section.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MediaDescription<'a> {
    /// The media type as written.
    pub media: &'a str,
    /// What it carries; `None` for what we do not know (other media or another protocol).
    pub kind: Option<MediaKind>,
    /// Port; 0 is a rejected section unless it is [`bundle_only`](Self::bundle_only).
    pub port: u16,
    /// Protocol as written.
    pub protocol: &'a str,
    /// Formats as written.
    pub formats: &'a str,
    /// `a=mid`.
    pub mid: Option<&'a str>,
    /// `a=bundle-only`.
    pub bundle_only: bool,
    /// Direction.
    pub direction: Direction,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`.
    pub rtcp_rsize: bool,
    /// `a=extmap-allow-mixed` here or at the session level.
    pub extmap_allow_mixed: bool,
    /// Transport attributes of this section alone.
    pub transport: Transport<'a>,
    /// Payload types in the order of the `m=` line (RTP only).
    pub payloads: Vec<Payload<'a>>,
    /// Header extensions, those of the session level first.
    pub extensions: Vec<ExtMap<'a>>,
    /// `a=msid`, or what an `a=ssrc:… msid:` line says: stream and track.
    pub msid: Option<(&'a str, Option<&'a str>)>,
    /// `a=rid` lines.
    pub rids: Vec<Rid<'a>>,
    /// Streams the author sends by `a=simulcast`, in order; of alternatives the first.
    pub simulcast_send: Vec<&'a str>,
    /// Distinct synchronisation sources of `a=ssrc` lines, in order.
    pub ssrcs: Vec<u32>,
    /// `a=ssrc-group` lines: semantics and members.
    pub ssrc_groups: Vec<(&'a str, Vec<u32>)>,
    /// `a=sctp-port`.
    pub sctp_port: Option<u16>,
    /// `a=max-message-size`.
    pub max_message_size: Option<u32>,
    /// Bytes of the section in the description.
    pub bytes: usize,
}

/// A payload type and what is said about it.
#[derive(Clone, Debug, Default)]
pub struct Payload<'a> {
    /// The number.
    pub payload_type: u8,
    /// Encoding name of its `a=rtpmap`; empty without one.
    pub encoding: &'a str,
    /// Clock rate in Hz; 0 without `a=rtpmap`.
    pub clock_rate: u32,
    /// Channels; 1 if not said.
    pub channels: u8,
    /// Format parameters; of several lines the first.
    pub fmtp: Option<&'a str>,
    /// What feedback the author takes or sends for it.
    pub feedback: Feedback,
}

/// `a=rtcp-fb` values we know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Generic NACK (RFC 4585).
    pub nack: bool,
    /// Picture loss indication (RFC 4585).
    pub pli: bool,
    /// Full intra request (RFC 5104).
    pub fir: bool,
    /// Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    pub transport_cc: bool,
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb).
    pub remb: bool,
}

impl Feedback {
    pub(super) fn add(&mut self, value: &str) {
        match value {
            "nack" => self.nack = true,
            "nack pli" => self.pli = true,
            "ccm fir" => self.fir = true,
            "transport-cc" => self.transport_cc = true,
            "goog-remb" => self.remb = true,
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.nack |= other.nack;
        self.pli |= other.pli;
        self.fir |= other.fir;
        self.transport_cc |= other.transport_cc;
        self.remb |= other.remb;
    }
}

/// One `a=extmap` line (RFC 8285 §8).
#[derive(Clone, Copy, Debug)]
pub struct ExtMap<'a> {
    /// The local identifier.
    pub id: u16,
    /// Direction, if one is given.
    pub direction: Option<Direction>,
    /// Name of the extension.
    pub uri: &'a str,
}

/// One `a=rid` line (RFC 8851).
#[derive(Clone, Copy, Debug)]
pub struct Rid<'a> {
    /// Its name.
    pub id: &'a str,
    /// Whether the author sends it.
    pub sends: bool,
    /// Everything after the direction, as written.
    pub restrictions: &'a str,
}
