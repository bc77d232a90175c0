//! The packet path of a room: a packet in, once; out, once per subscriber.
//!
//! In: find the layer, store the packet, let every subscriber's Forwarder decide. Out: when the core is
//! polled, what the pacer lets go for one participant is written and sealed in one go, straight from the store
//! ([`super::pacing`]).

use std::time::{Duration, Instant};

use rtp::codec::CodecKind;
use rtp::codec::red::Redundant;
use rtp::extension::{AudioLevel, ExtensionKind, decode_transport_cc};
use rtp::packet::RtpPacket;

use super::Context;
use super::pacing::Outgoing;
use super::receiver::{REPORT_INTERVAL, ReceiveError};
use crate::bandwidth::pacer::Class;
use crate::batch::SendBatch;
use crate::peer::srtp::SrtpError;
use crate::track::down_track::DownTrack;
use crate::track::forwarder::Incoming;
use crate::track::packet_store::{NotStored, PacketHeader};
use crate::track::red_repair::Recovered;
use crate::track::up_track::{Original, Subscriber, Taken, UpTrack};

/// A screen that is scrolled faster than somebody's line takes it stands still there for so long, and goes on with a key frame.
/// Less asks for more of them, of which everybody gets the cost.
const CATCH_UP: Duration = Duration::from_millis(1500);

