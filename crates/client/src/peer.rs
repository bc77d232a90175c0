//! The media transport: one `str0m` instance in RTP mode and its UDP sockets, one per local address.
//!
//! Invariant: after each change to the instance everything it has to say is drained before the next one.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec as RtcCodec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, SeqNo, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::error::ClientError;
use crate::media::{Codec, Kind, Payload};
use crate::negotiation::Change;
use crate::options::Options;
use crate::sdp;

/// SCTP messages up to this size are sent and taken, as browsers do (RFC 8841 section 6).
const MAX_DATA_MESSAGE: u32 = 262_144;

/// Socket buffers that hold bursts of key frames from many tracks.
const SOCKET_BUFFER: usize = 2 << 20;

/// Datagrams taken from the sockets before anything else gets its turn.
pub(crate) const RECEIVE_BATCH: usize = 64;

/// Turns of the instance's clock at one moment; more means that it does not settle.
const MAX_TURNS: usize = 1000;

/// An offer that waits for its answer, and the sections it adds for tracks.
pub(crate) struct PendingOffer {
    pending: SdpPendingOffer,
    /// Client-side id and section of each track that the offer adds.
    pub(crate) sends: Vec<(String, Mid)>,
}

/// Counts of what goes over the sockets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) unknown: u64,
    pub(crate) send_errors: u64,
}

pub(crate) struct Peer {
    rtc: Rtc,
    sockets: Vec<(SocketAddr, UdpSocket)>,
    buffer: Box<[u8; 2048]>,
    events: VecDeque<Event>,
    timeout: Instant,
    /// Where the last datagram went: the path in use.
    path: Option<(SocketAddr, SocketAddr)>,
    /// Channels by label; taken into the first offer.
    channels: Vec<(&'static str, ChannelId)>,
    /// Candidates that came before the first answer.
    early_candidates: Vec<Candidate>,
    /// Sections for tracks of others.
    receiving: Vec<Mid>,
    answered: bool,
    /// Section of each SSRC, for packets that no longer say it.
    sections: HashMap<Ssrc, Mid>,
    pub(crate) cut: bool,
    pub(crate) traffic: Traffic,
}

impl Peer {
    /// Opens sockets and prepares an instance.
    ///
    /// # Errors
    /// [`ClientError::Socket`] if there is no address to bind to.
    pub(crate) fn new(options: &Options, now: Instant) -> Result<Self, ClientError> {
        let mut config = RtcConfig::new()
            .set_rtp_mode(true)
            .clear_codecs()
            .set_sctp_max_message_size(MAX_DATA_MESSAGE)
            .set_sctp_max_buffered_amount(4 << 20)
            .set_send_buffer_video(1000)
            .enable_bwe(options.bandwidth_estimation.map(Bitrate::bps));
        for codec in &options.codecs {
            config = match codec {
                Codec::Opus => config.enable_opus(true, false),
                Codec::Vp8 => config.enable_vp8(true),
                Codec::Vp9 => config.enable_vp9(true),
                Codec::H264 => config.enable_h264(true),
                Codec::Av1 => config.enable_av1(true),
            };
        }
        let mut peer = Self {
            rtc: config.build(now),
            sockets: bind(&options.addresses)?,
            buffer: Box::new([0; 2048]),
            events: VecDeque::new(),
            timeout: now,
            path: None,
            channels: Vec::new(),
            early_candidates: Vec::new(),
            receiving: Vec::new(),
            answered: false,
            sections: HashMap::new(),
            cut: false,
            traffic: Traffic::default(),
        };
        for (address, _) in &peer.sockets {
            if let Ok(candidate) = Candidate::host(*address, "udp") {
                peer.rtc.add_local_candidate(candidate);
            }
        }
        peer.drain(now)?;
        Ok(peer)
    }

