//! What one offered media section means: what the client publishes on it, what it can be sent on it, and
//! what of it is taken.

use std::sync::Arc;

use rtp::codec::CodecKind;
use rtp::extension::{ExtensionKind, ExtensionMap};

use super::codec::CodecSet;
use super::parse::MediaDescription;
use super::{Direction, MediaKind, NegotiatedCodec, SdpError, SectionIndex};

/// Layers of one simulcast publication that are taken; further ones are refused in the answer.
const MAX_LAYERS: usize = 3;
/// Synchronisation sources of a publication: its layers with their retransmissions.
const MAX_PAIRS: usize = 2 * MAX_LAYERS;
/// Largest id of a header extension in a one-byte header (RFC 8285 §4.2).
const MAX_ONE_BYTE_ID: u16 = 14;

/// A section on which the client publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiveSection {
    /// Where it is.
    pub index: SectionIndex,
    /// Its media id.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// Stream of `a=msid`; none if it is `-`.
    pub stream_id: Option<String>,
    /// Track of `a=msid`: the `cid` of LiveKit's `AddTrackRequest`.
    pub track_id: Option<String>,
    /// Taken codecs in the offered order, which is the client's preference.
    pub codecs: Arc<[NegotiatedCodec]>,
    /// Header extensions that the client may send, with its ids.
    pub extensions: ExtensionMap,
    /// Restriction ids of the simulcast layers in the offered order (at most 3); empty without simulcast.
    pub rids: Vec<String>,
    /// Declared sources of media, without those of retransmissions and error correction.
    pub ssrcs: Vec<u32>,
    /// Declared (media, retransmission) pairs (`ssrc-group:FID`).
    pub rtx_pairs: Vec<(u32, u32)>,
    /// Layers of a simulcast by sources (`ssrc-group:SIM`), lowest first.
    pub sim_group: Vec<u32>,
    /// Whether the client publishes now; false once it stopped.
    pub active: bool,
}

/// What a section that carries a track to the client was negotiated to.
#[derive(Clone, Debug, PartialEq)]
pub struct SendSection {
    /// Its media id.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent.
    pub track: SendTrack,
    /// What the client takes here, in its order of preference, with its payload types.
    pub codecs: Arc<[NegotiatedCodec]>,
    /// Header extensions that the client takes, with its ids. Layer names (rid) are not among them: what is
    /// sent is never simulcast.
    pub extensions: ExtensionMap,
    /// Whether an answer has told the client of this track.
    pub announced: bool,
}

/// A track to send to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendTrack {
    /// Audio or video.
    pub kind: MediaKind,
    /// The publisher, `PA_…`.
    pub participant_sid: String,
    /// The track, `TR_…`.
    pub track_sid: String,
    /// The publisher's stream (`a=msid`) that it belongs to: browsers play in step what shares a stream, and
    /// nothing else (measured: without it Chromium never estimates when a picture was taken).
    pub stream: &'static str,
    /// Source of the media.
    pub ssrc: u32,
    /// Source of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Canonical name (RFC 7022): the same for what is to be played in step.
    pub cname: String,
    /// Whether it may be two channels of sound: browsers play one unless the description says so.
    pub stereo: bool,
}

/// How the client is asked to encode what it publishes on a section: Opus (RFC 7587 §6.1, RFC 2198), or in which of
/// the offered codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Send little while nobody speaks.
    pub dtx: bool,
    /// Two channels.
    pub stereo: bool,
    /// Repeat earlier frames (RED), if that was offered.
    pub red: bool,
    /// The codec of a picture, if it was offered; otherwise the first that was.
    pub codec: Option<CodecKind>,
}

impl Default for Preferences {
    /// Speech, without redundancy: whoever did not ask for it may seal frames, which it does not go with.
    fn default() -> Self {
        Self { dtx: true, stereo: false, red: false, codec: None }
    }
}

/// A header extension in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerExtension {
    pub(super) kind: ExtensionKind,
    pub(super) id: u8,
    /// The author's (our) direction, only if the offer gave one.
    pub(super) direction: Option<Direction>,
}

/// A simulcast layer in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) rid: String,
    pub(super) restrictions: String,
}

