//! What a simulated client publishes: encoders that stamp every packet, with retransmission, key frames on
//! request and sender reports.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use protocol::livekit::{self, TrackSource};
use rtp::extension::ExtensionKind;

use crate::codec::Codec;
use crate::encoder::{self, Encoder, Encoding, Scene};
use crate::scalability::{Place, Structure};
use crate::stamp::{self, Stamp};

/// Names of simulcast layers, lowest first.
pub const RIDS: [&str; 3] = ["q", "h", "f"];
/// When each simulcast layer starts after the first: encoders ramp up.
const RAMP_UP: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(800)];
/// Encoders make no two key frames closer together.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// How long sent packets can be repeated.
const HISTORY: Duration = Duration::from_secs(2);
/// Sender reports go out this often, from clients that mean well.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The codec.
    pub codec: Codec,
    /// Where it comes from.
    pub source: TrackSource,
    /// Three layers.
    pub simulcast: bool,
    /// Whether sources are declared in the offer (without simulcast); otherwise packets name them.
    pub declared: bool,
    /// Layers within each stream.
    pub structure: Structure,
    /// Frames have the sizes of real ones; without it they are small, which is cheaper.
    pub scene: Option<Scene>,
}

impl Recipe {
    /// A microphone.
    pub fn microphone() -> Self {
        Self {
            codec: Codec::Opus,
            source: TrackSource::Microphone,
            simulcast: false,
            declared: true,
            structure: Structure::Plain,
            scene: None,
        }
    }

    /// A camera with one stream.
    pub fn camera(codec: Codec) -> Self {
        Self { codec, source: TrackSource::Camera, ..Self::microphone() }
    }

    /// A VP8 camera with three layers.
    pub fn simulcast() -> Self {
        Self { simulcast: true, declared: false, ..Self::camera(Codec::Vp8) }
    }

    /// A microphone of real size and with silence (DTX).
    pub fn voice() -> Self {
        Self { scene: Some(Scene::Voice), ..Self::microphone() }
    }

    /// A VP8 camera with three layers of real size.
    pub fn webcam() -> Self {
        Self { scene: Some(Scene::Camera), ..Self::simulcast() }
    }

    /// A camera of real size with spatial and temporal layers: one stream, or encodings where the codec has no spatial
    /// layers.
    pub fn scalable(codec: Codec) -> Self {
        let single =
            Self { scene: Some(Scene::Camera), structure: Structure::L3T3Key, ..Self::camera(codec) };
        match codec {
            Codec::Vp9 | Codec::Av1 => single,
            Codec::Vp8 | Codec::H264 | Codec::Opus => Self { structure: Structure::L1T3, ..Self::webcam() },
        }
    }

    /// Slides on a shared screen, of real size.
    pub fn slides(codec: Codec) -> Self {
        Self { scene: Some(Scene::Slides), ..Self::screen(codec) }
    }

    /// A document on a shared screen, of real size.
    pub fn pages(codec: Codec) -> Self {
        Self { scene: Some(Scene::Pages), ..Self::screen(codec) }
    }

    /// What its layers are, lowest first, if it has real sizes.
    pub fn encodings(&self) -> &'static [Encoding] {
        match self.scene {
            Some(_) if self.structure == Structure::L3T3Key => &encoder::SCALABLE,
            Some(scene) => scene.encodings(self.simulcast),
            None => &[],
        }
    }

    /// Whether a viewer can get it in several sizes.
    pub fn has_sizes(&self) -> bool {
        self.simulcast || self.structure == Structure::L3T3Key
    }

    /// A shared screen.
    pub fn screen(codec: Codec) -> Self {
        Self { source: TrackSource::ScreenShare, declared: false, ..Self::camera(codec) }
    }
}

/// An RTP packet that wants to be sealed.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// Source.
    pub ssrc: u32,
    /// Extended sequence number of the source.
    pub sequence: u64,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Codec, and whether this is a retransmission.
    pub codec: Codec,
    /// Sent with the payload type of retransmissions.
    pub is_rtx: bool,
    /// Sent with redundancy.
    pub is_red: bool,
    /// Header extensions that say something of the medium or name the layer.
    pub extensions: Vec<(ExtensionKind, Vec<u8>)>,
    /// The payload; bytes of padding behind it.
    pub payload: Vec<u8>,
    /// Bytes of padding.
    pub padding: u8,
}