    /// Makes an offer of `changes`; the first one also opens the data channels. `None` if nothing changes.
    pub(crate) fn offer(
        &mut self,
        changes: &[Change],
        now: Instant,
    ) -> Result<Option<(String, PendingOffer)>, ClientError> {
        let (mut sends, mut renew) = (Vec::new(), false);
        let mut api = self.rtc.sdp_api();
        // An answer leaves free sections inactive; they are offered again, or the server could not use them.
        for mid in &self.receiving {
            api.set_direction(*mid, Direction::RecvOnly);
        }
        for change in changes {
            match change {
                Change::Receive(kind) => {
                    self.receiving.push(api.add_media(
                        media_kind(*kind),
                        Direction::RecvOnly,
                        None,
                        None,
                        None,
                    ));
                }
                Change::Send { cid, kind, rids } => {
                    let simulcast = (!rids.is_empty()).then(|| {
                        let mut simulcast = Simulcast::new();
                        for rid in rids {
                            simulcast.add_send_layer(SimulcastLayer::new(rid));
                        }
                        simulcast
                    });
                    let mid = api.add_media(
                        media_kind(*kind),
                        Direction::SendOnly,
                        Some(cid.clone()),
                        Some(cid.clone()),
                        simulcast,
                    );
                    sends.push((cid.clone(), mid));
                }
                Change::Stop { mid } => api.set_direction(Mid::from(mid.as_str()), Direction::Inactive),
                Change::IceRestart => {
                    api.ice_restart(true);
                }
                Change::Renew => renew = true,
            }
        }
        if let (true, false, Some(mid)) = (renew, api.has_changes(), self.receiving.first()) {
            // The instance makes an offer only for changes: there and back again is one.
            api.set_direction(*mid, Direction::SendRecv);
            api.set_direction(*mid, Direction::RecvOnly);
        }
        if self.channels.is_empty() {
            let lossy = ChannelConfig {
                label: LOSSY.into(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..ChannelConfig::default()
            };
            let reliable =
                ChannelConfig { label: RELIABLE.into(), ordered: true, ..ChannelConfig::default() };
            self.channels = vec![
                (LOSSY, api.add_channel_with_config(lossy)),
                (RELIABLE, api.add_channel_with_config(reliable)),
            ];
        }
        let offer =
            api.apply().map(|(offer, pending)| (offer.to_sdp_string(), PendingOffer { pending, sends }));
        self.drain(now)?;
        Ok(offer)
    }

    /// Takes the answer to an offer.
    pub(crate) fn accept(
        &mut self,
        offer: PendingOffer,
        answer: &str,
        now: Instant,
    ) -> Result<(), ClientError> {
        let answer = SdpAnswer::from_sdp_string(&sdp::without_mdns(answer))
            .map_err(|error| ClientError::Protocol(format!("answer: {error}")))?;
        self.rtc
            .sdp_api()
            .accept_answer(offer.pending, answer)
            .map_err(|error| ClientError::Protocol(format!("answer: {error}")))?;
        self.drain(now)?;
        self.answered = true;
        self.sections.clear();
        for candidate in std::mem::take(&mut self.early_candidates) {
            self.add_remote_candidate(candidate, now)?;
        }
        Ok(())
    }

    /// Takes a trickled candidate in the form of an SDP attribute value; `false` if it is of no use.
    pub(crate) fn trickle(&mut self, candidate: &str, now: Instant) -> Result<bool, ClientError> {
        let candidate = candidate.trim_start_matches("a=");
        if candidate.is_empty() || sdp::is_mdns(candidate) {
            return Ok(false);
        }
        match Candidate::from_sdp_string(candidate) {
            Ok(candidate) if self.answered => self.add_remote_candidate(candidate, now).map(|()| true),
            Ok(candidate) => {
                if self.early_candidates.len() < 64 {
                    self.early_candidates.push(candidate);
                }
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn add_remote_candidate(&mut self, candidate: Candidate, now: Instant) -> Result<(), ClientError> {
        self.rtc.add_remote_candidate(candidate);
        self.drain(now)
    }

    /// The payload type that a section takes a codec with; H.264 in packetization mode 1 only.
    pub(crate) fn payload_type(&self, mid: Mid, codec: Codec) -> Option<Pt> {
        let accepted = self.rtc.media(mid)?.remote_pts();
        self.rtc
            .codec_config()
            .params()
            .iter()
            .filter(|params| params.spec().codec == rtc_codec(codec) && accepted.contains(&params.pt()))
            .find(|params| codec != Codec::H264 || params.spec().format.packetization_mode == Some(1))
            .map(str0m::format::PayloadParams::pt)
    }

    /// The codec of a payload type.
    pub(crate) fn codec(&self, pt: Pt) -> Option<Codec> {
        let params = self.rtc.codec_config().params().iter().find(|params| params.pt() == pt)?;
        match params.spec().codec {
            RtcCodec::Opus => Some(Codec::Opus),
            RtcCodec::Vp8 => Some(Codec::Vp8),
            RtcCodec::Vp9 => Some(Codec::Vp9),
            RtcCodec::H264 => Some(Codec::H264),
            RtcCodec::Av1 => Some(Codec::Av1),
            _ => None,
        }
    }

    /// The section that a packet belongs to.
    pub(crate) fn section_of(&mut self, packet: &RtpPacket) -> Option<Mid> {
        let ssrc = packet.header.ssrc;
        if let Some(mid) = packet.header.ext_vals.mid {
            self.sections.insert(ssrc, mid);
            return Some(mid);
        }
        if let Some(mid) = self.sections.get(&ssrc) {
            return Some(*mid);
        }
        let mid = self.rtc.direct_api().stream_rx(&ssrc)?.mid();
        self.sections.insert(ssrc, mid);
        Some(mid)
    }

    /// Audio or video.
    pub(crate) fn kind(&self, mid: Mid) -> Option<Kind> {
        self.rtc.media(mid).map(|media| match media.kind() {
            MediaKind::Audio => Kind::Audio,
            MediaKind::Video => Kind::Video,
        })
    }

    /// Sends the packets of one frame; `false` if the layer is not one that the server takes.
    pub(crate) fn send_frame(&mut self, frame: OutgoingFrame, now: Instant) -> Result<bool, ClientError> {
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(frame.mid, frame.rid) else { return Ok(false) };
        for (sequence, payload) in (frame.first_sequence..).zip(frame.payloads) {
            let extensions = ExtensionValues {
                audio_level: frame.audio_level,
                voice_activity: frame.audio_level.map(|level| level > -60),
                ..ExtensionValues::default()
            };
            stream.write_rtp(
                RtpWrite::new(
                    frame.pt,
                    SeqNo::from(sequence),
                    frame.timestamp,
                    frame.sampled_at,
                    payload.bytes,
                )
                .marker(payload.marker)
                .ext_vals(extensions)
                .nackable(true),
            );
        }
        self.drain(now)?;
        Ok(true)
    }

    /// Asks the server for a key frame in a section (PLI).
    pub(crate) fn request_key_frame(&mut self, mid: Mid, now: Instant) -> Result<(), ClientError> {
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.drain(now)
    }

    /// Writes to a data channel; `false` if it is not open or its buffer is full.
    pub(crate) fn send_data(&mut self, label: &str, bytes: &[u8], now: Instant) -> Result<bool, ClientError> {
        let Some((_, id)) = self.channels.iter().find(|(known, _)| *known == label) else { return Ok(false) };
        let Some(mut channel) = self.rtc.channel(*id) else { return Ok(false) };
        let sent = channel.write(true, bytes).map_err(|error| ClientError::Rtc(error.to_string()))?;
        self.drain(now)?;
        Ok(sent)
    }

    /// The label of one of our channels.
    pub(crate) fn label(&self, id: ChannelId) -> Option<&'static str> {
        self.channels.iter().find(|(_, known)| *known == id).map(|(label, _)| *label)
    }

    /// When [`Self::turn`] has to be called next.
    pub(crate) fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Lets the instance's clock go on.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<(), ClientError> {
        self.input(Input::Timeout(now))?;
        self.drain(now)
    }

    /// What happened since the last call.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Waits until a datagram can be read. Cancel-safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            for (_, socket) in &self.sockets {
                if let Poll::Ready(result) = socket.poll_recv_ready(context) {
                    return Poll::Ready(result);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes up to [`RECEIVE_BATCH`] datagrams in.
    pub(crate) fn receive(&mut self, now: Instant) -> Result<(), ClientError> {
        let mut taken = 0;
        for index in 0..self.sockets.len() {
            while taken < RECEIVE_BATCH {
                let Some((destination, socket)) = self.sockets.get(index) else { break };
                let mut buffer = ReadBuf::new(&mut self.buffer[..]);
                // Errors are those of earlier sends (ICMP) and say nothing about this socket.
                let Ok(source) = socket.try_recv_buf_from(&mut buffer).map(|(_, source)| source) else {
                    break;
                };
                taken += 1;
                if self.cut {
                    continue;
                }
                self.traffic.received += 1;
                let length = buffer.filled().len();
                let Ok(contents) = self.buffer[..length].try_into() else {
                    self.traffic.unknown += 1;
                    continue;
                };
                let receive = Receive { proto: Protocol::Udp, source, destination: *destination, contents };
                self.rtc
                    .handle_input(Input::Receive(now, receive))
                    .map_err(|error| ClientError::Rtc(error.to_string()))?;
                self.drain(now)?;
            }
        }
        Ok(())
    }

    /// Sends raw bytes where media goes.
    pub(crate) fn send_datagram(&mut self, bytes: &[u8]) {
        if let Some((source, destination)) = self.path {
            self.transmit(source, destination, bytes);
        }
    }

    /// Says goodbye to the server (RTCP BYE, DTLS close_notify).
    pub(crate) fn close(&mut self, now: Instant) -> Result<(), ClientError> {
        self.rtc.close().map_err(|error| ClientError::Rtc(error.to_string()))?;
        self.drain(now)
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), ClientError> {
        self.rtc.handle_input(input).map_err(|error| ClientError::Rtc(error.to_string()))
    }

    fn drain(&mut self, now: Instant) -> Result<(), ClientError> {
        for _ in 0..MAX_TURNS {
            loop {
                match self.rtc.poll_output().map_err(|error| ClientError::Rtc(error.to_string()))? {
                    Output::Timeout(at) => {
                        self.timeout = at;
                        break;
                    }
                    Output::Transmit(transmit) => {
                        self.transmit(transmit.source, transmit.destination, &transmit.contents);
                    }
                    Output::Event(event) => self.events.push_back(event),
                }
            }
            if self.timeout > now || !self.rtc.is_alive() {
                return Ok(());
            }
            self.input(Input::Timeout(now))?;
        }
        self.timeout = now + Duration::from_millis(1);
        Ok(())
    }

    fn transmit(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        if self.cut {
            return;
        }
        self.path = Some((source, destination));
        let sent = self
            .sockets
            .iter()
            .find(|(address, _)| *address == source)
            .is_some_and(|(_, socket)| socket.try_send_to(bytes, destination).is_ok());
        // Such as an unreachable network for one of many candidate pairs.
        self.traffic.send_errors += u64::from(!sent);
    }
}

/// Label of the unordered channel without retransmission.
pub(crate) const LOSSY: &str = "_lossy";
/// Label of the ordered, reliable channel.
pub(crate) const RELIABLE: &str = "_reliable";

/// One frame on its way out.
pub(crate) struct OutgoingFrame {
    pub(crate) mid: Mid,
    pub(crate) rid: Option<Rid>,
    pub(crate) pt: Pt,
    pub(crate) first_sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) sampled_at: Instant,
    pub(crate) audio_level: Option<i8>,
    pub(crate) payloads: Vec<Payload>,
}

fn media_kind(kind: Kind) -> MediaKind {
    match kind {
        Kind::Audio => MediaKind::Audio,
        Kind::Video => MediaKind::Video,
    }
}

fn rtc_codec(codec: Codec) -> RtcCodec {
    match codec {
        Codec::Opus => RtcCodec::Opus,
        Codec::Vp8 => RtcCodec::Vp8,
        Codec::Vp9 => RtcCodec::Vp9,
        Codec::H264 => RtcCodec::H264,
        Codec::Av1 => RtcCodec::Av1,
    }
}

/// One socket for each address, all of which get a port of their own. Addresses that cannot be bound are left
/// out unless none can.
fn bind(wanted: &[IpAddr]) -> Result<Vec<(SocketAddr, UdpSocket)>, ClientError> {
    let addresses = if wanted.is_empty() { local_addresses()? } else { wanted.to_vec() };
    let mut sockets = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "no local address");
    for address in addresses {
        let socket = std::net::UdpSocket::bind((address, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            let options = socket2::SockRef::from(&socket);
            // The system may allow less.
            let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
            let _ = options.set_send_buffer_size(SOCKET_BUFFER);
            Ok((socket.local_addr()?, UdpSocket::from_std(socket)?))
        });
        match socket {
            Ok(socket) => sockets.push(socket),
            Err(error) => failure = error,
        }
    }
    if sockets.is_empty() { Err(failure.into()) } else { Ok(sockets) }
}

/// Addresses of all interfaces; link-local ones are left out because they need a scope.
fn local_addresses() -> Result<Vec<IpAddr>, ClientError> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use str0m::change::SdpOffer;

