//! A published track in one codec: its layers as they arrive (one SSRC each), and who subscribes to them.

use std::time::{Duration, Instant};

use protocol::ids::TrackSid;
use protocol::livekit;
use rtp::RtpError;
use rtp::codec::{CodecKind, PayloadDescriptor, dependency_descriptor as dd, h264, is_keyframe_start};
use rtp::extension::{ExtensionKind, ExtensionMap};
use rtp::nack::NackGenerator;
use rtp::packet::RtpPacket;
use rtp::sequence::SequenceUnwrapper;
use rtp::stats::ReceptionStats;

use super::availability::Availability;
use super::backup::Backup;
use super::demand::{Demand, Level};
use super::down_track::shared_codec;
use super::extensions;
use super::frame::{Frame, FrameReader};
use super::keyframe::KeyframeRequester;
use super::loudness::Loudness;
use super::packet_store::{NotStored, PacketHeader, PacketStore, Retention};
use super::red_repair::Recovered;
use super::sender_report::ReceivedReport;
use super::wish::{Wish, layer_bitrates, layer_sizes};
use crate::bandwidth::target::{LayerRates, LayerTarget, MAX_SPATIAL};
use crate::peer::sdp::{NegotiatedCodec, ReceiveSection};
use crate::token_bucket::TokenBucket;

/// Layers of one track: simulcast has at most three (rid q, h, f).
pub const MAX_LAYERS: usize = 3;

/// A layer that was silent for this long will not bring a key frame if it is asked for one.
const LAYER_ASLEEP: Duration = Duration::from_secs(2);

/// Bytes of sound taken of one track at once, and how soon one more: 160 kB a second, or 1.28 Mbit/s. Opus ends at 510 kbit/s
/// (RFC 6716 §2.1.1), and redundancy sends all of it twice; headers take the rest. Sound is never paced nor left out, so
/// what is more than any microphone sends is taken from everybody's pictures. A line that was interrupted delivers two
/// seconds in one go.
const SOUND_BURST: u32 = 320_000;
const SOUND_INTERVAL: Duration = Duration::from_nanos(6_250);

/// A packet of sound counts as so many bytes at least, so that 250 a second are taken: encoders make one in 10 to 60 ms,
/// WebRTC's never more than 100 a second, others up to 200.
const LEAST_SOUND: usize = 640;
/// Generations of a backup's layers count from here, so that no packet of theirs is taken for one of the first codec's.
const BACKUP_GENERATION: u32 = 1 << 31;

/// What the publisher negotiated for one payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpCodec {
    /// Which codec.
    pub kind: CodecKind,
    /// Its parameters as offered; profiles are told apart by them.
    pub fmtp: String,
    /// Whether lost packets may be asked for.
    pub nack: bool,
    /// Whether key frames may be asked for by PLI.
    pub pli: bool,
    /// Whether key frames may be asked for by FIR.
    pub fir: bool,
}

/// Where a DownTrack of this track is: a key of the room's participants, and one of the participant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Key of the subscribing participant.
    pub participant: usize,
    /// Key of its DownTrack.
    pub down_track: usize,
}

/// See the module's description.
#[derive(Debug)]
pub struct UpTrack {
    /// The track's id.
    pub sid: TrackSid,
    /// Key of the publishing participant.
    pub publisher: usize,
    /// What LiveKit's clients are told about it.
    pub info: livekit::TrackInfo,
    /// The publisher's media section; empty for a backup that is not sent.
    pub mid: String,
    /// The track id under which the publisher announced and offered it.
    pub cid: String,
    /// What the publisher may send, by payload type.
    pub codecs: Vec<(u8, UpCodec)>,
    /// Loudness of a sound track.
    pub loudness: Loudness,
    /// Layers, lowest quality first.
    pub layers: Vec<UpLayer>,
    /// Who gets it.
    pub subscribers: Vec<Subscriber>,
    /// Whether a subscriber was ever there (`TrackSubscribed` is sent once).
    pub was_subscribed: bool,
    /// Muted by the server API: nothing of it is forwarded, whether or not its publisher obeys.
    pub is_silenced: bool,
    /// What its publisher is asked to send.
    pub demand: Demand,
    /// How much sound may come.
    sound: TokenBucket,
    /// The codec that its publisher means to send, of those that it negotiated; `None` if it did not say.
    pub announced: Option<CodecKind>,
    /// The same track in another codec, for those who cannot take this one.
    pub backup: Option<Backup>,
    /// Key of the track that this is the backup of.
    pub primary: Option<usize>,
    /// Generation of the next layers.
    next_generation: u32,
    /// Which layers arrive.
    availability: Availability,
}