#[derive(Debug)]
struct Sent {
    at: Duration,
    packet: MediaPacket,
}

/// One encoding of a publication.
#[derive(Debug)]
pub struct Layer {
    /// Name, with simulcast.
    pub rid: Option<&'static str>,
    /// Source.
    pub ssrc: u32,
    /// Source of retransmissions; none for sound.
    pub rtx_ssrc: Option<u32>,
    /// Whether the encoder runs.
    pub running: bool,
    /// Whether the server wants it; it does until it says otherwise.
    pub wanted: bool,
    /// Whether a receiver report named the source, so that packets need not.
    pub confirmed: bool,
    /// The same of the source of retransmissions, on which browsers wait for a report of its own.
    pub rtx_confirmed: bool,
    /// When key frames were asked for.
    pub requests: Vec<Duration>,
    /// Make frames of real sizes, one for each spatial layer in the stream; none without.
    pub encoders: Vec<Encoder>,
    generation: u8,
    starts: Option<Duration>,
    sequence: u64,
    rtx_sequence: u64,
    timestamp_base: u32,
    picture: u16,
    tl0: u8,
    /// Place in the pattern of temporal layers.
    phase: u8,
    frame: u32,
    wants_key: bool,
    last_key: Option<Duration>,
    history: VecDeque<Sent>,
    packets: u32,
    octets: u32,
    next_report: Option<Duration>,
}

/// A published track.
#[derive(Debug)]
pub struct Publication {
    /// Unique in the world.
    pub number: u32,
    /// Id under which it is announced and offered.
    pub cid: String,
    /// How it is made.
    pub recipe: Recipe,
    /// The server's id, once announced.
    pub sid: Option<String>,
    /// Media id of its section, once offered.
    pub mid: Option<String>,
    /// Whether an answer took it: packets flow.
    pub flows: bool,
    /// Whether the answer asked for redundant sound.
    pub sends_red: bool,
    /// Muted: nothing is captured.
    pub muted: bool,
    /// Sound only: loud or silent.
    pub speaking: bool,
    /// Encodings, lowest first.
    pub layers: Vec<Layer>,
    /// A frame comes this often, instead of at the pace of its recipe, and its packets are full.
    pub flood: Option<Duration>,
    /// A packet of nothing but padding follows each frame, as from senders that fill probes without RTX.
    pub pads: bool,
    /// Its sources report this often.
    pub report_interval: Duration,
    next_capture: Duration,
    rng: Rng,
}