    use super::*;

    /// A peer on loopback and what stands for the server, which answers but sends and takes nothing.
    fn pair() -> (Peer, Rtc, Instant) {
        let now = Instant::now();
        let options = Options { addresses: vec![IpAddr::from([127, 0, 0, 1])], ..Options::default() };
        (Peer::new(&options, now).unwrap(), Rtc::new(now), now)
    }

    fn exchange(peer: &mut Peer, server: &mut Rtc, changes: &[Change], now: Instant) -> String {
        let (offer, pending) = peer.offer(changes, now).unwrap().expect("an offer");
        let parsed = SdpOffer::from_sdp_string(&offer).unwrap();
        // A server without tracks leaves the sections for them inactive.
        let answer = server.sdp_api().accept_offer(parsed).unwrap().to_sdp_string();
        let answer = answer.replace("a=sendonly", "a=inactive");
        // One mDNS candidate must not spoil the answer.
        let answer =
            answer.replacen("a=mid:", "a=candidate:1 1 udp 2113937151 6f1c.local 5000 typ host\r\na=mid:", 1);
        peer.accept(pending, &answer, now).unwrap();
        offer
    }

    fn count(sdp: &str, line: &str) -> usize {
        sdp.lines().filter(|other| *other == line).count()
    }

    #[tokio::test]
    async fn free_sections_are_offered_again_after_an_answer_left_them_inactive() {
        let (mut peer, mut server, now) = pair();
        let changes = [Change::Receive(Kind::Audio), Change::Receive(Kind::Video)];
        let first = exchange(&mut peer, &mut server, &changes, now);
        assert_eq!(count(&first, "a=recvonly"), 2);
        assert!(first.contains("m=application"));
        for _ in 0..3 {
            let again = exchange(&mut peer, &mut server, &[Change::Renew], now);
            assert_eq!((count(&again, "a=recvonly"), count(&again, "a=inactive")), (2, 0));
            assert_eq!(sdp::sections(&again).len(), 3);
        }
    }

