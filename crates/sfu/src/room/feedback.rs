//! RTCP of a room. In: reports, NACKs and key-frame requests of subscribers, sender reports of publishers.
//! Out: NACKs, key-frame requests, receiver reports and transport-wide feedback to publishers; translated
//! sender reports to subscribers.

use std::time::{Duration, Instant};

use rtp::ntp::NtpTime;
use rtp::rtcp::{self, ReportBlock, RtcpPacket};

use super::Context;
use super::pacing::Outgoing;
use super::receiver::REPORT_INTERVAL;
use crate::bandwidth::pacer::Class;
use crate::track::keyframe_limit::{KeyframeLimit, Request};
use crate::track::sender_report::{ReceivedReport, extrapolate};
use crate::track::up_track::UpTrack;

/// Round trip assumed to participants whose is not measured yet; typical for Europe. Too low repeats in vain, too
/// high repairs late.
const ASSUMED_RTT: Duration = Duration::from_millis(60);

/// Sender reports of one layer are handed on this far apart. Chromium sends more of them the faster a picture's stream is:
/// on average one in 360 kbit of it. Two minutes of a clock's drift are not seen in a fifth of a second, and everything
/// handed on is multiplied by the subscribers.
const SENDER_REPORT_PAUSE: Duration = Duration::from_millis(200);

/// Report blocks of one receiver report (RFC 3550 §6.4.1: a five-bit count).
const MAX_BLOCKS: usize = 31;

/// Packets asked for in one NACK: far apart each takes 4 bytes, and all fit a datagram.
const MAX_NACKED: usize = 256;

impl super::Room {
    /// A decrypted compound (or reduced-size) RTCP packet of a participant.
    pub(super) fn handle_rtcp(&mut self, context: &mut Context<'_>, key: usize, bytes: &[u8]) {
        for packet in rtcp::parse(bytes) {
            match packet {
                Ok(RtcpPacket::SenderReport { ssrc, ntp, rtp_timestamp, reports, .. }) => {
                    let received = ReceivedReport { ntp: NtpTime(ntp), rtp_timestamp, arrival: context.now };
                    self.take_sender_report(context, key, ssrc, received);
                    self.take_reports(context, key, reports);
                }
                Ok(RtcpPacket::ReceiverReport { reports, .. }) => {
                    self.take_reports(context, key, reports);
                }
                Ok(RtcpPacket::Nack { media_ssrc, lost, .. }) => {
                    self.retransmit(context, key, media_ssrc, lost)
                }
                Ok(RtcpPacket::Pli { media_ssrc, .. }) => self.keyframe_requested(context, key, media_ssrc),
                Ok(RtcpPacket::Fir { entries, .. }) => {
                    for (ssrc, _) in entries {
                        self.keyframe_requested(context, key, ssrc);
                    }
                }
                Ok(RtcpPacket::TransportFeedback { reference_time, arrivals, .. }) => {
                    self.take_arrivals(context, key, reference_time, arrivals);
                }
                Ok(RtcpPacket::Remb { bitrate, .. }) => {
                    let Some(participant) = self.participants.get_mut(key) else { return };
                    if participant.reports.take(context.now, 1) {
                        participant.pacing.estimator.remb(context.now, bitrate);
                    } else {
                        context.reject("rtcp", "report-rate");
                    }
                }
                // Names and goodbyes say nothing that signalling does not.
                Ok(_) => {}
                Err(error) => return context.reject("rtcp", error.code()),
            }
        }
        self.follow_estimate(context, key);
    }

    /// Keeps a publisher's sender report and hands it on to whoever gets the layer, unless another one was just now.
    fn take_sender_report(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        ssrc: u32,
        report: ReceivedReport,
    ) {
        let ours = wallclock(context);
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(stream) = participant.receiver.stream(ssrc).filter(|stream| !stream.is_rtx) else { return };
        let Some(track) = self.tracks.get_mut(stream.track) else { return };
        let Some(layer) = track.layers.get_mut(stream.layer) else { return };
        if layer.report.is_some_and(|last| report.arrival < last.arrival + SENDER_REPORT_PAUSE) {
            return; // no refusal: honest publishers are that quick too
        }
        participant.ntp_base.learn(ours, report.ntp);
        layer.report = Some(report);
        if let Some(stats) = &mut layer.stats {
            stats.sender_report(context.now, report.ntp.0);
        }
        for subscriber in track.subscribers.clone() {
            self.forward_report(
                context,
                stream.track,
                stream.layer,
                subscriber.participant,
                subscriber.down_track,
            );
        }
    }