impl UpTrack {
    /// A track with as many layers as the publisher negotiated rids, or named in a SIM group (RFC 5888 in
    /// libwebrtc's older form, lowest first); one without simulcast.
    pub fn new(
        sid: TrackSid,
        publisher: usize,
        info: livekit::TrackInfo,
        cid: String,
        section: &ReceiveSection,
    ) -> Self {
        let mut track = Self::silent(sid, publisher, info, None);
        track.begin(cid, section);
        track
    }

    /// The backup of the track with the key `primary` in this codec, before its publisher sends it.
    pub fn backup_of(primary: usize, track: &Self, codec: CodecKind) -> Self {
        let mut backup = Self::silent(track.sid.clone(), track.publisher, track.info.clone(), Some(codec));
        backup.primary = Some(primary);
        backup.next_generation = BACKUP_GENERATION;
        backup
    }

    fn silent(
        sid: TrackSid,
        publisher: usize,
        info: livekit::TrackInfo,
        announced: Option<CodecKind>,
    ) -> Self {
        let is_screen = info.source() == livekit::TrackSource::ScreenShare;
        Self {
            sid,
            publisher,
            info,
            mid: String::new(),
            cid: String::new(),
            codecs: Vec::new(),
            loudness: Loudness::default(),
            layers: Vec::new(),
            subscribers: Vec::new(),
            was_subscribed: false,
            is_silenced: false,
            demand: Demand::new(String::new()),
            sound: TokenBucket::new(SOUND_BURST, SOUND_INTERVAL),
            announced,
            backup: None,
            primary: None,
            next_generation: 0,
            availability: Availability::new(is_screen),
        }
    }

    /// Its publisher sends it on this section from now on.
    pub fn begin(&mut self, cid: String, section: &ReceiveSection) {
        (self.mid, self.cid) = (section.mid.clone(), cid);
        let retention = if self.is_screen() { Retention::SCREEN } else { Retention::PICTURES };
        let layer = |rid| UpLayer { generation: self.next_generation, ..UpLayer::new(rid, retention) };
        self.layers = section.rids.iter().take(MAX_LAYERS).map(|rid| layer(Some(rid.clone()))).collect();
        self.layers.sort_by_key(|layer| quality_of_rid(layer.rid.as_deref()));
        if self.layers.is_empty() {
            self.layers.resize_with(section.sim_group.len().clamp(1, MAX_LAYERS), || layer(None));
        }
        self.renegotiate(section);
    }

    /// Its publisher sends it no longer; what comes the next time is something else.
    pub fn end(&mut self) {
        let used = self.layers.iter().map(|layer| layer.generation).max();
        self.next_generation = used.map_or(self.next_generation, |used| used.wrapping_add(1));
        (self.mid, self.cid) = Default::default();
        self.layers.clear();
        self.codecs.clear();
        self.availability = Availability::new(self.is_screen());
    }