/// A taken RTP section.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RtpSection {
    pub(super) direction: Direction,
    pub(super) codec_set: Arc<CodecSet>,
    pub(super) extensions: Vec<AnswerExtension>,
    pub(super) extmap_allow_mixed: bool,
    pub(super) rtcp_rsize: bool,
    pub(super) layers: Vec<Layer>,
    /// Whether the layers were offered as simulcast, not only as restriction ids.
    pub(super) simulcast: bool,
    pub(super) receive: ReceiveSection,
    pub(super) send_extensions: ExtensionMap,
}

/// What the core is set to take.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) codecs: &'a [CodecKind],
    pub(super) extensions: &'a [ExtensionKind],
}

impl RtpSection {
    /// The payload types as they are answered or offered. Browsers send the first codec that an answer has, and
    /// livekit-client leaves the choice to that: the preferred one comes first. RED comes first on a section that is to
    /// carry it, and not at all on one that the client only publishes on without.
    pub(super) fn payload_types(&self, preferences: Preferences) -> impl Iterator<Item = u8> {
        let Preferences { red, codec: preferred, .. } = preferences;
        let is_of = |payload_type: &u8, kind: CodecKind| {
            self.codec_set.codec(*payload_type).is_some_and(|codec| codec.kind == kind)
        };
        let sends = self.direction.sends();
        let is_first = move |payload_type: &u8| {
            let is_preferred = preferred.is_some_and(|kind| is_of(payload_type, kind));
            sends && (is_preferred || red && is_of(payload_type, CodecKind::Red))
        };
        let is_left_out = move |payload_type: &u8| {
            sends && !red && !self.direction.receives() && is_of(payload_type, CodecKind::Red)
        };
        let listed = || self.codec_set.payload_types.iter().copied();
        let others = listed().filter(move |number| !is_first(number) && !is_left_out(number));
        listed().filter(is_first).chain(others)
    }

    /// Reads a bundled, not rejected section; `None` if it has no codec in common with us.
    pub(super) fn new(
        media: &MediaDescription<'_>,
        kind: MediaKind,
        index: SectionIndex,
        mid: &str,
        taken: Taken<'_>,
        shared: &mut SharedCodecs,
    ) -> Result<Option<Self>, SdpError> {
        let codec_set = CodecSet::new(media, kind, taken.codecs);
        if codec_set.codecs.is_empty() {
            return Ok(None);
        }
        if !media.rtcp_mux {
            return Err(SdpError::RtcpMuxMissing { section: index.0 });
        }
        let codec_set = shared.intern(codec_set);
        let extensions = answer_extensions(media, taken.extensions);
        let mut receive_extensions = ExtensionMap::default();
        let mut send_extensions = ExtensionMap::default();
        for extension in &extensions {
            let direction = extension.direction.unwrap_or_default();
            if direction.receives() {
                receive_extensions.insert(extension.kind, extension.id);
            }
            let names_layer = matches!(extension.kind, ExtensionKind::Rid | ExtensionKind::RepairedRid);
            if direction.sends() && !names_layer {
                send_extensions.insert(extension.kind, extension.id);
            }
        }
        let sends = media.direction.sends();
        let layers = if sends { layers(media, &codec_set) } else { Vec::new() };
        let (ssrcs, rtx_pairs, sim_group) = if sends { sources(media) } else { Default::default() };
        let receive = ReceiveSection {
            index,
            mid: mid.to_owned(),
            kind,
            stream_id: media
                .msid
                .map(|(stream, _)| stream)
                .filter(|stream| *stream != "-")
                .map(str::to_owned),
            track_id: media.msid.and_then(|(_, track)| track).map(str::to_owned),
            codecs: Arc::clone(&codec_set.codecs),
            extensions: receive_extensions,
            rids: layers.iter().map(|layer| layer.rid.clone()).collect(),
            ssrcs,
            rtx_pairs,
            sim_group,
            active: sends,
        };
        Ok(Some(Self {
            direction: media.direction,
            codec_set,
            extensions,
            extmap_allow_mixed: media.extmap_allow_mixed,
            rtcp_rsize: media.rtcp_rsize,
            simulcast: !media.simulcast_send.is_empty(),
            layers,
            receive,
            send_extensions,
        }))
    }
}

/// The codec lists of one offer, which are equal in nearly all of its sections: a client with two hundred
/// sections keeps a handful of lists, not two hundred.
#[derive(Default)]
pub(super) struct SharedCodecs {
    sets: Vec<Arc<CodecSet>>,
}

/// Lists compared before a new one is kept without comparing: bounds the work for an offer of differing ones.
const MAX_SHARED: usize = 8;