impl Publication {
    /// A publication that does not flow yet.
    pub fn new(number: u32, recipe: Recipe, mut rng: Rng) -> Self {
        let count = if recipe.simulcast { RIDS.len() } else { 1 };
        let mut layers: Vec<Layer> = (0..count)
            .map(|index| Layer::new(recipe.simulcast.then(|| RIDS[index]), recipe.codec, 0, &mut rng))
            .collect();
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.encoders = encoders(&recipe, index);
        }
        Self {
            number,
            cid: format!("cid-{number}"),
            recipe,
            sid: None,
            mid: None,
            flows: false,
            sends_red: false,
            muted: false,
            speaking: false,
            layers,
            next_capture: Duration::ZERO,
            flood: None,
            pads: false,
            report_interval: REPORT_INTERVAL,
            rng,
        }
    }

    /// The answer took it: encoders start.
    pub fn start(&mut self, now: Duration) {
        if self.flows {
            return;
        }
        self.flows = true;
        self.next_capture = now + Duration::from_micros(self.rng.u64(0..20_000));
        for (layer, after) in self.layers.iter_mut().zip(RAMP_UP) {
            layer.starts = Some(now + after);
        }
    }

    /// Stops or restarts one encoder, as bandwidth estimation does.
    pub fn run_layer(&mut self, index: usize, runs: bool) {
        if let Some(layer) = self.layers.get_mut(index)
            && layer.starts.is_none()
        {
            layer.running = runs;
            layer.wants_key |= runs;
        }
    }

    /// Encodes what somebody needs and nothing else, as livekit-client does with `dynacast`: an encoding without a
    /// name counts as the lowest.
    pub fn obey(&mut self, update: &livekit::SubscribedQualityUpdate) {
        let Some(codec) = update.subscribed_codecs.first() else { return };
        for layer in &mut self.layers {
            let quality = match layer.rid {
                Some("f") => livekit::VideoQuality::High,
                Some("h") => livekit::VideoQuality::Medium,
                _ => livekit::VideoQuality::Low,
            };
            let said = codec.qualities.iter().find(|said| said.quality() == quality);
            let Some(enabled) = said.map(|said| said.enabled) else { continue };
            layer.wants_key |= enabled && !layer.wanted;
            layer.wanted = enabled;
        }
    }

    /// A layer gets new sources, as after a sender was exchanged.
    pub fn restart_layer(&mut self, index: usize) {
        let codec = self.recipe.codec;
        if let Some(layer) = self.layers.get_mut(index) {
            let generation = layer.generation.wrapping_add(1);
            let (running, wanted, starts, encoders) =
                (layer.running, layer.wanted, layer.starts, std::mem::take(&mut layer.encoders));
            *layer = Layer {
                running,
                wanted,
                starts,
                encoders,
                ..Layer::new(layer.rid, codec, generation, &mut self.rng)
            };
        }
    }

    /// Everything captured and encoded up to now.
    pub fn capture(&mut self, now: Duration) -> Vec<MediaPacket> {
        let mut packets = Vec::new();
        if !self.flows {
            return packets;
        }
        let cheap = Duration::from_micros(if self.recipe.codec.is_video() { 66_667 } else { 20_000 });
        let interval = self.flood.unwrap_or_else(|| self.recipe.scene.map_or(cheap, Scene::interval));
        while self.next_capture <= now {
            let captured = self.next_capture;
            self.next_capture += interval;
            if self.muted {
                continue;
            }
            for index in 0..self.layers.len() {
                self.encode(index, captured, now, &mut packets);
            }
        }
        packets
    }

    fn encode(&mut self, index: usize, captured: Duration, now: Duration, packets: &mut Vec<MediaPacket>) {
        let (codec, number) = (self.recipe.codec, self.number);
        let (mid, sends_red) = (self.mid.clone(), self.sends_red);
        let (is_flood, pads) = (self.flood.is_some(), self.pads);
        let level = if self.speaking { 18 } else { 100 } + self.rng.u8(0..8);
        let Some(layer) = self.layers.get_mut(index) else { return };
        if layer.starts.is_some_and(|starts| starts <= captured) {
            layer.starts = None;
            layer.running = true;
            packets.extend(layer.probe(codec, mid.as_deref()));
        }
        if !layer.running || !layer.wanted {
            return;
        }
        let key = codec.is_video()
            && (layer.frame == 0
                || (layer.wants_key
                    && layer.last_key.is_none_or(|last| captured.saturating_sub(last) >= KEYFRAME_INTERVAL)));
        let structure = self.recipe.structure;
        let phase = structure.next_phase(layer.phase, key);
        let mut sizes = Vec::new();
        for encoder in &mut layer.encoders {
            let Some(bytes) = encoder.frame(captured, key, self.speaking, &mut self.rng) else { return };
            let weight = if key { 1.0 } else { structure.weight(phase) };
            sizes.push(encoder::packets((bytes as f64 * weight) as usize));
        }
        if key {
            layer.last_key = Some(captured);
            layer.wants_key = false;
        }
        let count = match (codec, key) {
            (Codec::Opus, _) => 1,
            (Codec::Vp9, false) => 3,
            (Codec::Vp9, true) => 6,
            (_, false) => self.rng.u16(1..=1 + index as u16),
            (_, true) => self.rng.u16(2..=3 + index as u16),
        };
        let least = if codec == Codec::Vp9 && structure == Structure::Plain { 3 } else { 1 };
        let parts: Vec<(Place, Option<usize>)> = if sizes.is_empty() {
            let counts = vec![count; structure.spatial_layers().into()];
            Place::all(structure, phase, &counts).into_iter().map(|place| (place, None)).collect()
        } else {
            let counts: Vec<u16> = sizes.iter().map(|(packets, _)| (*packets).max(least)).collect();
            let places = Place::all(structure, phase, &counts).into_iter();
            let length = |place: Place| sizes.get(usize::from(place.spatial)).map(|(_, length)| *length);
            places.map(|place| (place, length(place))).collect()
        };
        let count = parts.len() as u16;
        let timestamp = layer.timestamp_at(captured, codec);
        for (part, (place, length)) in (0..).zip(parts) {
            let stamp = Stamp {
                track: number,
                layer: index as u8,
                generation: layer.generation,
                key,
                level,
                frame: layer.frame,
                index: part,
                count,
                sequence: layer.sequence as u32,
                timestamp,
                picture: layer.picture,
                // It counts pictures of the lowest temporal layer; others name the one they belong to.
                tl0: layer.tl0.wrapping_sub(u8::from(phase > 0)),
                filler: match length {
                    _ if is_flood => 1000,
                    Some(length) => length.saturating_sub(stamp::LEN + 8) as u16,
                    None => self.rng.u16(10..120),
                },
                captured,
                place,
            };
            let mut packet = layer.packet(codec, &stamp, mid.as_deref());
            packet.is_red = sends_red;
            layer.packets += 1;
            layer.octets += packet.payload.len() as u32;
            layer.history.push_back(Sent { at: now, packet: packet.clone() });
            packets.push(packet);
        }
        if pads {
            let padding = MediaPacket {
                ssrc: layer.ssrc,
                sequence: layer.sequence,
                timestamp,
                marker: false,
                codec,
                is_rtx: false,
                is_red: false,
                extensions: layer.names(mid.as_deref(), ExtensionKind::Rid),
                payload: Vec::new(),
                padding: 100,
            };
            layer.sequence += 1;
            packets.push(padding);
        }
        layer.frame += 1;
        layer.picture = (layer.picture + 1) & 0x7fff;
        layer.tl0 = layer.tl0.wrapping_add(u8::from(phase == 0));
        layer.phase = phase;
        while layer.history.front().is_some_and(|sent| now - sent.at > HISTORY) {
            layer.history.pop_front();
        }
    }

    /// Retransmissions of what the server asks for.
    pub fn retransmit(&mut self, ssrc: u32, lost: &[u16]) -> Vec<MediaPacket> {
        let mid = self.mid.clone();
        let Some(layer) = self.layers.iter_mut().find(|layer| layer.ssrc == ssrc) else { return Vec::new() };
        lost.iter().filter_map(|sequence| layer.repeat(*sequence, mid.as_deref())).collect()
    }

    /// The server asks for a key frame of this source; false if it is not one of this publication.
    pub fn request_keyframe(&mut self, now: Duration, ssrc: u32) -> bool {
        match self.layers.iter_mut().find(|layer| layer.ssrc == ssrc) {
            Some(layer) => {
                layer.wants_key = true;
                layer.requests.push(now);
                true
            }
            None => false,
        }
    }

    /// Sender reports that are due: source, timestamp of now, packets and octets.
    pub fn reports(&mut self, now: Duration) -> Vec<(u32, u32, u32, u32)> {
        let codec = self.recipe.codec;
        let mut due = Vec::new();
        for layer in &mut self.layers {
            if layer.packets == 0 || !layer.running || !layer.wanted {
                continue;
            }
            let next = *layer.next_report.get_or_insert(now + Duration::from_millis(self.rng.u64(50..600)));
            if next <= now {
                layer.next_report = Some(now + self.report_interval);
                due.push((layer.ssrc, layer.timestamp_at(now, codec), layer.packets, layer.octets));
            }
        }
        due
    }
}

