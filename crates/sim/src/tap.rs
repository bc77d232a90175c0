//! The oracle at the core's exit. It stands where sealed packets leave for one client, opens every one of
//! them, and judges it by what the core has been told at that moment: network and client play no part.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rtp::extension::ExtensionKind;
use sfu::peer::srtp::SrtpReceiver;

use crate::client::Connection;
use crate::codec::{Codec, vp8_numbers};
use crate::description::{Answered, Dialect};
use crate::red;
use crate::rules::Rules;
use crate::scalability::Structure;
use crate::stamp::Stamp;
use crate::wire::{Rtcp, Rtp, read_rtcp};

/// Timestamps at a change of source may differ from the time that passed between captures by this much: the
/// core dates a picture by its arrival as long as it knows no clock.
const DATING_ERROR: Duration = Duration::from_millis(700);
/// A change of source may show a picture captured this much earlier: two frames that overtook each other.
const STEP_BACK: Duration = Duration::from_millis(140);
/// Sound and picture of one publisher may be this far apart: below what anybody notices (ITU-R BT.1359), and what a
/// clock costs that is learned through a queue.
const SYNC_ERROR: f64 = 0.04;
/// Between two key-frame requests for one source.
const KEYFRAME_REQUESTS: Duration = Duration::from_millis(490);

/// Numbers of one encoder as a subscriber sees them, minus the publisher's.
#[derive(Clone, Copy, Debug)]
struct Source {
    layer: u8,
    generation: u8,
    first: u64,
    sequence: u64,
    timestamp: u32,
    picture: (u16, u8),
    /// Whether layers can be left out of it.
    is_scalable: bool,
    /// Whether descriptors number pictures along what is sent.
    numbers_pictures: bool,
}

impl Source {
    fn new(sequence: u64, rtp: &Rtp<'_>, stamp: &Stamp, codec: Codec, picture: (u16, u8)) -> Self {
        let structure = stamp.place.structure;
        Self {
            layer: stamp.layer,
            generation: stamp.generation,
            first: sequence,
            sequence: sequence.wrapping_sub(u64::from(stamp.sequence)),
            timestamp: rtp.timestamp.wrapping_sub(stamp.timestamp),
            picture,
            is_scalable: structure != Structure::Plain || codec.spatial_layers(structure) > 1,
            numbers_pictures: codec == Codec::Vp8,
        }
    }

    /// Whether another source is this one, with layers left out in between: its numbers stay behind the publisher's by as
    /// many packets and, where pictures are numbered (VP8), by those of which it had none.
    fn goes_on_as(&self, next: &Self) -> bool {
        let packets = self.left_out_until(next);
        let pictures = i64::from(self.picture.0.wrapping_sub(next.picture.0) & 0x7fff);
        let counts = !self.numbers_pictures || (pictures == 0) == (packets == 0);
        self.is_of_stream(next) && packets >= 0 && pictures <= packets && counts
    }

    /// Packets left out between this and a later source.
    fn left_out_until(&self, next: &Self) -> i64 {
        self.sequence.wrapping_sub(next.sequence).cast_signed()
    }

    fn is_of_stream(&self, other: &Self) -> bool {
        let numbers = |source: &Self| (source.layer, source.generation, source.timestamp, source.picture.1);
        self.is_scalable && numbers(self) == numbers(other)
    }

    /// Whether a source goes on as another, some of whose layers are left out from there on.
    fn continues_thinned(&self, next: &Self, newest: u64) -> bool {
        self.goes_on_as(next) && self.left_out_until(next) > 0 && next.first > newest
    }

    /// Whether a late packet has numbers between those of the packets around it, of which layers are left out.
    fn is_of_thinned(&self, sources: &[Self]) -> bool {
        let after = sources.iter().position(|source| source.first > self.first).unwrap_or(sources.len());
        let before = after.checked_sub(1).and_then(|before| sources.get(before));
        before.is_some_and(|before| before.goes_on_as(self))
            && sources.get(after).is_none_or(|after| !self.is_of_stream(after) || self.goes_on_as(after))
    }

    fn is_numbered_alike(&self, other: &Self) -> bool {
        (self.layer, self.generation, self.sequence) == (other.layer, other.generation, other.sequence)
    }
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u64,
    timestamp: u32,
    picture: Option<(u16, u8)>,
    captured: Duration,
}