impl SharedCodecs {
    fn intern(&mut self, set: CodecSet) -> Arc<CodecSet> {
        if let Some(known) = self.sets.iter().find(|known| ***known == set) {
            return Arc::clone(known);
        }
        let set = Arc::new(set);
        if self.sets.len() < MAX_SHARED {
            self.sets.push(Arc::clone(&set));
        }
        set
    }
}

/// The offered extensions that are taken, with their ids and the direction to answer. A direction must be
/// mirrored: Firefox offers `/sendonly` for layer names, and a verbatim copy would switch them off.
fn answer_extensions(media: &MediaDescription<'_>, taken: &[ExtensionKind]) -> Vec<AnswerExtension> {
    let mut extensions: Vec<AnswerExtension> = Vec::new();
    for offered in &media.extensions {
        let Some(kind) = ExtensionKind::from_uri(offered.uri).filter(|kind| taken.contains(kind)) else {
            continue;
        };
        // Ids from 15 on need two-byte headers, which the offerer reads only if it allows them.
        let Some(id) = u8::try_from(offered.id)
            .ok()
            .filter(|id| *id != 0 && (u16::from(*id) <= MAX_ONE_BYTE_ID || media.extmap_allow_mixed))
        else {
            continue;
        };
        let repeated = extensions.iter().any(|known| known.kind == kind || known.id == id);
        if repeated || offered.direction == Some(Direction::Inactive) {
            continue;
        }
        extensions.push(AnswerExtension { kind, id, direction: offered.direction.map(Direction::reversed) });
    }
    extensions
}

/// The layers the client offers to send, in its order.
fn layers(media: &MediaDescription<'_>, codec_set: &CodecSet) -> Vec<Layer> {
    let offered: Vec<&str> = if media.simulcast_send.is_empty() {
        media.rids.iter().filter(|rid| rid.sends).map(|rid| rid.id).collect()
    } else {
        media.simulcast_send.clone()
    };
    let mut layers: Vec<Layer> = Vec::new();
    for id in offered {
        let Some(rid) = media.rids.iter().find(|rid| rid.sends && rid.id == id) else {
            continue;
        };
        if layers.len() == MAX_LAYERS || layers.iter().any(|layer| layer.rid == id) {
            continue;
        }
        if let Some(restrictions) = restrictions(rid.restrictions, codec_set) {
            layers.push(Layer { rid: id.to_owned(), restrictions });
        }
    }
    layers
}

/// The restrictions of a layer as they are answered: all of them, payload types reduced to the taken ones
/// (RFC 8851 §6.2.1). `None` if no payload type remains.
fn restrictions(offered: &str, codec_set: &CodecSet) -> Option<String> {
    let mut answered = String::new();
    for restriction in offered.split(';').filter(|restriction| !restriction.is_empty()) {
        let separator = if answered.is_empty() { "" } else { ";" };
        match restriction.trim().strip_prefix("pt=") {
            None => answered.extend([separator, restriction.trim()]),
            Some(list) => {
                let taken: Vec<&str> = list
                    .split(',')
                    .filter(|number| {
                        number.parse().is_ok_and(|number| codec_set.payload_types.contains(&number))
                    })
                    .collect();
                if taken.is_empty() {
                    return None;
                }
                answered.extend([separator, "pt=", &taken.join(",")]);
            }
        }
    }
    Some(answered)
}

/// Declared sources: media, pairs with retransmissions, simulcast by sources.
fn sources(media: &MediaDescription<'_>) -> (Vec<u32>, Vec<(u32, u32)>, Vec<u32>) {
    let mut auxiliary = Vec::new();
    let mut rtx_pairs = Vec::new();
    let mut sim_group = Vec::new();
    for (semantics, members) in &media.ssrc_groups {
        match (*semantics, members.as_slice()) {
            ("FID", [primary, rtx]) if rtx_pairs.len() < MAX_PAIRS => {
                rtx_pairs.push((*primary, *rtx));
                auxiliary.push(*rtx);
            }
            ("FEC-FR" | "FEC", [_, repair @ ..]) => auxiliary.extend_from_slice(repair),
            ("SIM", layers) => sim_group = layers.iter().copied().take(MAX_LAYERS).collect(),
            _ => {}
        }
    }
    let ssrcs =
        media.ssrcs.iter().copied().filter(|ssrc| !auxiliary.contains(ssrc)).take(MAX_PAIRS).collect();
    (ssrcs, rtx_pairs, sim_group)
}