impl super::Room {
    /// A decrypted RTP packet of a participant.
    pub(super) fn handle_rtp(&mut self, context: &mut Context<'_>, key: usize, bytes: &[u8]) {
        let packet = match RtpPacket::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => return context.reject("rtp", error.code()),
        };
        match self.receive(context, key, &packet) {
            Ok(Some((track, layer, taken))) => {
                for distance in taken.recovered.distances() {
                    // Ten packets may come out of one: each is paid for like one that came.
                    match self.tracks.get_mut(track).is_some_and(|track| track.admits(context.now, 0)) {
                        true => self.forward(context, track, layer, taken.sequence - distance),
                        false => context.reject("rtp", "audio-rate"),
                    }
                }
                self.forward(context, track, layer, taken.sequence);
                if taken.beyond_repair {
                    self.repair_layer(context, track, layer);
                }
            }
            Ok(None) => {}
            Err(code) => context.reject("rtp", code),
        }
        self.schedule_feedback(key);
    }

    /// Takes a packet into its layer. `None`: it carried nothing to forward.
    fn receive(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        packet: &RtpPacket<'_>,
    ) -> Result<Option<(usize, usize, Taken)>, &'static str> {
        let now = context.now;
        let Some(participant) = self.participants.get_mut(key) else { return Ok(None) };
        let receiver = &mut participant.receiver;
        let transport_sequence = receiver
            .extensions
            .id(ExtensionKind::TransportCc)
            .and_then(|id| decode_transport_cc(packet.extension(id)?));
        if let Some(sequence) = transport_sequence {
            receiver.arrivals.record(sequence, now);
            if let Some(due) = receiver.arrivals.next_deadline() {
                participant.want_feedback(due);
            }
        }
        let receiver = &mut participant.receiver;
        let stream = receiver.locate(packet, &mut self.tracks).map_err(ReceiveError::code)?;
        let original = if stream.is_rtx {
            // RFC 4588 §4: the original sequence number comes first. Padding sent as probes carries nothing.
            let Some((sequence, payload)) = packet.payload().split_first_chunk::<2>() else {
                return Ok(None);
            };
            let payload_type = receiver
                .media_payload_type(packet.payload_type())
                .ok_or(ReceiveError::UnknownPayloadType.code())?;
            if payload.is_empty() {
                return Ok(None);
            }
            Original {
                sequence_number: u16::from_be_bytes(*sequence),
                payload_type,
                payload,
                recovered: true,
            }
        } else {
            Original {
                sequence_number: packet.sequence_number(),
                payload_type: packet.payload_type(),
                payload: packet.payload(),
                recovered: false,
            }
        };
        let next_report = *receiver.next_report.get_or_insert(now + REPORT_INTERVAL / 5);
        let level = receiver
            .extensions
            .id(ExtensionKind::AudioLevel)
            .and_then(|id| AudioLevel::decode(packet.extension(id)?));
        let Some(track) = self.tracks.get_mut(stream.track) else { return Ok(None) };
        if !track.admits(now, packet.payload().len()) {
            return Err("audio-rate");
        }
        let codec = track
            .codecs
            .iter()
            .find(|(payload_type, _)| *payload_type == original.payload_type)
            .map(|(_, codec)| codec)
            .ok_or(ReceiveError::UnknownPayloadType.code())?;
        let Some(layer) = track.layers.get_mut(stream.layer) else { return Ok(None) };
        let is_red = codec.kind == CodecKind::Red && !original.payload.is_empty();
        let mut recovered = Recovered::default();
        if is_red {
            Redundant::parse(original.payload).map_err(|_| "red-malformed")?; // some subscribers get its primary only
            let numbers = (original.sequence_number, packet.timestamp());
            recovered = layer.recover(now, numbers, original.payload, codec, &track.codecs);
        }
        let taken = layer.receive(now, packet, original, codec, &receiver.extensions);
        let nack_due = layer.nack.next_deadline();
        let due = [Some(next_report), nack_due, layer.keyframes.next_timeout(now)];
        participant.want_feedback(due.into_iter().flatten().min().unwrap_or(next_report));
        let taken = match taken {
            Ok(taken) => Taken { recovered, ..taken },
            // Normal when a packet and its retransmission or its copy both arrive, and for old packets sent again as
            // padding.
            Err(NotStored::Duplicate | NotStored::TooOld) if original.recovered || is_red => return Ok(None),
            Err(error) => return Err(error.code()),
        };
        if let Some(level) = level.filter(|_| track.is_audio() && !track.info.muted && !original.recovered) {
            track.loudness.observe(level, packet.timestamp());
            self.speakers.hear(now, track);
        }
        if !original.recovered && !original.payload.is_empty() {
            let is_back = track.note_arrival(now, stream.layer, original.payload.len(), &taken);
            if is_back && !track.is_audio() {
                let publication = track.primary.unwrap_or(stream.track);
                self.choose_codecs(context, publication);
                self.allocate_track(context, stream.track);
            }
        }
        Ok(Some((stream.track, stream.layer, taken)))
    }

    /// Offers a stored packet to every subscriber of its track.
    fn forward(&mut self, context: &mut Context<'_>, track: usize, layer: usize, sequence: u64) {
        let Some(up_track) = self.tracks.get(track) else { return };
        let publication = up_track.primary.and_then(|primary| self.tracks.get(primary)).unwrap_or(up_track);
        let Some(up_layer) = up_track.layers.get(layer).filter(|_| !publication.is_silenced) else { return };
        let Some(stored) = up_layer.store.get(context.now, sequence) else { return };
        let incoming = Incoming {
            layer,
            generation: up_layer.generation,
            is_simulcast: up_track.is_simulcast(),
            report: up_layer.report.as_ref(),
            header: stored.header,
            is_late: up_layer.store.highest() > Some(sequence),
            clock_rate: up_layer.codec.map_or(90_000, CodecKind::clock_rate),
        };
        let payload_type = stored.header.payload_type;
        // These allocate only when somebody is refused, or begins.
        let (mut unsupported, mut released) = (Vec::new(), Vec::new());
        for Subscriber { participant: key, down_track } in up_track.subscribers.iter().copied() {
            let Some(participant) = self.participants.get_mut(key) else { continue };
            if !participant.links.sending().transport.is_connected() {
                continue;
            }
            let Some(down) = participant.down_tracks.get_mut(down_track) else { continue };
            let Some(target) = down.target() else { continue };
            if down.payload(payload_type).is_none() {
                // They share some codec, but not the one that is sent: said once, and no numbers are used up.
                if !std::mem::replace(&mut down.codec_refused, true) {
                    unsupported.push(key);
                }
                down.forwarder.resume_at_keyframe();
                continue;
            }
            if let Some(until) = down.held_until {
                if participant.pacing.holds(context.now, until, up_track.is_screen()) {
                    continue;
                }
                down.held_until = None;
                released.push((key, down_track));
            }
            let class = class(up_track, down, context.now, stored.header);
            if participant.pacing.is_behind(class, down.keyframe, stored.header) {
                down.forwarder.resume_at_keyframe();
                down.held_until = Some(context.now + CATCH_UP);
                continue;
            }
            let Some(mapped) = down.forwarder.forward(context.now, &incoming, target) else { continue };
            if stored.header.keyframe_start {
                down.keyframe_limit.came(context.now);
                down.keyframe = Some((stored.header.timestamp, context.now));
            }
            let generation = incoming.generation;
            let outgoing = Outgoing { down_track, layer, generation, sequence, mapped, is_rtx: false };
            participant.pacing.enqueue(context.now, outgoing, stored.payload.len(), class);
            if !std::mem::replace(&mut participant.is_dirty, true) {
                self.dirty.push(key);
            }
        }
        for (key, down_track) in released {
            self.want_keyframe(context, key, down_track);
        }
        for key in unsupported {
            self.tell_codec_unsupported(context, key, track);
        }
    }

    /// Keeps a track back from everybody, or lets it go on. Whoever gets it continues its numbers then: a gap of 2^15 and
    /// more would make receivers guess SRTP's rollover counter wrong for good (RFC 3711 §3.3.1).
    pub(super) fn set_silenced(&mut self, context: &mut Context<'_>, track: usize, is_silenced: bool) {
        for track in [Some(track), self.backup_of(track)].into_iter().flatten() {
            let Some(up_track) = self.tracks.get_mut(track) else { continue };
            if std::mem::replace(&mut up_track.is_silenced, is_silenced) == is_silenced {
                continue;
            }
            for Subscriber { participant, down_track } in up_track.subscribers.iter().copied() {
                let participant = self.participants.get_mut(participant);
                if let Some(down) = participant.and_then(|other| other.down_tracks.get_mut(down_track)) {
                    down.forwarder.resume_at_keyframe();
                }
            }
            self.allocate_track(context, track); // its rate is free, or needed again
        }
    }

    /// Writes and seals everything that waits for one participant.
    pub(super) fn transmit_to(&mut self, context: &mut Context<'_>, key: usize, batch: &mut SendBatch) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        for (_, link) in participant.links.iter_mut() {
            link.transport.poll_transmit(context.now, batch);
            if !link.transport.is_connected() {
                link.clear_rtcp();
            }
            link.send_rtcp(batch, |error| context.reject(error.layer(), error.code()));
        }
        if !participant.links.sending().transport.is_connected() {
            participant.pacing.clear();
            return self.drain_transport(context, key); // sending may have failed
        }
        let mut exhausted = false;
        participant.send_due(context.now, &self.tracks, batch, |(layer, code)| {
            context.reject(layer, code);
            exhausted |= code == SrtpError::Exhausted.code();
        });
        if participant.pacing.has_dropped() {
            context.reject("pacing", "overflow");
        }
        for (track, layer, down_track) in std::mem::take(&mut participant.unreported) {
            self.forward_report(context, track, layer, key, down_track);
        }
        if exhausted {
            return self.start_afresh(context, key); // only new keys help
        }
        self.schedule(context, key);
    }
}

/// What a packet is to the pacer.
fn class(track: &UpTrack, down: &DownTrack, now: Instant, header: &PacketHeader) -> Class {
    match track.is_audio() {
        true => Class::Audio,
        false if !track.is_screen() => Class::Video,
        false if header.keyframe_start || down.is_of_keyframe(now, header.timestamp) => Class::ScreenKey,
        false => Class::Screen,
    }
}