    /// Whether it is a backup that its publisher does not send now.
    pub fn is_silent(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether it brings a key frame when asked though it sends nothing: a screen on which nothing moves does.
    pub fn may_stand_still(&self) -> bool {
        self.is_screen() && !self.info.muted
    }

    /// Whether packets of it come.
    pub fn arrives(&self, now: Instant) -> bool {
        self.layers.iter().any(|layer| !layer.is_asleep(now))
    }

    /// Whether somebody who takes these codecs can take what its publisher means to send. While it is not sent its
    /// parameters are not known: then the kind of codec counts.
    pub fn suits(&self, subscriber: &[NegotiatedCodec]) -> bool {
        if self.is_silent() {
            return subscriber.iter().any(|codec| Some(codec.kind) == self.announced);
        }
        let is_meant = |codec: &UpCodec| self.announced.is_none_or(|announced| announced == codec.kind);
        self.codecs.iter().any(|(_, codec)| is_meant(codec) && shared_codec(codec, subscriber).is_some())
    }

    /// Takes over the codecs of the publisher's newest offer; true if they changed.
    pub fn renegotiate(&mut self, section: &ReceiveSection) -> bool {
        let codec = |codec: &NegotiatedCodec| UpCodec {
            kind: codec.kind,
            fmtp: codec.fmtp.clone(),
            nack: codec.nack,
            pli: codec.pli,
            fir: codec.fir,
        };
        let codecs = section.codecs.iter().map(|offered| (offered.payload_type, codec(offered))).collect();
        let changed = self.codecs != codecs;
        self.codecs = codecs;
        changed
    }

    /// Whether it is sound.
    pub fn is_audio(&self) -> bool {
        self.info.r#type() == livekit::TrackType::Audio
    }

    /// Whether it shows a screen.
    pub fn is_screen(&self) -> bool {
        self.info.source() == livekit::TrackSource::ScreenShare
    }

    /// Whether a packet with this payload is taken: of sound only so much is.
    pub fn admits(&mut self, now: Instant, payload: usize) -> bool {
        !self.is_audio() || self.sound.take(now, payload.max(LEAST_SOUND) as u32)
    }

    /// Whether it was announced as two channels of sound.
    #[expect(deprecated, reason = "older clients say it in a field of its own")]
    pub fn is_stereo(&self) -> bool {
        self.info.stereo || self.info.audio_features().any(|f| f == livekit::AudioTrackFeature::TfStereo)
    }

    /// Whether its layers are streams of their own rather than parts of one.
    pub fn is_simulcast(&self) -> bool {
        self.layers.len() > 1
    }

    /// How many spatial layers it is known to have.
    fn spatial_layers(&self) -> usize {
        let announced = self.info.codecs.first().map_or(0, |codec| codec.layers.len());
        if self.is_simulcast() { self.layers.len() } else { announced }
    }

    /// What a wish means for this track; `None` for a pause. Sound is one layer.
    pub fn wanted(&self, wish: &Wish) -> Option<LayerTarget> {
        if self.is_audio() {
            return (!wish.disabled).then_some(LayerTarget::BEST);
        }
        let (sizes, count) = layer_sizes(&self.info, self.spatial_layers());
        wish.target(sizes.get(..count).unwrap_or_default())
    }

    /// What the publisher must send for this spatial layer. The best is all that it can send; so is anything of a
    /// stream that is one encoding, or whose encodings have no names.
    pub fn level(&self, spatial: u8) -> Level {
        let layer = usize::from(spatial);
        let rid = self.layers.get(layer).and_then(|layer| layer.rid.as_deref());
        if !self.is_simulcast() || layer + 1 >= self.layers.len() || rid.is_none() {
            return Level::EVERYTHING;
        }
        Level::up_to(quality_of_rid(rid))
    }

    /// The best that arrives; `None` if nothing ever came.
    pub fn available(&self, now: Instant) -> Option<LayerTarget> {
        self.availability.best(now)
    }

    /// What arrives and is nearest to what is wanted. While nothing has come yet, that is the lowest layer: it
    /// comes first.
    pub fn nearest(&self, now: Instant, wanted: LayerTarget) -> LayerTarget {
        self.availability.nearest(now, wanted).unwrap_or(LayerTarget { spatial: 0, ..wanted })
    }

    /// Mean rates of what arrives and is forwarded; of what has just begun, what its publisher announced.
    pub fn rates(&mut self, now: Instant) -> LayerRates {
        if self.is_silenced {
            return LayerRates::default();
        }
        let is_simulcast = self.is_simulcast();
        let announced = layer_bitrates(&self.info, self.spatial_layers());
        self.availability.rates(now, is_simulcast, &announced)
    }

    /// What must be kept free for it beyond its mean rates, in bit/s: a screen is still for seconds, and then another one.
    pub fn reserve(&mut self, now: Instant) -> u64 {
        if !self.is_screen() || self.is_silenced {
            return 0;
        }
        let mean = self.rates(now).iter().flatten().copied().max().unwrap_or(0);
        self.availability.burst().saturating_sub(mean)
    }

    /// A packet of the medium arrived in one of its streams. True if its spatial layer did not arrive until now.
    pub fn note_arrival(&mut self, now: Instant, layer: usize, payload: usize, taken: &Taken) -> bool {
        let (spatial, temporal) = taken.frame.map_or((0, 0), |frame| (frame.spatial, frame.temporal));
        let spatial = if self.is_simulcast() { layer as u8 } else { spatial.min(MAX_SPATIAL as u8 - 1) };
        let target = LayerTarget { spatial, temporal };
        self.availability.note(now, target, payload, taken.begins_picture)
    }

    /// The stream that carries a spatial layer.
    pub fn stream_of(&self, spatial: u8) -> usize {
        if self.is_simulcast() { usize::from(spatial) } else { 0 }
    }
}

/// Orders rids from low to high quality: LiveKit's clients call their layers q, h, f.
fn quality_of_rid(rid: Option<&str>) -> u8 {
    match rid {
        Some("q") => 0,
        Some("h") => 1,
        _ => 2,
    }
}

/// One received encoding: one SSRC, one store, one reception record.
#[derive(Debug)]
pub struct UpLayer {
    /// Its restriction identifier (RFC 8851), with simulcast.
    pub rid: Option<String>,
    /// Its SSRC, once known.
    pub ssrc: Option<u32>,
    /// Packets as they are forwarded and sent again.
    pub store: PacketStore,
    /// For receiver reports; from the first packet on.
    pub stats: Option<ReceptionStats>,
    /// What is missing.
    pub nack: NackGenerator,
    /// Key frames wanted.
    pub keyframes: KeyframeRequester,
    /// The newest sender report.
    pub report: Option<ReceivedReport>,
    /// Counts changes of SSRC: sequence numbers start anew with each.
    pub generation: u32,
    /// When its newest packet arrived.
    pub last_packet: Option<Instant>,
    /// Timestamp of its newest packet.
    last_timestamp: Option<u32>,
    /// The codec of the newest packet.
    pub codec: Option<CodecKind>,
    pub(super) sequence: SequenceUnwrapper,
    /// The newest dependency structure, and the packet that brought it.
    structure: Option<(u64, Box<dd::Structure>)>,
    frames: FrameReader,
}

/// A packet was taken into a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its extended sequence number, by which it is found in the store.
    pub sequence: u64,
    /// Whether so much is missing that only a key frame helps.
    pub beyond_repair: bool,
    /// Whether a decoder can start with it.
    pub keyframe_start: bool,
    /// Whether it is the first packet of its picture to come.
    pub begins_picture: bool,
    /// The frame it belongs to, where it says so.
    pub frame: Option<Frame>,
    /// Lost packets that were made of what it repeats.
    pub recovered: Recovered,
}

