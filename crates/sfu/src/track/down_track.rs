//! A published track on its way to one subscriber: payload types, extension ids, SSRCs and counters of that
//! subscriber, and the [`Forwarder`] that gives its packets their numbers. It stores no packets.

use std::time::{Duration, Instant};

use rtp::codec::red::Redundant;
use rtp::codec::{CodecKind, vp8};
use rtp::extension::{ExtensionKind, ExtensionMap, encode_transport_cc};
use rtp::header::{HeaderBuilder, HeaderFields};

use super::answered::Answered;
use super::extensions;
use super::forwarder::Forwarder;
use super::keyframe_limit::KeyframeLimit;
use super::up_track::UpCodec;
use crate::bandwidth::allocator::Patience;
use crate::bandwidth::target::LayerTarget;
use crate::peer::sdp::{MediaKind, NegotiatedCodec, SectionIndex, SendSection};

/// First sequence numbers stay in the lower half: a receiver takes SRTP's rollover counter to be 0, which it
/// is not for packets behind an early wrap whose predecessors were lost (RFC 3711 §3.3.1).
const FIRST_SEQUENCE: u16 = 0x7fff;

/// One of the publisher's payload types and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The publisher's payload type.
    pub publisher: u8,
    /// The subscriber's.
    pub media: u8,
    /// The subscriber's for retransmissions.
    pub rtx: Option<u8>,
    /// The codec.
    pub kind: CodecKind,
    /// RED becomes plain Opus: the subscriber cannot read it, or means other payload types by it.
    pub strips_red: bool,
}

impl Payload {
    /// What of a stored payload is sent.
    pub fn select<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        if !self.strips_red {
            return stored;
        }
        // Malformed ones are not stored; what has no primary is sent as if it had been padding.
        Redundant::parse(stored).map_or(&[], |redundant| redundant.primary)
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct DownTrack {
    /// Key of the UpTrack that it carries: the track itself, or its backup codec.
    pub track: usize,
    /// Key of the track that the subscriber has subscribed to.
    pub publication: usize,
    /// The subscriber's media section.
    pub section: SectionIndex,
    /// SSRC of the medium.
    pub ssrc: u32,
    /// SSRC of retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Canonical name (RFC 3550 §6.5.1): the publisher's participant id, so that its tracks are played in step.
    pub cname: String,
    /// Choice and numbering.
    pub forwarder: Forwarder,
    /// What the subscriber needs; `None` if it needs nothing for now.
    pub wanted: Option<LayerTarget>,
    /// What it gets as soon as it can.
    target: Option<LayerTarget>,
    /// Whether it may get more than now.
    pub patience: Patience,
    /// Whether the subscriber was told that it is paused for want of bandwidth.
    pub is_starved: bool,
    /// Packets and payload octets sent, for sender reports.
    pub packets: u32,
    /// See `packets`.
    pub octets: u32,
    /// Pictures are left out until then, and begin with a key frame: the answer that announces them is still under way, or the
    /// line has to catch up.
    pub held_until: Option<Instant>,
    /// Its newest key frame: the publisher's timestamp, and when it began to be forwarded.
    pub keyframe: Option<(u32, Instant)>,
    /// The subscriber reported about this SSRC, so it knows which section it belongs to.
    pub confirmed: bool,
    /// The highest extended sequence number sent.
    pub sent: Option<u64>,
    /// Where the source begins ([`Forwarder::begins_at`]) that the last sender report was of.
    pub reported: Option<u64>,
    /// The newest sender report: middle 32 bits of its NTP time, and when it was sent.
    pub report_sent: Option<(u32, Instant)>,
    /// What was sent again a moment ago.
    pub answered: Answered,
    /// How often the subscriber may ask for a key frame.
    pub keyframe_limit: KeyframeLimit,
    /// Whether the subscriber was told that it cannot take what the publisher sends.
    pub codec_refused: bool,
    mid: String,
    extensions: ExtensionMap,
    payloads: Vec<Payload>,
    rtx_sequence: u64,
}

/// The packets of one key frame come within this of the first, over a slow uplink too. Whoever goes on with its timestamp for
/// longer is skipped as anything else.
pub const KEYFRAME_SPREAD: Duration = Duration::from_secs(2);

impl DownTrack {
    /// A DownTrack in the media section that the subscriber's offer has for it; `codecs` are the publisher's,
    /// by payload type.
    pub fn new(
        track: usize,
        section: SectionIndex,
        send: &SendSection,
        codecs: &[(u8, UpCodec)],
        random: u32,
    ) -> Self {
        let [first, second, third, fourth] = random.to_be_bytes();
        let mut down_track = Self {
            track,
            publication: track,
            section,
            ssrc: send.track.ssrc,
            rtx_ssrc: send.track.rtx_ssrc,
            cname: send.track.cname.clone(),
            forwarder: Forwarder::new(
                send.kind == MediaKind::Video,
                u16::from_be_bytes([first, second]) & FIRST_SEQUENCE,
            ),
            wanted: Some(LayerTarget::BEST),
            target: Some(LayerTarget::LOWEST),
            patience: Patience::default(),
            is_starved: false,
            packets: 0,
            octets: 0,
            held_until: None,
            keyframe: None,
            confirmed: false,
            sent: None,
            reported: None,
            report_sent: None,
            answered: Answered::default(),
            keyframe_limit: KeyframeLimit::default(),
            codec_refused: false,
            mid: String::new(),
            extensions: ExtensionMap::default(),
            payloads: Vec::new(),
            rtx_sequence: u64::from(u16::from_be_bytes([third, fourth]) & FIRST_SEQUENCE),
        };
        down_track.renegotiate(send, codecs);
        down_track
    }