    /// Sends one subscriber the clock of the layer it gets, as of now.
    pub(super) fn forward_report(
        &mut self,
        context: &mut Context<'_>,
        track: usize,
        layer: usize,
        key: usize,
        down_track: usize,
    ) {
        let Some(up_track) = self.tracks.get(track) else { return };
        let Some(up_layer) = up_track.layers.get(layer) else { return };
        let (Some(report), Some(codec)) = (up_layer.report, up_layer.codec) else { return };
        let Some(base) = self.participants.get(up_track.publisher).map(|publisher| publisher.ntp_base) else {
            return;
        };
        let (ntp, timestamp) = extrapolate(&report, codec.clock_rate(), context.now);
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(down) = participant.down_tracks.get_mut(down_track) else { return };
        let source = (layer, up_layer.generation);
        // What waits may still be of the source before, whose timestamps are others: its last packets must not be dated by
        // this one's report.
        let begins_at = down.forwarder.begins_at();
        if down.forwarder.current() != Some(source) || down.sent < begins_at {
            return;
        }
        down.forwarder.learn_report(report);
        let (Some(offset), Some(ntp)) = (down.forwarder.timestamp_offset(), base.translate(ntp)) else {
            return;
        };
        down.reported = begins_at;
        down.report_sent = Some((ntp.middle_32(), context.now));
        let sender = rtcp::SenderInfo {
            ssrc: down.ssrc,
            ntp: ntp.0,
            rtp_timestamp: timestamp.wrapping_add(offset),
            packets: down.packets,
            octets: down.octets,
        };
        let (ssrc, cname) = (down.ssrc, down.cname.clone());
        participant.links.sending_mut().enqueue_rtcp(|out| {
            rtcp::write_sender_report(&sender, &[], out);
            rtcp::write_sdes_cname(ssrc, &cname, out);
        });
        self.mark_dirty(key);
    }

    /// A subscriber reported when packets arrived.
    fn take_arrivals(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        reference_time: i32,
        arrivals: impl Iterator<Item = (u16, Option<i16>)>,
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let estimator = &mut participant.pacing.estimator;
        if let Err(error) = estimator.feedback(context.now, reference_time, arrivals) {
            context.reject("rtcp", error.code());
        }
        self.mark_dirty(key); // a probe may be due
    }

    /// Shares the estimate of a participant's line anew if it has changed.
    pub(super) fn follow_estimate(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.pacing.estimator.take_changed() {
            self.allocate(context, key);
        }
    }

    /// A subscriber reported how it gets these SSRCs; so it knows now which sections they belong to.
    fn take_reports(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        blocks: impl Iterator<Item = ReportBlock>,
    ) {
        let now = context.now;
        let Some(participant) = self.participants.get_mut(key) else { return };
        if !participant.reports.take(now, 1) {
            return context.reject("rtcp", "report-rate");
        }
        for block in blocks {
            if let Some(down) =
                participant.down_track_of(block.ssrc).and_then(|down| participant.down_tracks.get_mut(down))
            {
                down.confirmed = true;
                participant.quality.reported(now, &block, down.report_sent);
                let rtt = participant.quality.rtt();
                participant.pacing.estimator.receiver_report(now, block.fraction_lost, rtt);
            }
        }
    }

