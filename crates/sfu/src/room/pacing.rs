//! What leaves for one subscriber, and when: takes from the pacer what may go now, writes, numbers and seals it, fills
//! probes up, and tells the estimator.

use std::time::{Duration, Instant};

use rtp::header::HeaderFields;
use slab::Slab;

use super::participant::Participant;
use crate::bandwidth::estimator::{Estimator, Settings};
use crate::bandwidth::pacer::{Class, Pacer};
use crate::batch::SendBatch;
use crate::track::down_track::{DownTrack, KEYFRAME_SPREAD, Prefix};
use crate::track::forwarder::Mapped;
use crate::track::packet_store::PacketHeader;
use crate::track::up_track::UpTrack;

/// RTP's padding flag in the first byte of a header (RFC 3550 §5.1).
const PADDING_FLAG: u8 = 0x20;

/// Bytes of padding that one packet can have: their count is the last of them, in 8 bits (RFC 3550 §5.1).
const MAX_PADDING: usize = 255;

/// Pictures' packets that probes send again: the newest, which the receiver may still have a use for.
const RECENT: usize = 32;

/// Bytes of padding that are sent for an answer, where nothing is there to be sent again.
const SOUNDING: usize = 16;

/// Bytes around an RTP payload, about: header with extensions, and SRTP's tag.
const AROUND: usize = 40;

/// SRTP's authentication tag with AEAD (RFC 7714 §13); the other profiles' are a little shorter.
const TAG: usize = 16;

/// A screen does not wait longer than this for the line to catch up: another screen may be what it does not catch up with.
const LONGEST_HOLD: Duration = Duration::from_secs(4);

/// A packet chosen for a participant, sealed when it may leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) down_track: usize,
    pub(crate) layer: usize,
    /// The layer's generation: another source's packets have numbers of their own.
    pub(crate) generation: u32,
    /// The publisher's extended sequence number: where the packet is stored.
    pub(crate) sequence: u64,
    pub(crate) mapped: Mapped,
    pub(crate) is_rtx: bool,
}

/// Layer and code of a rejection.
type Refused = (&'static str, &'static str);

/// One subscriber's way out. See the module's description.
#[derive(Debug)]
pub(crate) struct Pacing {
    pub(crate) estimator: Estimator,
    pacer: Pacer<Outgoing>,
    /// Pictures' packets that left lately, a ring.
    recent: Vec<Outgoing>,
    next_recent: usize,
}

impl Pacing {
    pub(crate) fn new(now: Instant, settings: &Settings) -> Self {
        Self {
            estimator: Estimator::new(now, settings),
            pacer: Pacer::new(),
            recent: Vec::new(),
            next_recent: 0,
        }
    }

    /// Queues a packet of `payload` bytes.
    pub(crate) fn enqueue(&mut self, now: Instant, outgoing: Outgoing, payload: usize, class: Class) {
        self.pacer.push(now, class, (payload + AROUND) as u32, outgoing);
    }

    /// Forgets what waits for a DownTrack that is gone: its key may become another's.
    pub(crate) fn forget(&mut self, down_track: usize) {
        self.pacer.retain(|outgoing| outgoing.down_track != down_track);
        self.recent.retain(|outgoing| outgoing.down_track != down_track);
        self.next_recent = 0;
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        self.pacer.clear();
    }

    /// Whether a screen's key frame, or something before it, still waits.
    pub(crate) fn holds_keyframe(&self, keyframe: Option<(u32, Instant)>) -> bool {
        keyframe.is_some_and(|(_, came)| self.pacer.holds_screen(came + KEYFRAME_SPREAD))
    }

    /// Whether the line does not keep up with a screen: with what changes on it, or, where another key frame begins, with the
    /// one before that, unless little enough of it is left for another to be asked for.
    pub(crate) fn is_behind(
        &self,
        class: Class,
        keyframe: Option<(u32, Instant)>,
        header: &PacketHeader,
    ) -> bool {
        let begins = header.keyframe_start && keyframe.is_none_or(|(before, _)| before != header.timestamp);
        match class {
            Class::Screen => self.pacer.is_behind(),
            Class::ScreenKey => begins && self.holds_keyframe(keyframe) && !self.pacer.has_caught_up(),
            Class::Audio | Class::Retransmission | Class::Video => false,
        }
    }

    /// Whether pictures that wait until then still do, a screen's also until the line has caught up.
    pub(crate) fn holds(&self, now: Instant, until: Instant, is_screen: bool) -> bool {
        now < until || is_screen && !self.pacer.has_caught_up() && now < until + LONGEST_HOLD
    }

    /// Whether packets were dropped since this was last asked because more came in than may wait.
    pub(crate) fn has_dropped(&mut self) -> bool {
        self.pacer.take_dropped() > 0
    }