impl UpLayer {
    /// A layer from which nothing has come yet, and of which so much is kept.
    pub fn new(rid: Option<String>, retention: Retention) -> Self {
        Self {
            rid,
            ssrc: None,
            store: PacketStore::new(retention),
            stats: None,
            nack: NackGenerator::new(),
            keyframes: KeyframeRequester::default(),
            report: None,
            generation: 0,
            last_packet: None,
            last_timestamp: None,
            codec: None,
            sequence: SequenceUnwrapper::new(),
            structure: None,
            frames: FrameReader::default(),
        }
    }

    /// Whether it was silent for so long that nobody waits for what is stored.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        let age = LAYER_ASLEEP.max(self.store.retention().age);
        self.last_packet.is_none_or(|last| now.saturating_duration_since(last) >= age)
    }

    /// Whether it was silent for so long that asking it for a key frame is useless.
    pub fn is_asleep(&self, now: Instant) -> bool {
        self.last_packet.is_none_or(|last| now.saturating_duration_since(last) >= LAYER_ASLEEP)
    }

    /// Makes `ssrc` the layer's source; what came from another one is forgotten.
    pub fn bind(&mut self, ssrc: u32) {
        if self.ssrc == Some(ssrc) {
            return;
        }
        let generation = if self.ssrc.is_some() { self.generation + 1 } else { self.generation };
        // Whoever waits for a key frame goes on waiting: the first packets of the source may be lost. And a new
        // source can only be taken up at one.
        let mut keyframes = std::mem::take(&mut self.keyframes);
        if self.ssrc.is_some() {
            keyframes.renew();
        }
        *self = Self {
            ssrc: Some(ssrc),
            generation,
            keyframes,
            ..Self::new(self.rid.take(), self.store.retention())
        };
    }

    /// Takes a packet of the medium into the store.
    ///
    /// `sequence_number` and `payload` are given apart from `packet`, because a retransmission (RFC 4588) carries
    /// the original's inside its own; `recovered` says that it was one.
    pub fn receive(
        &mut self,
        now: Instant,
        packet: &RtpPacket<'_>,
        original: Original<'_>,
        codec: &UpCodec,
        map: &ExtensionMap,
    ) -> Result<Taken, NotStored> {
        self.codec = Some(codec.kind);
        let sequence = self.sequence.extend(original.sequence_number);
        let (dependencies, is_lost) = self.dependencies(packet, map, sequence);
        let descriptor = PayloadDescriptor::parse(codec.kind, original.payload);
        let descriptor = descriptor.as_ref();
        let keyframe_start = !original.payload.is_empty()
            && is_keyframe_start(codec.kind, original.payload, descriptor, dependencies.as_ref())
            && (codec.kind != CodecKind::H264
                || self.begins_picture(sequence, packet.timestamp(), original.payload));
        let picture = match descriptor {
            Some(PayloadDescriptor::Vp8(vp8)) => Some((vp8.picture_id.map(|id| id.value), vp8.tl0_pic_idx)),
            _ => None,
        };
        let header = PacketHeader {
            sequence,
            timestamp: packet.timestamp(),
            payload_type: original.payload_type,
            marker: packet.marker(),
            keyframe_start,
            frame: self.frames.read(original.payload, descriptor, dependencies.as_ref(), packet.marker()),
            picture,
            arrival: now,
        };
        let mut scratch = [0; super::packet_store::MAX_EXTENSIONS];
        let used = extensions::collect(packet, map, &mut scratch);
        self.store.insert(header, scratch.get(..used).unwrap_or_default(), original.payload)?;
        self.last_packet = Some(now);
        // Not from a duplicate: what publishers send again to fill a probe may bring an old one.
        if let Some(structure) = dependencies.and_then(|descriptor| descriptor.structure)
            && self.structure.as_ref().is_none_or(|(newest, _)| *newest <= sequence)
        {
            self.structure = Some((sequence, structure));
        }
        if let Some(ssrc) = self.ssrc {
            let stats = self.stats.get_or_insert_with(|| ReceptionStats::new(ssrc, codec.kind.clock_rate()));
            if original.recovered {
                stats.repaired();
            } else {
                stats.received(now, sequence, packet.timestamp());
            }
        }
        if codec.nack {
            self.nack.received(now, sequence);
        }
        if keyframe_start {
            self.keyframes.received();
            self.nack.keyframe(sequence);
        }
        let begins_picture = self.last_timestamp.replace(header.timestamp) != Some(header.timestamp);
        // While packets are missing the structure may be in one of them.
        let beyond_repair = codec.nack && self.nack.too_far_behind() || is_lost && self.nack.missing() == 0;
        let recovered = Recovered::default();
        Ok(Taken { sequence, beyond_repair, keyframe_start, begins_picture, frame: header.frame, recovered })
    }

    /// Whether an H264 packet of a key frame is the picture's first: it brings the parameter sets, or the packet
    /// before it is of another picture. A slice whose parameter sets were lost or overtaken decodes to nothing.
    fn begins_picture(&self, sequence: u64, timestamp: u32, payload: &[u8]) -> bool {
        let before = sequence.checked_sub(1).and_then(|before| self.store.header(before));
        h264::has_parameter_set(payload) || before.is_some_and(|before| before.timestamp != timestamp)
    }

    /// The packet's dependency descriptor, and whether it follows a structure that was lost: then no frame can be placed
    /// before the next key frame.
    fn dependencies(
        &self,
        packet: &RtpPacket<'_>,
        map: &ExtensionMap,
        sequence: u64,
    ) -> (Option<dd::Descriptor>, bool) {
        let id = map.id(ExtensionKind::DependencyDescriptor);
        let Some(bytes) = id.and_then(|id| packet.extension(id)) else { return (None, false) };
        let known = self.structure.as_ref();
        match dd::Descriptor::parse(bytes, known.map(|(_, structure)| &**structure)) {
            Ok(descriptor) => (Some(descriptor), false),
            Err(RtpError::DependencyStructureMissing | RtpError::DependencyTemplateUnknown) => {
                (None, known.is_none_or(|(newest, _)| *newest < sequence))
            }
            Err(_) => (None, false),
        }
    }
}

/// The medium's own numbers in a packet, which a retransmission carries inside.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The original sequence number.
    pub sequence_number: u16,
    /// The medium's payload type.
    pub payload_type: u8,
    /// The medium's payload.
    pub payload: &'a [u8],
    /// Whether it came as a retransmission.
    pub recovered: bool,
}

#[cfg(test)]
mod tests;