/// The encoders of one stream: of a scalable one each makes what its spatial layer costs more than those below.
fn encoders(recipe: &Recipe, stream: usize) -> Vec<Encoder> {
    let (Some(scene), encodings) = (recipe.scene, recipe.encodings()) else { return Vec::new() };
    if recipe.structure != Structure::L3T3Key {
        return encodings.get(stream).map(|encoding| Encoder::new(scene, encoding)).into_iter().collect();
    }
    let below = std::iter::once(0).chain(encodings.iter().map(|encoding| encoding.bitrate));
    let own =
        |(encoding, below): (&Encoding, u64)| Encoding { bitrate: encoding.bitrate - below, ..*encoding };
    encodings.iter().zip(below).map(|pair| Encoder::new(scene, &own(pair))).collect()
}

impl Layer {
    fn new(rid: Option<&'static str>, codec: Codec, generation: u8, rng: &mut Rng) -> Self {
        Self {
            rid,
            ssrc: rng.u32(1..),
            rtx_ssrc: codec.is_video().then(|| rng.u32(1..)),
            running: false,
            wanted: true,
            confirmed: false,
            rtx_confirmed: false,
            requests: Vec::new(),
            encoders: Vec::new(),
            generation,
            starts: None,
            // Browsers begin in the lower half; beginning near its end makes numbers wrap in most runs.
            sequence: u64::from(rng.u16(0x7f00..0x8000)) + if rng.bool() { 0 } else { 0x7000 },
            rtx_sequence: u64::from(rng.u16(..0x8000)),
            timestamp_base: rng.u32(..),
            picture: rng.u16(0x7f80..0x8000),
            tl0: rng.u8(..),
            phase: 0,
            frame: 0,
            wants_key: false,
            last_key: None,
            history: VecDeque::new(),
            packets: 0,
            octets: 0,
            next_report: None,
        }
    }