    /// When something may leave or be decided.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.pacer.next_timeout(now).into_iter().chain(self.estimator.next_timeout(now)).min()
    }

    /// Hands on what the estimator thinks of the line now, and begins a probe if one is due.
    fn prepare(&mut self, now: Instant) {
        self.pacer.set_estimate(self.estimator.estimate());
        self.pacer.set_cut(self.estimator.is_cut(now));
        if self.pacer.cluster().is_some_and(|probe| !self.estimator.awaits(probe)) {
            self.pacer.abandon_probe();
        }
        if self.pacer.cluster().is_none()
            && let Some(probe) = self.estimator.poll_probe(now)
        {
            self.pacer.start_probe(probe);
        }
    }

    /// A packet left: `bytes` of UDP payload, with a transport-wide number or not.
    fn left(&mut self, now: Instant, bytes: usize, is_numbered: bool) {
        let bytes = bytes as u32;
        if is_numbered {
            self.estimator.sent(now, bytes, self.pacer.cluster());
        } else {
            self.estimator.sent_untracked(now, bytes);
        }
        self.pacer.sent(now, bytes);
    }

    fn remember(&mut self, outgoing: Outgoing) {
        if self.recent.len() < RECENT {
            self.recent.push(outgoing);
        } else if let Some(oldest) = self.recent.get_mut(self.next_recent) {
            *oldest = outgoing;
        }
        self.next_recent = (self.next_recent + 1) % RECENT;
    }
}

/// What a packet looks like on the wire.
struct Written<'a> {
    fields: HeaderFields,
    /// The sequence number with its rollovers counted above it.
    sequence: u64,
    prefix: Prefix,
    rest: &'a [u8],
    is_padding: bool,
}

impl super::Room {
    /// What a participant's line is thought to carry, in bit/s.
    pub(crate) fn estimate(&self, key: usize) -> Option<u64> {
        self.participants.get(key).map(|participant| participant.pacing.estimator.estimate())
    }
}

impl Participant {
    /// Seals everything that may leave now; every refusal goes to `refuse`.
    pub(super) fn send_due(
        &mut self,
        now: Instant,
        tracks: &Slab<UpTrack>,
        batch: &mut SendBatch,
        mut refuse: impl FnMut(Refused),
    ) {
        self.pacing.prepare(now);
        loop {
            if let Some(outgoing) = self.pacing.pacer.poll(now) {
                match self.send(now, tracks, &outgoing, batch) {
                    Ok(()) => {}
                    Err(refused) => refuse(refused),
                }
            } else if let Some(bytes) = self.pacing.pacer.padding(now) {
                if let Err(refused) = self.pad(now, tracks, bytes as usize, batch) {
                    self.pacing.pacer.abandon_probe();
                    refused.into_iter().for_each(&mut refuse);
                    break;
                }
            } else {
                break;
            }
        }
        if self.pacing.estimator.poll_sounding(now)
            && let Err(refused) = self.pad(now, tracks, SOUNDING, batch)
        {
            self.pacing.estimator.resume_unanswered(now);
            refused.into_iter().for_each(&mut refuse);
        }
    }

    /// Writes one packet and seals it into the batch.
    fn send(
        &mut self,
        now: Instant,
        tracks: &Slab<UpTrack>,
        outgoing: &Outgoing,
        batch: &mut SendBatch,
    ) -> Result<(), Refused> {
        // Whatever is gone by now (a track, a packet) is simply not sent.
        let Some(down) = self.down_tracks.get_mut(outgoing.down_track) else { return Ok(()) };
        let Some(track) = tracks.get(down.track) else { return Ok(()) };
        let layer = track.layers.get(outgoing.layer);
        let Some(layer) = layer.filter(|layer| layer.generation == outgoing.generation) else {
            return Ok(());
        };
        let Some(stored) = layer.store.get(now, outgoing.sequence) else { return Err(("rtp", "not-stored")) };
        let Some(payload) = down.payload(stored.header.payload_type) else {
            return Err(("rtp", "codec-not-shared"));
        };
        let mut prefix = Prefix::default();
        let (payload_type, ssrc, sequence) = if outgoing.is_rtx {
            let (Some(rtx), Some(ssrc)) = (payload.rtx, down.rtx_ssrc) else { return Ok(()) };
            prefix.original_sequence(outgoing.mapped.sequence as u16);
            (rtx, ssrc, down.next_rtx_sequence())
        } else {
            (payload.media, down.ssrc, outgoing.mapped.sequence)
        };
        let body = payload.select(stored.payload);
        // A packet that was padding only keeps its number and becomes one byte of padding; so does what only fills one.
        // Again it is asked for in vain: the answer is a retransmission of nothing, which receivers take as padding.
        let is_empty = outgoing.mapped.is_padding;
        let is_padding = (body.is_empty() || is_empty) && !outgoing.is_rtx;
        if !is_padding && !is_empty {
            prefix.picture(payload.kind, body, outgoing.mapped.picture_offset);
        }
        let fields = HeaderFields {
            marker: outgoing.mapped.marker && !is_padding,
            payload_type,
            sequence_number: sequence as u16,
            timestamp: outgoing.mapped.timestamp,
            ssrc,
        };
        let rest = match (is_padding, is_empty) {
            (true, _) => &[1][..],
            (false, true) => &[],
            (false, false) => body.get(prefix.replaced..).unwrap_or_default(),
        };
        let octets = prefix.as_slice().len() + rest.len();
        let written = Written { fields, sequence, prefix, rest, is_padding };
        self.seal(now, outgoing.down_track, &written, stored.extensions, batch)?;
        if !outgoing.is_rtx
            && let Some(down) = self.down_tracks.get_mut(outgoing.down_track)
        {
            down.sent = down.sent.max(Some(sequence));
            let begins_at = down.forwarder.begins_at();
            let source = (down.track, outgoing.layer, outgoing.down_track);
            let is_unreported = down.reported != begins_at && down.sent >= begins_at;
            if is_unreported && layer.report.is_some() && !self.unreported.contains(&source) {
                self.unreported.push(source);
            }
            down.packets = down.packets.wrapping_add(1);
            down.octets = down.octets.wrapping_add(octets as u32);
            if !is_padding && !track.is_audio() && down.rtx_ssrc.is_some() {
                self.pacing.remember(*outgoing);
            }
        }
        Ok(())
    }