/// A source towards the client.
#[derive(Debug)]
struct Stream {
    track: u32,
    codec: Codec,
    sources: Vec<Source>,
    newest: Newest,
    sealed: BTreeSet<u64>,
    mid: Option<Vec<u8>>,
    /// Wallclock and timestamp of the last sender report, and the turn it was sealed in.
    clock: Option<(u64, u32, u64)>,
    name: Option<String>,
}

/// What passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets of media.
    pub packets: u64,
    /// Packets of sound with redundancy.
    pub red: u64,
    /// Packets of sound that were lost before the server and made of copies.
    pub recovered: u64,
    /// Retransmissions.
    pub repeated: u64,
    /// Packets of nothing but padding.
    pub padding: u64,
    /// Changes of layer.
    pub changes: u64,
    /// Sender reports.
    pub reports: u64,
    /// Packets whose capture time was compared with that of the publisher's other tracks.
    pub synchronised: u64,
    /// Key-frame requests to this client.
    pub keyframe_requests: u64,
    /// Packets covered by transport-wide feedback to this client.
    pub acknowledged: u64,
}

/// The oracle of one client.
pub struct Tap {
    client: usize,
    receiver: SrtpReceiver,
    /// The same of the connection that the client publishes on, if it has two.
    publisher: Option<SrtpReceiver>,
    /// The server's newest offer, if the client has two.
    offered: Option<(u32, Vec<Answered>)>,
    streams: BTreeMap<u32, Stream>,
    /// Sealed retransmissions: source and number.
    repeated: BTreeSet<(u32, u16)>,
    /// What answers declared: source → (track id, media id), retransmissions → media.
    declared: BTreeMap<u32, (String, String)>,
    pairs: BTreeMap<u32, u32>,
    /// Publisher → wallclock minus capture time, in seconds.
    wallclocks: BTreeMap<usize, f64>,
    keyframe_requests: BTreeMap<u32, Duration>,
    /// The newest transport-wide number.
    transport_number: Option<u16>,
    turn: u64,
    /// What passed so far.
    pub passed: Passed,
}

impl Tap {
    /// The oracle of a client, with a receiver of its keys, and one for what it publishes on if that is another connection.
    pub fn new(client: usize, receiver: SrtpReceiver, publisher: Option<SrtpReceiver>) -> Self {
        Self {
            client,
            receiver,
            publisher,
            offered: None,
            streams: BTreeMap::new(),
            repeated: BTreeSet::new(),
            declared: BTreeMap::new(),
            pairs: BTreeMap::new(),
            wallclocks: BTreeMap::new(),
            keyframe_requests: BTreeMap::new(),
            transport_number: None,
            turn: 0,
            passed: Passed::default(),
        }
    }

    /// An offer left the core.
    pub fn offered(&mut self, id: u32, sections: Vec<Answered>) {
        self.offered = Some((id, sections));
    }

    /// The answer to an offer comes to the core.
    pub fn accepted(&mut self, id: u32) -> Result<(), String> {
        match self.offered.take_if(|(offered, _)| *offered == id) {
            Some((_, sections)) => self.answered(&sections),
            None => Ok(()), // to one that was given up
        }
    }

    /// An answer left the core.
    pub fn answered(&mut self, sections: &[Answered]) -> Result<(), String> {
        for section in sections.iter().filter(|section| section.sends) {
            let (Some(track), Some(ssrc)) = (&section.track, section.ssrc) else { continue };
            let named = (track.clone(), section.mid.clone());
            if let Some(before) = self.declared.insert(ssrc, named.clone())
                && before != named
            {
                return Err(format!("source {ssrc} was {before:?} and becomes {named:?}"));
            }
            if let Some(rtx) = section.rtx_ssrc {
                self.pairs.insert(rtx, ssrc);
            }
        }
        Ok(())
    }

    /// A turn of the run loop is over: everything sent must have been declared by now.
    pub fn end_turn(&mut self, rules: &Rules) -> Result<(), String> {
        self.turn += 1;
        for (ssrc, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.mid.is_some()) {
            let (sid, mid) =
                self.declared.get(ssrc).ok_or_else(|| format!("source {ssrc} was never declared"))?;
            let expected = rules.tracks.get(stream.track as usize).and_then(|track| track.sid.as_ref());
            if expected != Some(sid) {
                return Err(format!("source {ssrc} is declared {sid} and carries {expected:?}"));
            }
            if stream.mid.take().is_some_and(|carried| carried != mid.as_bytes()) {
                return Err(format!("packets of source {ssrc} do not name section {mid}"));
            }
        }
        Ok(())
    }