    /// Takes over what a later offer of either side says.
    pub fn renegotiate(&mut self, send: &SendSection, codecs: &[(u8, UpCodec)]) {
        self.mid.clone_from(&send.mid);
        self.extensions = send.extensions;
        self.payloads = codecs
            .iter()
            .filter_map(|(payload_type, codec)| {
                let theirs = shared_codec(codec, &send.codecs)?;
                Some(Payload {
                    publisher: *payload_type,
                    media: theirs.payload_type,
                    rtx: theirs.rtx_payload_type,
                    kind: codec.kind,
                    strips_red: codec.kind == CodecKind::Red && theirs.kind == CodecKind::Opus,
                })
            })
            .collect();
    }

    /// It carries another codec of its track from now on, from the first key frame of that.
    pub fn change_codec(&mut self, track: usize, send: &SendSection, codecs: &[(u8, UpCodec)]) {
        self.track = track;
        self.renegotiate(send, codecs);
        self.forwarder.resume_at_keyframe();
        self.codec_refused = false;
    }

    /// Sets what the subscriber gets as soon as it can, `None` for a pause; true if that is something else than before.
    /// Whoever is paused misses what the publisher sends, and begins anew at a key frame.
    pub fn set_target(&mut self, target: Option<LayerTarget>) -> bool {
        if target.is_none() {
            self.forwarder.resume_at_keyframe();
        }
        std::mem::replace(&mut self.target, target) != target
    }

    /// [`Self::set_target`] as bandwidth allows, with this estimate in bit/s; `top` is what it would be with any amount. What is taken back for want
    /// of it is not tried again at once; the first choices, before anything was sent, are free.
    pub fn choose(
        &mut self,
        now: Instant,
        target: Option<LayerTarget>,
        top: LayerTarget,
        estimate: u64,
    ) -> bool {
        if self.packets > 0 && (target > self.target || target < Some(top)) {
            self.patience.changed(now, self.target, target, estimate);
        }
        self.set_target(target)
    }

    /// The subscriber wants this of the track from now on; `None` for a pause. More than until now is not made to wait
    /// for what was decided before.
    pub fn want(&mut self, wanted: Option<LayerTarget>) {
        if wanted > std::mem::replace(&mut self.wanted, wanted) {
            self.patience.renew();
        }
    }

    /// Whether a packet with this timestamp of the publisher's, that comes now, is of the newest key frame.
    pub fn is_of_keyframe(&self, now: Instant, timestamp: u32) -> bool {
        self.keyframe.is_some_and(|(keyframe, came)| {
            keyframe == timestamp && now.saturating_duration_since(came) <= KEYFRAME_SPREAD
        })
    }

    /// What the subscriber gets as soon as it can; `None` if it is paused.
    pub fn target(&self) -> Option<LayerTarget> {
        self.target
    }