    /// Sends bytes for nothing but their feedback: what was sent lately once more, or padding where nothing was.
    /// `Err(None)`: there is nothing to pad with.
    fn pad(
        &mut self,
        now: Instant,
        tracks: &Slab<UpTrack>,
        bytes: usize,
        batch: &mut SendBatch,
    ) -> Result<(), Option<Refused>> {
        let fits = |outgoing: &&Outgoing| {
            let down = self.down_tracks.get(outgoing.down_track);
            let track = down.and_then(|down| tracks.get(down.track));
            let layer = track.and_then(|track| track.layers.get(outgoing.layer));
            let layer = layer.filter(|layer| layer.generation == outgoing.generation);
            let stored = layer.and_then(|layer| layer.store.get(now, outgoing.sequence));
            down.zip(stored).is_some_and(|(down, stored)| {
                stored.payload.len() >= bytes / 2 && down.has_rtx(stored.header.payload_type)
            })
        };
        let (newer, older) =
            self.pacing.recent.split_at(self.pacing.next_recent.min(self.pacing.recent.len()));
        let again = newer.iter().rev().chain(older.iter().rev()).find(fits).copied();
        if let Some(again) = again {
            return self.send(now, tracks, &Outgoing { is_rtx: true, ..again }, batch).map_err(Some);
        }
        let bare = |(key, down): (usize, &mut DownTrack)| {
            let payload_type = down.rtx_payload_type()?;
            Some((key, payload_type, down.rtx_ssrc?, down.next_rtx_sequence()))
        };
        let (down_track, payload_type, ssrc, sequence) =
            self.down_tracks.iter_mut().find_map(bare).ok_or(None)?;
        let mut padding = [0; MAX_PADDING];
        let length = bytes.clamp(1, MAX_PADDING);
        let Some(rest) = padding.get_mut(..length) else { return Err(None) };
        if let Some(last) = rest.last_mut() {
            *last = length as u8;
        }
        let fields = HeaderFields {
            marker: false,
            payload_type,
            sequence_number: sequence as u16,
            timestamp: 0, // of no picture
            ssrc,
        };
        let written = Written { fields, sequence, prefix: Prefix::default(), rest, is_padding: true };
        self.seal(now, down_track, &written, &[], batch).map_err(Some)
    }

    /// Seals one packet of a DownTrack and tells pacer and estimator.
    fn seal(
        &mut self,
        now: Instant,
        down_track: usize,
        written: &Written<'_>,
        extensions: &[u8],
        batch: &mut SendBatch,
    ) -> Result<(), Refused> {
        let Some(down) = self.down_tracks.get(down_track) else { return Ok(()) };
        let transport_sequence = down.has_transport_cc().then(|| self.pacing.estimator.next_sequence());
        let mut header = 0;
        let write = |out: &mut [u8]| {
            header = down.write_header(&written.fields, extensions, transport_sequence, out)?;
            if written.is_padding
                && let Some(first) = out.first_mut()
            {
                *first |= PADDING_FLAG;
            }
            Ok::<_, rtp::RtpError>(header)
        };
        let transport = &mut self.links.sending_mut().transport;
        transport
            .send_rtp(batch, written.sequence, written.prefix.as_slice(), written.rest, write)
            .map_err(|error| (error.layer(), error.code()))?;
        let bytes = header + written.prefix.as_slice().len() + written.rest.len() + TAG;
        self.pacing.left(now, bytes, transport_sequence.is_some());
        Ok(())
    }
}