    /// Sends again what a subscriber misses, from the layer's store, over RTX. What is not there any more only a key frame
    /// can replace: it is asked for at once, while players would still wait for the packet.
    ///
    /// Without RTX nothing is sent again: the same sequence number sealed twice with another header would
    /// reuse an SRTP nonce.
    fn retransmit(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        ssrc: u32,
        lost: impl Iterator<Item = u16>,
    ) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(down_track) = participant.down_track_of(ssrc) else {
            return context.reject("rtcp", "unknown-ssrc");
        };
        let rtt = participant.quality.rtt().unwrap_or(ASSUMED_RTT);
        let mut is_broken = false;
        for sequence in lost {
            let Some(down) = participant.down_tracks.get_mut(down_track) else { return };
            let Some((outgoing, origin)) = down.forwarder.origin(sequence) else { continue };
            let layer = self.tracks.get(down.track).and_then(|track| track.layers.get(origin.layer));
            let Some(layer) = layer.filter(|layer| layer.generation == origin.generation) else { continue };
            if down.answered.is_recent(context.now, sequence, rtt) {
                continue;
            }
            let Some(stored) = layer.store.get(context.now, origin.sequence) else {
                // Too old, or lost before it came here and perhaps still to come.
                let is_gone = layer.store.is_gone(context.now, origin.sequence);
                is_broken |= is_gone && !down.forwarder.is_superseded(outgoing);
                continue;
            };
            if !down.has_rtx(stored.header.payload_type) {
                continue;
            }
            if !participant.retransmissions.take(context.now, 1) {
                return context.reject("rtcp", "nack-rate");
            }
            down.answered.note(context.now, sequence);
            let mapped = down.forwarder.again(outgoing, &origin, stored.header);
            let outgoing = Outgoing {
                down_track,
                layer: origin.layer,
                generation: origin.generation,
                sequence: origin.sequence,
                mapped,
                is_rtx: true,
            };
            participant.pacing.enqueue(context.now, outgoing, stored.payload.len(), Class::Retransmission);
        }
        self.mark_dirty(key);
        if is_broken {
            self.replace_picture(context, key, down_track, KeyframeLimit::need);
        }
    }

    fn keyframe_requested(&mut self, context: &mut Context<'_>, key: usize, ssrc: u32) {
        let found = self.participants.get(key).and_then(|participant| participant.down_track_of(ssrc));
        let Some(down_track) = found else { return context.reject("rtcp", "unknown-ssrc") };
        if self.replace_picture(context, key, down_track, KeyframeLimit::ask) == Some(Request::Refused) {
            context.reject("rtcp", "keyframe-rate");
        }
    }

    /// A subscriber cannot go on with the picture it has: the publisher is asked for a key frame, as often as one
    /// subscriber may. `None` if there is no picture to be replaced.
    fn replace_picture(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        down_track: usize,
        request: impl FnOnce(&mut KeyframeLimit, Instant) -> Request,
    ) -> Option<Request> {
        let participant = self.participants.get_mut(key)?;
        let down = participant.down_tracks.get_mut(down_track)?;
        down.target()?; // paused: it gets none, and one is asked for when it goes on
        let is_screen = self.tracks.get(down.track).is_some_and(UpTrack::is_screen);
        if is_screen && participant.pacing.holds_keyframe(down.keyframe) {
            return Some(Request::Underway); // a slide takes seconds on a narrow line
        }
        let request = request(&mut down.keyframe_limit, context.now);
        if request != Request::Followed {
            return Some(request);
        }
        let (track, current) = (down.track, down.forwarder.current());
        // The picture it has is broken: that layer is repaired; whoever has none waits for the target.
        match current {
            Some((layer, _)) => self.repair_layer(context, track, layer),
            None => self.want_keyframe(context, key, down_track),
        }
        Some(request)
    }

    /// Everything a publisher is told about what it sends.
    pub(super) fn send_feedback(&mut self, context: &mut Context<'_>, key: usize) {
        let now = context.now;
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.feedback_due.is_none_or(|due| due > now) {
            return;
        }
        participant.feedback_due = None;
        let sender_ssrc = participant.own_ssrc;
        let rtt = participant.quality.rtt().unwrap_or(ASSUMED_RTT);
        let Some(link) = participant.links.receiving_mut() else { return };
        let reports_due = participant.receiver.next_report.is_some_and(|due| due <= now);
        let mut blocks = Vec::new();
        let mut lost = Vec::new();
        let mut broken = Vec::new();
        let mut next = None;
        let mut media_ssrc = 0;
        for track in participant.published.iter().chain(&participant.backups).copied() {
            let Some(up_track) = self.tracks.get_mut(track) else { continue };
            let supports_pli = up_track.codecs.iter().any(|(_, codec)| codec.pli);
            for (index, layer) in up_track.layers.iter_mut().enumerate() {
                let Some(ssrc) = layer.ssrc else { continue };
                media_ssrc = ssrc;
                lost.clear();
                layer.nack.poll(now, rtt, &mut lost);
                for lost in lost.chunks(MAX_NACKED) {
                    link.enqueue_rtcp(|out| rtcp::write_nack(sender_ssrc, ssrc, lost, out));
                }
                if layer.nack.too_far_behind() {
                    broken.push((track, index));
                }
                if let Some(count) = layer.keyframes.poll(now) {
                    link.enqueue_rtcp(|out| {
                        if supports_pli {
                            rtcp::write_pli(sender_ssrc, ssrc, out);
                        } else {
                            rtcp::write_fir(sender_ssrc, ssrc, count, out);
                        }
                    });
                }
                if reports_due {
                    blocks.extend(layer.stats.as_mut().and_then(|stats| stats.report_block(now)));
                }
                next = earliest(next, layer.nack.next_deadline());
                next = earliest(next, layer.keyframes.next_timeout(now));
            }
        }
        if reports_due {
            participant.receiver.next_report = Some(now + REPORT_INTERVAL);
            for blocks in blocks.chunks(MAX_BLOCKS) {
                link.enqueue_rtcp(|out| rtcp::write_receiver_report(sender_ssrc, blocks, out));
            }
        }
        if participant.receiver.arrivals.next_deadline().is_some_and(|due| due <= now) {
            let mut arrivals = std::mem::take(&mut participant.receiver.arrivals);
            let mut more = true;
            while more {
                link.enqueue_rtcp(|out| more = arrivals.write_feedback(now, sender_ssrc, media_ssrc, out));
            }
            participant.receiver.arrivals = arrivals;
        }
        next = earliest(next, participant.receiver.arrivals.next_deadline());
        next = earliest(next, participant.receiver.next_report);
        participant.feedback_due = next.filter(|_| !participant.published.is_empty());
        for (track, layer) in broken {
            self.repair_layer(context, track, layer);
        }
    }
}

fn earliest(
    one: Option<std::time::Instant>,
    other: Option<std::time::Instant>,
) -> Option<std::time::Instant> {
    one.into_iter().chain(other).min()
}

/// Our wallclock: time since the core began. Only differences matter to receivers.
fn wallclock(context: &Context<'_>) -> NtpTime {
    NtpTime::from_unix(context.now.saturating_duration_since(context.epoch))
}