    fn timestamp_at(&self, at: Duration, codec: Codec) -> u32 {
        let ticks = at.as_micros() * u128::from(codec.clock_rate()) / 1_000_000;
        self.timestamp_base.wrapping_add(ticks as u32)
    }

    fn packet(&mut self, codec: Codec, stamp: &Stamp, mid: Option<&str>) -> MediaPacket {
        let mut extensions = self.names(mid, ExtensionKind::Rid);
        if codec == Codec::Opus {
            extensions.push((ExtensionKind::AudioLevel, vec![stamp.level]));
        }
        if let Some(descriptor) = codec.dependency_descriptor(stamp) {
            extensions.push((ExtensionKind::DependencyDescriptor, descriptor));
        }
        let sequence = self.sequence;
        self.sequence += 1;
        MediaPacket {
            ssrc: self.ssrc,
            sequence,
            timestamp: stamp.timestamp,
            marker: codec.is_video() && stamp.index + 1 == stamp.count,
            codec,
            is_rtx: false,
            is_red: false,
            extensions,
            payload: stamp.payload(&codec.descriptor(stamp)),
            padding: 0,
        }
    }

    /// The names by which the first packets of a source say where they belong.
    fn names(&self, mid: Option<&str>, rid_kind: ExtensionKind) -> Vec<(ExtensionKind, Vec<u8>)> {
        let is_rtx = rid_kind == ExtensionKind::RepairedRid;
        if if is_rtx { self.rtx_confirmed } else { self.confirmed } {
            return Vec::new();
        }
        let mid = mid.map(|mid| (ExtensionKind::Mid, mid.as_bytes().to_vec()));
        let rid = self.rid.map(|rid| (rid_kind, rid.as_bytes().to_vec()));
        mid.into_iter().chain(rid).collect()
    }

    fn repeat(&mut self, sequence: u16, mid: Option<&str>) -> Option<MediaPacket> {
        let rtx_ssrc = self.rtx_ssrc?;
        let sent = self.history.iter().rev().find(|sent| sent.packet.sequence as u16 == sequence)?;
        let mut payload = sequence.to_be_bytes().to_vec();
        payload.extend_from_slice(&sent.packet.payload);
        let mut extensions = self.names(mid, ExtensionKind::RepairedRid);
        let carried = |kind: &ExtensionKind| !matches!(kind, ExtensionKind::Mid | ExtensionKind::Rid);
        extensions.extend(sent.packet.extensions.iter().filter(|(kind, _)| carried(kind)).cloned());
        let mut packet = sent.packet.clone();
        self.rtx_sequence += 1;
        (packet.ssrc, packet.sequence, packet.is_rtx) = (rtx_ssrc, self.rtx_sequence, true);
        (packet.payload, packet.extensions) = (payload, extensions);
        Some(packet)
    }

    /// Bandwidth probes, which browsers send as padding on the retransmission source before any medium.
    fn probe(&mut self, codec: Codec, mid: Option<&str>) -> Vec<MediaPacket> {
        let Some(ssrc) = self.rtx_ssrc else { return Vec::new() };
        (0..2)
            .map(|_| {
                self.rtx_sequence += 1;
                MediaPacket {
                    ssrc,
                    sequence: self.rtx_sequence,
                    timestamp: self.timestamp_base,
                    marker: false,
                    codec,
                    is_rtx: true,
                    is_red: false,
                    extensions: self.names(mid, ExtensionKind::RepairedRid),
                    payload: Vec::new(),
                    padding: 200,
                }
            })
            .collect()
    }
}