    #[tokio::test]
    async fn a_published_track_gets_a_section_with_its_id_and_its_layers() {
        let (mut peer, mut server, now) = pair();
        exchange(&mut peer, &mut server, &[Change::Receive(Kind::Video)], now);
        let send = Change::Send { cid: "TRC1".into(), kind: Kind::Video, rids: vec!["q", "h", "f"] };
        let offer = exchange(&mut peer, &mut server, &[send], now);
        let sections = sdp::sections(&offer);
        let (mid, section) = sections
            .iter()
            .find(|(_, section)| section.msid.as_ref().is_some_and(|(_, track)| track == "TRC1"))
            .expect("a section with the track's id");
        assert!(section.sending && !section.receiving);
        assert!(offer.contains("a=simulcast:send q;h;f"));
        let mid = Mid::from(mid.as_str());
        assert!(peer.payload_type(mid, Codec::Vp8).is_some());
        assert!(peer.payload_type(mid, Codec::Opus).is_none());
        let stopped = exchange(&mut peer, &mut server, &[Change::Stop { mid: mid.to_string() }], now);
        assert!(!sdp::sections(&stopped)[&mid.to_string()].sending);
    }

    #[tokio::test]
    async fn candidates_of_no_use_are_refused_and_the_rest_waits_for_the_answer() {
        let (mut peer, _, now) = pair();
        for bad in ["", "nonsense", "candidate:1 1 udp 2113937151 6f1c.local 5000 typ host"] {
            assert!(!peer.trickle(bad, now).unwrap(), "{bad}");
        }
        assert!(peer.trickle("candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host", now).unwrap());
        assert_eq!(peer.early_candidates.len(), 1);
    }
}