    /// What one of the publisher's payload types becomes; `None` if the subscriber cannot take it.
    pub fn payload(&self, publisher: u8) -> Option<Payload> {
        self.payloads.iter().find(|payload| payload.publisher == publisher).copied()
    }

    /// Whether publisher and subscriber share a codec at all.
    pub fn has_shared_codec(&self) -> bool {
        !self.payloads.is_empty()
    }

    /// Whether what has this payload type of the publisher can be sent again.
    pub fn has_rtx(&self, publisher: u8) -> bool {
        self.rtx_ssrc.is_some() && self.payload(publisher).is_some_and(|payload| payload.rtx.is_some())
    }

    /// Whether its packets are numbered for transport-wide feedback.
    pub fn has_transport_cc(&self) -> bool {
        self.extensions.id(ExtensionKind::TransportCc).is_some()
    }

    /// A payload type for retransmissions, for padding that belongs to no packet.
    pub fn rtx_payload_type(&self) -> Option<u8> {
        self.payloads.iter().find_map(|payload| payload.rtx)
    }

    /// The next extended sequence number of the retransmission stream.
    pub fn next_rtx_sequence(&mut self) -> u64 {
        self.rtx_sequence += 1;
        self.rtx_sequence
    }

    /// Writes the RTP header of a packet for this subscriber; returns its length in bytes.
    ///
    /// A packet names its section until the subscriber has reported about the source. Retransmissions always
    /// do: Firefox finds their section by nothing else (measured with ESR 153, which ignored those without).
    /// `stored` are the extensions that are carried over, `transport_sequence` numbers the packet for feedback.
    pub fn write_header(
        &self,
        fields: &HeaderFields,
        stored: &[u8],
        transport_sequence: Option<u16>,
        out: &mut [u8],
    ) -> Result<usize, rtp::RtpError> {
        let mid = (!self.confirmed || Some(fields.ssrc) == self.rtx_ssrc)
            .then(|| self.extensions.id(ExtensionKind::Mid).map(|id| (id, self.mid.as_bytes())))
            .flatten();
        let transport_cc = self.extensions.id(ExtensionKind::TransportCc).zip(transport_sequence);
        let number = transport_cc.map(|(id, sequence)| (id, encode_transport_cc(sequence)));
        let own = [mid, number.as_ref().map(|(id, number)| (*id, &number[..]))];
        let form = extensions::form(stored, &self.extensions, own);
        let mut builder = HeaderBuilder::new(out, fields, form);
        for (id, value) in own.into_iter().flatten() {
            builder.extension(id, value);
        }
        extensions::write(stored, &self.extensions, &mut builder);
        builder.finish()
    }
}

/// A payload's first bytes rewritten for one subscriber.
#[derive(Debug, Default)]
pub struct Prefix {
    bytes: [u8; 16],
    length: usize,
    /// Bytes of the stored payload that the prefix stands for.
    pub replaced: usize,
}

impl Prefix {
    /// The bytes in front of the rest of the payload.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Puts the original sequence number of a retransmission in front (RFC 4588 §4).
    pub fn original_sequence(&mut self, sequence: u16) {
        self.push(&sequence.to_be_bytes());
    }

    /// Continues VP8's picture ids over a change of layer (RFC 7741 §4.2); nothing to do without one.
    pub fn picture(&mut self, codec: CodecKind, payload: &[u8], (id_offset, tl0_offset): (u16, u8)) {
        if codec != CodecKind::Vp8 || (id_offset, tl0_offset) == (0, 0) {
            return;
        }
        let Ok(descriptor) = vp8::Descriptor::parse(payload) else { return };
        let picture_id = descriptor.picture_id.map_or(0, |id| id.value).wrapping_add(id_offset) & 0x7fff;
        let tl0 = descriptor.tl0_pic_idx.unwrap_or_default().wrapping_add(tl0_offset);
        let mut written = [0; vp8::MAX_DESCRIPTOR];
        let rewrite = vp8::rewrite(&descriptor, picture_id, tl0, None, &mut written);
        self.push(written.get(..rewrite.len).unwrap_or_default());
        self.replaced = rewrite.replaces;
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(space) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            space.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }
}

/// The subscriber's counterpart of a publisher's codec: same kind and, where profiles differ on the wire
/// (H264 RFC 6184 §8.2.2, VP9 RFC 9628 §7), same profile and packetisation. For RED it is RED over the same payload
/// types, which stand in its blocks, or else Opus.
pub fn shared_codec<'a>(
    publisher: &UpCodec,
    subscriber: &'a [NegotiatedCodec],
) -> Option<&'a NegotiatedCodec> {
    let same_kind = || subscriber.iter().filter(|codec| codec.kind == publisher.kind);
    let exact = same_kind().find(|codec| codec.fmtp == publisher.fmtp);
    if publisher.kind == CodecKind::Red {
        return exact.or_else(|| subscriber.iter().find(|codec| codec.kind == CodecKind::Opus));
    }
    exact.or_else(|| same_kind().find(|codec| is_compatible(publisher.kind, &publisher.fmtp, &codec.fmtp)))
}

