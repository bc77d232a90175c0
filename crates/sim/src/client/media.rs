//! What a simulated client sends and receives over UDP: media and reports, sealed and opened with keys of its own.

use std::time::Duration;

use rtp::extension::ExtensionKind;
use sfu::peer::srtp::{SrtpError, SrtpSender};

use super::{Client, Connection, State};
use crate::publication::MediaPacket;
use crate::reception::Reception;
use crate::red;
use crate::stamp::Stamp;
use crate::wire::{self, Rtcp, Rtp, RtpHeader, read_rtcp};

/// Receiver reports go out this often.
pub(super) const REPORTS: Duration = Duration::from_millis(1000);

impl Client {
    /// A datagram arrived. Errors are violations.
    pub fn receive(
        &mut self,
        now: Duration,
        connection: Connection,
        mut datagram: Vec<u8>,
    ) -> Result<(), String> {
        if self.state == State::Gone {
            return Ok(());
        }
        let receiver = match (&mut self.pair, connection) {
            (Some(pair), Connection::Publisher) => &mut pair.receiver,
            _ => &mut self.receiver,
        };
        if datagram.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
            return match receiver.open_rtcp(&mut datagram) {
                Ok(opened) => {
                    let packets = read_rtcp(opened).ok_or("malformed RTCP")?;
                    packets.into_iter().for_each(|packet| self.feedback(now, packet));
                    Ok(())
                }
                Err(SrtpError::Replayed) => Ok(()), // the network doubled it
                Err(error) => Err(format!("RTCP: {error}")),
            };
        }
        let length = datagram.len() as u64;
        let opened = match receiver.open_rtp(&mut datagram) {
            Ok(opened) => opened,
            Err(SrtpError::Replayed) => return Ok(()),
            Err(error) => return Err(format!("RTP: {error}")),
        };
        let rtp = Rtp::read(opened).ok_or("malformed RTP")?;
        let (codec, is_rtx) = self.reads().meaning(rtp.payload_type).ok_or("unknown payload type")?;
        let transport = self.reads().id(ExtensionKind::TransportCc).and_then(|id| rtp.extension(id));
        if let Some([high, low]) = transport {
            self.reports.arrived(now, u16::from_be_bytes([*high, *low]));
        }
        let meter = &mut self.reports.meter;
        *match (codec.is_video(), is_rtx) {
            (false, _) => &mut meter.audio,
            (true, false) => &mut meter.video,
            (true, true) if rtp.payload.is_empty() => &mut meter.padding,
            (true, true) => &mut meter.repeated,
        } += length;
        if rtp.payload.is_empty() {
            // A probe of nothing but padding, or the number of a packet that is left out.
            let reception = self.receptions.get_mut(&rtp.ssrc).filter(|_| !is_rtx);
            return reception.map_or(Ok(()), |reception| reception.skip(now, rtp.sequence));
        }
        let (ssrc, sequence, payload) = if is_rtx {
            let (original, payload) = rtp.payload.split_first_chunk().ok_or("an empty retransmission")?;
            let Some(media) = self.pairs.get(&rtp.ssrc) else { return Ok(()) };
            (*media, u16::from_be_bytes(*original), payload)
        } else {
            (rtp.ssrc, rtp.sequence, rtp.payload)
        };
        if is_rtx && !self.receptions.contains_key(&ssrc) {
            return Ok(()); // unsubscribed meanwhile
        }
        if payload.is_empty() {
            let reception = self.receptions.get_mut(&ssrc);
            return reception.map_or(Ok(()), |reception| reception.skip(now, sequence));
        }
        let (copy, payload) = match self.reads().is_red(rtp.payload_type) {
            true => red::unwrap(payload).ok_or("malformed RED")?,
            false => (None, payload),
        };
        let (stamp, _) = Stamp::read(payload)?;
        if codec.is_video() && self.state == State::Joined && !self.announced.contains(&ssrc) {
            return Err(format!("a picture of source {ssrc} before the answer that announces it"));
        }
        let reception = self.receptions.entry(ssrc).or_insert_with(|| Reception::new(codec));
        if let Some(copy) = copy.filter(|_| reception.highest().is_some()) {
            // What a copy brings was sent with the packet before.
            reception.receive(now, sequence.wrapping_sub(1), Stamp::read(copy)?.0, false, true)?;
        }
        reception.receive(now, sequence, stamp, rtp.marker, is_rtx)
    }

    /// Sends RTCP that no browser would.
    pub fn send_rtcp(&mut self, mut rtcp: Vec<u8>) {
        seal_rtcp(&mut self.sender, Connection::Main, &mut self.datagrams, &mut rtcp);
    }

    fn feedback(&mut self, now: Duration, packet: Rtcp) {
        if let Rtcp::SenderReport { ssrc, ntp, .. } = &packet {
            self.reports.sender_report(now, *ssrc, *ntp);
        }
        match packet {
            Rtcp::ReceiverReport { blocks } | Rtcp::SenderReport { blocks, .. } => {
                for layer in self.publications.iter_mut().flat_map(|publication| &mut publication.layers) {
                    layer.confirmed |= blocks.iter().any(|block| block.ssrc == layer.ssrc);
                    layer.rtx_confirmed |= blocks.iter().any(|block| Some(block.ssrc) == layer.rtx_ssrc);
                }
            }
            Rtcp::Nack { media, lost } => {
                let packets: Vec<MediaPacket> = self
                    .publications
                    .iter_mut()
                    .flat_map(|publication| publication.retransmit(media, &lost))
                    .collect();
                for packet in packets {
                    self.seal(&packet);
                }
            }
            Rtcp::KeyframeRequest(media) => {
                for publication in &mut self.publications {
                    publication.request_keyframe(now, media);
                }
            }
            Rtcp::TransportFeedback { .. } | Rtcp::Names(_) | Rtcp::Other => {}
        }
    }

    /// Time passed: captures, reports, asks. Errors are violations.
    pub fn tick(&mut self, now: Duration) -> Result<(), String> {
        if matches!(self.state, State::Joining | State::Gone) {
            return Ok(());
        }
        let packets: Vec<MediaPacket> =
            self.publications.iter_mut().flat_map(|publication| publication.capture(now)).collect();
        for packet in packets {
            self.seal(&packet);
        }
        let mut rtcp = Vec::new();
        for publication in &mut self.publications {
            for (ssrc, timestamp, packets, octets) in publication.reports(now) {
                let ntp = self.ntp_epoch.wrapping_add(ntp_units(now));
                wire::write_sender_report(&mut rtcp, ssrc, ntp, timestamp, packets, octets);
            }
        }
        // Those are about what it publishes, all that follows about what it receives.
        if !rtcp.is_empty()
            && let Some(pair) = &mut self.pair
        {
            seal_rtcp(&mut pair.sender, Connection::Publisher, &mut self.datagrams, &mut rtcp);
        }
        if self.next_reports <= now {
            self.next_reports = now + REPORTS;
            let blocks = self.reports.blocks(now, &mut self.receptions);
            wire::write_receiver_reports(&mut rtcp, self.own_ssrc, &blocks);
        }
        let media = self.receptions.keys().next().copied().unwrap_or_default();
        for mut packet in self.reports.transport_feedback(now, self.own_ssrc, media) {
            seal_rtcp(&mut self.sender, Connection::Main, &mut self.datagrams, &mut packet);
        }
        for (ssrc, reception) in &mut self.receptions {
            let wants = reception.tick(now)?;
            if !wants.lost.is_empty() {
                wire::write_nack(&mut rtcp, self.own_ssrc, *ssrc, &wants.lost);
            }
            if wants.keyframe {
                self.firs = self.firs.wrapping_add(1);
                if self.rng.bool() {
                    wire::write_pli(&mut rtcp, self.own_ssrc, *ssrc);
                } else {
                    wire::write_fir(&mut rtcp, self.own_ssrc, *ssrc, self.firs);
                }
            }
            if rtcp.len() > 800 {
                seal_rtcp(&mut self.sender, Connection::Main, &mut self.datagrams, &mut rtcp);
            }
        }
        if !rtcp.is_empty() {
            seal_rtcp(&mut self.sender, Connection::Main, &mut self.datagrams, &mut rtcp);
        }
        Ok(())
    }

    fn seal(&mut self, packet: &MediaPacket) {
        let Some(types) = self.dialect.payload_type(packet.codec) else { return };
        let Some(mut payload_type) = (if packet.is_rtx { types.rtx } else { Some(types.media) }) else {
            return;
        };
        let wrapped =
            packet.is_red.then(|| self.redundancy.wrap(packet.ssrc, packet.timestamp, &packet.payload));
        if wrapped.is_some() {
            payload_type = red::RED;
        }
        let payload = wrapped.as_deref().unwrap_or(&packet.payload);
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        let transport = (ExtensionKind::TransportCc, self.transport_sequence.to_be_bytes().to_vec());
        let send_time = (ExtensionKind::AbsSendTime, vec![1, 2, 3]);
        let header = RtpHeader {
            marker: packet.marker,
            payload_type,
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            padding: packet.padding > 0,
            extensions: packet
                .extensions
                .iter()
                .chain([&transport, &send_time])
                .filter_map(|(kind, value)| Some((self.dialect.id(*kind)?, value.clone())))
                .collect(),
        }
        .bytes();
        let mut padding = vec![0; usize::from(packet.padding)];
        if let Some(last) = padding.last_mut() {
            *last = packet.padding;
        }
        let mut out = vec![0; 1500];
        let (sender, connection) = match &mut self.pair {
            Some(pair) => (&mut pair.sender, Connection::Publisher),
            None => (&mut self.sender, Connection::Main),
        };
        let length = sender.seal_rtp(&mut out, packet.sequence, &padding, payload, |out| {
            out.get_mut(..header.len()).ok_or(())?.copy_from_slice(&header);
            Ok::<_, ()>(header.len())
        });
        if let Ok(length) = length {
            out.truncate(length);
            self.datagrams.push((connection, out));
        }
    }
}

fn seal_rtcp(
    sender: &mut SrtpSender,
    connection: Connection,
    datagrams: &mut Vec<(Connection, Vec<u8>)>,
    rtcp: &mut Vec<u8>,
) {
    let mut out = vec![0; 1500];
    if let Ok(length) = sender.seal_rtcp(&mut out, rtcp) {
        out.truncate(length);
        datagrams.push((connection, out));
    }
    rtcp.clear();
}

/// A duration in units of 2⁻³² s.
fn ntp_units(duration: Duration) -> u64 {
    (duration.as_secs() << 32) | ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}