    /// A sealed datagram leaves for the client.
    pub fn datagram(
        &mut self,
        now: Duration,
        connection: Connection,
        datagram: &[u8],
        rules: &Rules,
        dialect: &Dialect,
    ) -> Result<(), String> {
        let mut copy = datagram.to_vec();
        let receiver = match (&mut self.publisher, connection) {
            (Some(publisher), Connection::Publisher) => publisher,
            _ => &mut self.receiver,
        };
        if copy.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
            let opened = receiver.open_rtcp(&mut copy).map_err(|error| format!("RTCP: {error}"))?;
            let packets = read_rtcp(opened).ok_or("malformed RTCP")?;
            if self.publisher.is_some()
                && let Some(stray) = packets.iter().find(|packet| !packet.belongs_on(connection))
            {
                return Err(format!("{stray:?} on the {connection:?} connection"));
            }
            return packets.into_iter().try_for_each(|packet| self.rtcp(now, packet, rules));
        }
        if connection == Connection::Publisher {
            return Err("media on the connection that the client publishes on".to_owned());
        }
        let opened = self.receiver.open_rtp(&mut copy).map_err(|error| format!("RTP: {error}"))?;
        let rtp = Rtp::read(opened).ok_or("malformed RTP")?;
        let (codec, is_rtx) =
            dialect.meaning(rtp.payload_type).ok_or_else(|| format!("payload type {}", rtp.payload_type))?;
        let number = dialect.id(ExtensionKind::TransportCc).and_then(|id| rtp.extension(id));
        if let Some([high, low]) = number {
            let number = u16::from_be_bytes([*high, *low]);
            if let Some(before) = self.transport_number.replace(number)
                && number != before.wrapping_add(1)
            {
                return Err(format!("transport-wide number {number} follows {before}"));
            }
        }
        if is_rtx && rtp.payload.is_empty() {
            return self.padding(&rtp);
        }
        if rtp.payload.is_empty() {
            return self.left_out(&rtp);
        }
        let payload =
            if is_rtx { rtp.payload.get(2..).ok_or("an empty retransmission")? } else { rtp.payload };
        if payload.is_empty() {
            return Ok(()); // that what was asked for is left out
        }
        let is_red = dialect.is_red(rtp.payload_type);
        let (copy, payload) = match is_red {
            true => red::unwrap(payload).ok_or("malformed RED")?,
            false => (None, payload),
        };
        self.passed.red += u64::from(is_red);
        if let Some(copy) = copy {
            let (copied, _) = Stamp::read(copy)?;
            rules
                .may_get(self.client, copied.track, copied.captured)
                .map_err(|what| format!("{what}: a copy of {copied:?}"))?;
        }
        let (stamp, descriptor) = Stamp::read(payload)?;
        let describe = |what: &str| format!("{what}: {stamp:?}");
        let captured = if is_rtx { Duration::ZERO } else { stamp.captured };
        rules.may_get(self.client, stamp.track, captured).map_err(describe)?;
        let published = rules.tracks.get(stamp.track as usize).ok_or("no such track")?;
        if published.recipe.codec != codec {
            return Err(describe("wrong codec"));
        }
        let picture = picture_offset(codec, &stamp, descriptor).map_err(|what| describe(&what))?;
        let has_level = check_extensions(codec, &rtp, &stamp, dialect).map_err(|what| describe(&what))?;
        if codec == Codec::Opus && !has_level {
            if is_red || !published.is_repeated {
                return Err(describe("loudness is missing"));
            }
            self.passed.recovered += 1;
        }
        let mid = dialect.id(ExtensionKind::Mid).and_then(|id| rtp.extension(id)).map(<[u8]>::to_vec);
        if is_rtx {
            if mid.is_none() {
                return Err(describe("a retransmission names no section, which Firefox needs"));
            }
            self.repeated(&rtp, &stamp, picture).map_err(|what| describe(&what))
        } else {
            let paused = rules.members[self.client].ever_paused.contains(&stamp.track);
            self.media(&rtp, &stamp, codec, picture, paused).map_err(|what| describe(&what))?;
            let Some(stream) = self.streams.get_mut(&rtp.ssrc) else { return Ok(()) };
            if stream.sealed.len() == 1 && mid.is_none() {
                return Err(describe("the first packet names no section"));
            }
            stream.mid = mid;
            self.passed.packets += 1;
            self.synchronised(&rtp, &stamp, published.publisher).map_err(|what| describe(&what))
        }
    }

    /// A probe of nothing but padding, numbered as a retransmission.
    fn padding(&mut self, rtp: &Rtp<'_>) -> Result<(), String> {
        if !self.repeated.insert((rtp.ssrc, rtp.sequence)) {
            return Err("padding sealed twice".to_owned());
        }
        if !self.pairs.contains_key(&rtp.ssrc) {
            return Err("padding of a source that was not declared".to_owned());
        }
        self.passed.padding += 1;
        Ok(())
    }

    /// The number of a packet that came late and is of a layer that the client does not get.
    fn left_out(&mut self, rtp: &Rtp<'_>) -> Result<(), String> {
        let stream = self.streams.get_mut(&rtp.ssrc).ok_or("padding of a source that never began")?;
        let sequence = extend(stream.newest.sequence, rtp.sequence);
        stream.sealed.insert(sequence).then_some(()).ok_or_else(|| format!("{sequence} sealed twice"))
    }

    fn media(
        &mut self,
        rtp: &Rtp<'_>,
        stamp: &Stamp,
        codec: Codec,
        picture: (u16, u8),
        paused: bool,
    ) -> Result<(), String> {
        let starts = !codec.is_video() || (stamp.key && stamp.index == 0);
        let seen_picture = (codec == Codec::Vp8).then(|| seen(stamp, picture));
        let Some(stream) = self.streams.get_mut(&rtp.ssrc) else {
            if !starts {
                return Err("begins in the middle of something".to_owned());
            }
            let sequence = u64::from(rtp.sequence);
            let newest = Newest {
                sequence,
                timestamp: rtp.timestamp,
                picture: seen_picture,
                captured: stamp.captured,
            };
            let stream = Stream {
                track: stamp.track,
                codec,
                sources: vec![Source::new(sequence, rtp, stamp, codec, picture)],
                newest,
                sealed: [sequence].into(),
                mid: None,
                clock: None,
                name: None,
            };
            self.streams.insert(rtp.ssrc, stream);
            return Ok(());
        };
        if stream.track != stamp.track {
            return Err(format!("in the stream of track {}", stream.track));
        }
        let sequence = extend(stream.newest.sequence, rtp.sequence);
        if !stream.sealed.insert(sequence) {
            return Err(format!("{sequence} sealed twice"));
        }
        let source = Source::new(sequence, rtp, stamp, codec, picture);
        let current = *stream.sources.last().ok_or("no source")?;
        // Paused and continued within one picture: a new source that lost no number.
        let is_new = codec.is_video()
            && starts
            && sequence > stream.newest.sequence
            && current.timestamp != source.timestamp;
        if current.is_numbered_alike(&source) && !is_new {
            if sequence < current.first && !source.is_of_thinned(&stream.sources) {
                return Err("from before its source's beginning".to_owned());
            }
            if (current.timestamp, current.picture) != (source.timestamp, source.picture) {
                return Err(format!("numbers drift: {current:?} {source:?}"));
            }
        } else if current.continues_thinned(&source, stream.newest.sequence) {
            stream.sources.push(source);
        } else if sequence < stream.newest.sequence && source.is_of_thinned(&stream.sources) {
            // It was overtaken, and has the numbers of its time.
        } else {
            let newest = stream.newest;
            let is_same = (current.layer, current.generation) == (source.layer, source.generation);
            // Whoever is short of bandwidth for a moment goes on at a key frame.
            if is_same && !paused && !starts {
                return Err(format!("sequence numbers jump: {current:?} {source:?}"));
            }
            if !starts {
                return Err("another layer, not at a key frame".to_owned());
            }
            // What waited while the line was cut is dropped, and has its numbers.
            if sequence != newest.sequence + 1 && !(paused && sequence > newest.sequence) {
                return Err(format!("{sequence} follows {}", newest.sequence));
            }
            check_continuity(&newest, rtp, stamp, codec, seen_picture, paused)?;
            stream.sources.push(source);
            self.passed.changes += 1;
            // A report sealed in this turn was made for this source; older ones are of the one before.
            stream.clock = stream.clock.filter(|(_, _, turn)| *turn == self.turn);
        }
        if sequence > stream.newest.sequence {
            let picture = seen_picture.or(stream.newest.picture);
            stream.newest = Newest { sequence, timestamp: rtp.timestamp, picture, captured: stamp.captured };
        }
        Ok(())
    }

    fn repeated(&mut self, rtp: &Rtp<'_>, stamp: &Stamp, picture: (u16, u8)) -> Result<(), String> {
        if !self.repeated.insert((rtp.ssrc, rtp.sequence)) {
            return Err("retransmission sealed twice".to_owned());
        }
        let stream = self.pairs.get(&rtp.ssrc).and_then(|media| self.streams.get(media));
        let stream = stream.ok_or("a retransmission of nothing")?;
        let original = rtp.payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        let sequence = extend(stream.newest.sequence, original.ok_or("no original number")?);
        let source = stream.sources.iter().rev().find(|source| source.first <= sequence);
        let source = source.ok_or("a retransmission of what was never sent")?;
        let repeated = Source::new(sequence, rtp, stamp, stream.codec, picture);
        let is_it = source.is_numbered_alike(&repeated)
            && (source.timestamp, source.picture) == (repeated.timestamp, repeated.picture);
        // What waited while the line was cut is dropped, and sent when it is asked for.
        let was_dropped = sequence < stream.newest.sequence && !stream.sealed.contains(&sequence);
        if !is_it && !was_dropped && !repeated.is_of_thinned(&stream.sources) {
            return Err(format!("the retransmission is of another packet: {source:?} {repeated:?}"));
        }
        self.passed.repeated += 1;
        Ok(())
    }

    /// Capture times of all tracks of one publisher are the same distance from the wallclock that sender
    /// reports give.
    fn synchronised(&mut self, rtp: &Rtp<'_>, stamp: &Stamp, publisher: usize) -> Result<(), String> {
        let Some(stream) = self.streams.get(&rtp.ssrc) else { return Ok(()) };
        let Some((ntp, timestamp, turn)) = stream.clock else { return Ok(()) };
        let newest = stream.sources.last();
        let is_newest = newest.is_some_and(|s| (s.layer, s.generation) == (stamp.layer, stamp.generation));
        if turn == self.turn || !is_newest {
            return Ok(());
        }
        let ticks = rtp.timestamp.wrapping_sub(timestamp).cast_signed();
        let wallclock = ntp as f64 / 2f64.powi(32) + f64::from(ticks) / f64::from(stream.codec.clock_rate());
        let offset = wallclock - stamp.captured.as_secs_f64();
        let known = *self.wallclocks.entry(publisher).or_insert(offset);
        self.passed.synchronised += 1;
        if (offset - known).abs() >= SYNC_ERROR {
            return Err(format!("{:.1} ms from the publisher's other tracks", (offset - known) * 1000.0));
        }
        Ok(())
    }

    fn rtcp(&mut self, now: Duration, packet: Rtcp, rules: &Rules) -> Result<(), String> {
        if !rules.members[self.client].present {
            return Err("RTCP after leaving".to_owned());
        }
        match packet {
            Rtcp::SenderReport { ssrc, ntp, timestamp, .. } => {
                let stream = self.streams.get_mut(&ssrc);
                // The first report may leave just before the first packet.
                if let Some(stream) = stream {
                    stream.clock = Some((ntp, timestamp, self.turn));
                    self.passed.reports += 1;
                }
            }
            Rtcp::Names(names) => {
                for (ssrc, name) in names {
                    let Some(stream) = self.streams.get_mut(&ssrc) else { continue };
                    let publisher = rules.tracks.get(stream.track as usize).map(|track| track.publisher);
                    let sid = publisher.and_then(|publisher| rules.members.get(publisher)?.sid.as_deref());
                    if sid != Some(name.as_str()) {
                        return Err(format!("source {ssrc} of {sid:?} is named {name}"));
                    }
                    stream.name = Some(name);
                }
            }
            Rtcp::KeyframeRequest(media) => {
                self.passed.keyframe_requests += 1;
                if let Some(before) = self.keyframe_requests.insert(media, now)
                    && now - before < KEYFRAME_REQUESTS
                {
                    return Err(format!("key frames of {media} asked for {:?} apart", now - before));
                }
            }
            Rtcp::TransportFeedback { count, .. } => self.passed.acknowledged += u64::from(count),
            Rtcp::ReceiverReport { .. } | Rtcp::Nack { .. } | Rtcp::Other => {}
        }
        Ok(())
    }
}