fn is_compatible(kind: CodecKind, ours: &str, theirs: &str) -> bool {
    match kind {
        CodecKind::Opus | CodecKind::Red | CodecKind::Vp8 => true,
        CodecKind::Vp9 => parameter(ours, "profile-id", "0") == parameter(theirs, "profile-id", "0"),
        CodecKind::Av1 => parameter(ours, "profile", "0") == parameter(theirs, "profile", "0"),
        CodecKind::H264 => {
            let mode = |fmtp| parameter(fmtp, "packetization-mode", "0");
            // profile_idc and its constraints; the level is asymmetric between browsers.
            let profile =
                |fmtp| parameter(fmtp, "profile-level-id", "42001f").get(..4).map(str::to_ascii_lowercase);
            mode(ours) == mode(theirs) && profile(ours) == profile(theirs)
        }
    }
}

/// The value of a format parameter, or its default.
fn parameter<'a>(fmtp: &'a str, name: &str, default: &'a str) -> &'a str {
    fmtp.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or(default, |(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(kind: CodecKind, fmtp: &str) -> UpCodec {
        UpCodec { kind, fmtp: fmtp.to_owned(), nack: true, pli: true, fir: false }
    }

    #[test]
    fn profiles_are_told_apart_and_levels_are_not() {
        let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
        assert!(is_compatible(CodecKind::H264, h264, "packetization-mode=1;profile-level-id=42E034"));
        assert!(!is_compatible(CodecKind::H264, h264, "packetization-mode=0;profile-level-id=42e01f"));
        assert!(!is_compatible(CodecKind::H264, h264, "packetization-mode=1;profile-level-id=64001f"));
        assert!(is_compatible(CodecKind::Vp9, "", "profile-id=0"), "Firefox names no profile");
        assert!(!is_compatible(CodecKind::Vp9, "", "profile-id=2"));
    }

    fn subscriber(kind: CodecKind, payload_type: u8, fmtp: &str) -> NegotiatedCodec {
        NegotiatedCodec {
            payload_type,
            rtx_payload_type: None,
            kind,
            fmtp: fmtp.to_owned(),
            nack: false,
            pli: false,
            fir: false,
            transport_cc: true,
            remb: false,
        }
    }

    #[test]
    fn red_goes_to_who_means_the_same_by_it_and_opus_to_everybody_else() {
        let red = publisher(CodecKind::Red, "111/111");
        let opus = subscriber(CodecKind::Opus, 111, "minptime=10");
        let same = [opus.clone(), subscriber(CodecKind::Red, 63, "111/111")];
        let other = [opus, subscriber(CodecKind::Red, 63, "109/109")];
        assert_eq!(shared_codec(&red, &same).map(|codec| codec.payload_type), Some(63));
        assert_eq!(shared_codec(&red, &other).map(|codec| codec.payload_type), Some(111));
        assert_eq!(shared_codec(&red, &other[..1]).map(|codec| codec.payload_type), Some(111));
        assert_eq!(
            shared_codec(&publisher(CodecKind::Opus, ""), &same).map(|codec| codec.kind),
            Some(CodecKind::Opus)
        );
    }

    #[test]
    fn no_counterpart_is_no_codec() {
        assert!(shared_codec(&publisher(CodecKind::Av1, ""), &[]).is_none());
    }
}