fn extend(newest: u64, sequence: u16) -> u64 {
    newest.wrapping_add_signed(i64::from(sequence.wrapping_sub(newest as u16).cast_signed()))
}

/// VP8's picture id and TL0PICIDX as the subscriber sees them.
fn seen(stamp: &Stamp, (id, tl0): (u16, u8)) -> (u16, u8) {
    (stamp.picture.wrapping_add(id) & 0x7fff, stamp.tl0.wrapping_add(tl0))
}

/// What was added to VP8's numbers; everything else of the descriptor must be as the encoder wrote it.
fn picture_offset(codec: Codec, stamp: &Stamp, descriptor: &[u8]) -> Result<(u16, u8), String> {
    let original = codec.descriptor(stamp);
    if codec != Codec::Vp8 {
        let same = original == descriptor;
        return same.then_some((0, 0)).ok_or_else(|| format!("descriptor {descriptor:02x?}"));
    }
    let (id, tl0, others) = vp8_numbers(&original).ok_or("the encoder is wrong")?;
    let (new_id, new_tl0, new_others) =
        vp8_numbers(descriptor).ok_or_else(|| format!("descriptor {descriptor:02x?}"))?;
    if others != new_others {
        return Err(format!("descriptor {descriptor:02x?} of {original:02x?}"));
    }
    Ok((new_id.wrapping_sub(id) & 0x7fff, new_tl0.wrapping_sub(tl0)))
}

/// A new source continues where the one before ended.
fn check_continuity(
    newest: &Newest,
    rtp: &Rtp<'_>,
    stamp: &Stamp,
    codec: Codec,
    picture: Option<(u16, u8)>,
    paused: bool,
) -> Result<(), String> {
    if let (Some(before), Some(after)) = (newest.picture, picture)
        && after != ((before.0 + 1) & 0x7fff, before.1.wrapping_add(1))
        // What waited while the line was cut is dropped, and has its numbers.
        && !(paused && after.0.wrapping_sub(before.0) & 0x7fff < 0x4000)
    {
        return Err(format!("picture {after:?} follows {before:?}"));
    }
    let advance = rtp.timestamp.wrapping_sub(newest.timestamp).cast_signed();
    if advance <= 0 {
        return Err(format!("the timestamp advances by {advance}"));
    }
    if stamp.captured + STEP_BACK < newest.captured {
        return Err(format!("goes back to before {:?}", newest.captured));
    }
    let captured = stamp.captured.as_secs_f64() - newest.captured.as_secs_f64();
    let shown = f64::from(advance) / f64::from(codec.clock_rate());
    // After a pause the time that passed here is all the core goes by, and the network may have changed.
    if (captured - shown).abs() > DATING_ERROR.as_secs_f64() && !paused {
        return Err(format!("captured {captured:.3} s later, shown {shown:.3} s later"));
    }
    Ok(())
}

/// Extensions carry the client's ids and the publisher's values; the publisher's transport's are not carried over.
/// Whether the packet says how loud it is; an error if its extensions are not those it was published with.
fn check_extensions(codec: Codec, rtp: &Rtp<'_>, stamp: &Stamp, dialect: &Dialect) -> Result<bool, String> {
    let descriptor = codec.dependency_descriptor(stamp);
    let (mut has_level, mut has_descriptor) = (false, false);
    for (id, value) in &rtp.extensions {
        match dialect.kind(*id) {
            // Numbered along all that is sent to this client.
            Some(ExtensionKind::Mid | ExtensionKind::TransportCc) => {}
            Some(ExtensionKind::AudioLevel) if *value == [stamp.level] => has_level = true,
            Some(ExtensionKind::DependencyDescriptor) if Some(*value) == descriptor.as_deref() => {
                has_descriptor = true;
            }
            kind => return Err(format!("extension {id} ({kind:?}) is {value:02x?}")),
        }
    }
    // What is made of a copy has no loudness: that was lost with the packet's header.
    if has_level && codec != Codec::Opus || has_descriptor != descriptor.is_some() {
        return Err("extensions are missing".to_owned());
    }
    Ok(has_level)
}
