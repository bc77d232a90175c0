//! A scripted participant: signalling as a LiveKit client in single-peer-connection mode speaks it (the
//! client is the only offerer), media sealed and opened with keys of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use protocol::ids::SessionId;
use protocol::livekit;
use rtp::extension::ExtensionKind;
use sfu::command::SessionCommand;
use sfu::event::SessionEvent;
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use sfu::peer::transport::SrtpProfile;

use crate::codec::Codec;
use crate::description::{
    Answered, Dialect, Medium, Published, Purpose, Section, check_answer, read_answer, write_offer,
};
use crate::feedback::Feedback;
use crate::network::{Conditions, Link};
use crate::publication::{MediaPacket, Publication, Recipe};
use crate::reception::Reception;
use crate::red::{self, Redundancy};
use crate::stamp::Stamp;
use crate::wire::{self, Rtcp, Rtp, RtpHeader, read_rtcp};

/// Receiver reports go out this often.
const REPORTS: Duration = Duration::from_millis(1000);

/// How a client joins.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// Network towards the server.
    pub up: Conditions,
    /// Network from the server.
    pub down: Conditions,
    /// Subscribe to everything.
    pub auto_subscribe: bool,
    /// What the token allows.
    pub permission: livekit::ParticipantPermission,
    /// Codecs the client has.
    pub codecs: Vec<Codec>,
    /// Whether it sends and reads redundant sound (RED), under libwebrtc's payload types.
    pub red: bool,
    /// Ids that need two-byte header extensions.
    pub two_byte: bool,
    /// Receive sections (sound, pictures) of the first offer.
    pub sections: (usize, usize),
    /// The first offer comes with the join request; otherwise after it, as Firefox does.
    pub offer_first: bool,
    /// How media is protected.
    pub profile: SrtpProfile,
    /// Where the client is; by default an address of its own.
    pub address: Option<SocketAddr>,
}

impl Default for JoinOptions {
    /// A browser with every codec and permission on a good network.
    fn default() -> Self {
        Self {
            up: Conditions::default(),
            down: Conditions::default(),
            auto_subscribe: true,
            permission: everything_allowed(),
            codecs: Codec::ALL.to_vec(),
            red: false,
            two_byte: false,
            sections: (3, 3),
            offer_first: true,
            profile: SrtpProfile::AeadAes256Gcm,
            address: None,
        }
    }
}

/// The permission of an ordinary participant.
pub fn everything_allowed() -> livekit::ParticipantPermission {
    livekit::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..Default::default()
    }
}

/// Something a client says, on its way to the core.
#[derive(Debug)]
pub struct Said {
    /// What.
    pub command: SessionCommand,
    /// Numbers of the publications that an offer carries.
    pub carries: Vec<u32>,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The join request is on its way.
    Joining,
    /// In the room.
    Joined,
    /// Signalling is lost, media goes on.
    Disconnected,
    /// As before, and the request to resume is on its way.
    Resuming,
    /// Out.
    Gone,
}

/// See the module's description.
pub struct Client {
    /// Index in the world.
    pub number: usize,
    /// Its signalling session.
    pub session: SessionId,
    /// Its room.
    pub room: String,
    /// Its identity.
    pub identity: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How far it is.
    pub state: State,
    /// Why the server ended the session.
    pub left: Option<livekit::DisconnectReason>,
    /// Ids and payload types.
    pub dialect: Dialect,
    /// Media sections of its next offer.
    pub sections: Vec<Section>,
    /// What it publishes.
    pub publications: Vec<Publication>,
    redundancy: Redundancy,
    /// What it receives, by source.
    pub receptions: BTreeMap<u32, Reception>,
    /// Source → (track id, media id) of the newest answer.
    pub declared: BTreeMap<u32, (String, String)>,
    /// Others in the room, by identity.
    pub roster: BTreeMap<String, livekit::ParticipantInfo>,
    /// Who speaks how loudly, by participant id.
    pub speakers: BTreeMap<String, f32>,
    /// Ids of tracks of which the server sends nothing for want of bandwidth.
    pub paused_streams: BTreeSet<String>,
    /// Refusals and permissions told to it.
    pub notices: Vec<SessionEvent>,
    /// Network towards the server.
    pub up: Link,
    /// Network from the server.
    pub down: Link,
    /// Waiting to be delivered to the core.
    pub said: Vec<Said>,
    /// Waiting to be sent.
    pub datagrams: Vec<Vec<u8>>,
    /// What it tells about what arrives.
    pub reports: Feedback,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    keys: SrtpKeys,
    pairs: BTreeMap<u32, u32>,
    /// The offer that waits for its answer: its id and sections.
    awaited: Option<(u32, Vec<Section>)>,
    offer_due: bool,
    offers: u32,
    own_ssrc: u32,
    ntp_epoch: u64,
    transport_sequence: u16,
    next_reports: Duration,
    firs: u8,
    rng: Rng,
}

impl Client {
    /// A client that has not said anything yet. `keys` are the core's half.
    pub fn new(
        number: usize,
        (room, identity): (&str, &str),
        options: &JoinOptions,
        keys: &SrtpKeys,
        mut rng: Rng,
    ) -> Result<Self, SrtpError> {
        let dialect = Dialect::random(&mut rng, &options.codecs, options.two_byte);
        let dialect = if options.red { dialect.with_red() } else { dialect };
        let port = 40_000 + u16::try_from(number).unwrap_or_default();
        let address = options.address.unwrap_or_else(|| SocketAddr::from(([192, 0, 2, 1], port)));
        let mine = keys.mirrored();
        let mut client = Self {
            number,
            session: SessionId(number as u64 + 1),
            room: room.to_owned(),
            identity: identity.to_owned(),
            address,
            state: State::Joining,
            left: None,
            dialect,
            sections: Vec::new(),
            publications: Vec::new(),
            redundancy: Redundancy::default(),
            receptions: BTreeMap::new(),
            declared: BTreeMap::new(),
            roster: BTreeMap::new(),
            speakers: BTreeMap::new(),
            paused_streams: BTreeSet::new(),
            notices: Vec::new(),
            up: Link::new(options.up, rng.fork()),
            down: Link::new(options.down, rng.fork()),
            said: Vec::new(),
            datagrams: Vec::new(),
            reports: Feedback::default(),
            sender: SrtpSender::new(options.profile, &mine.local)?,
            receiver: SrtpReceiver::new(options.profile, &mine.remote)?,
            keys: keys.clone(),
            pairs: BTreeMap::new(),
            awaited: None,
            offer_due: true,
            offers: 0,
            own_ssrc: rng.u32(1..),
            ntp_epoch: rng.u64(..),
            transport_sequence: rng.u16(..),
            next_reports: Duration::ZERO,
            firs: 0,
            rng,
        };
        client.add_receive_sections(options.sections.0, options.sections.1);
        client.add_section(Medium::Data, Purpose::Idle);
        Ok(client)
    }

    /// The core's half of the keys.
    pub fn keys(&self) -> &SrtpKeys {
        &self.keys
    }

    /// Randomness of this client.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The first offer, to go with the join request.
    pub fn first_offer(&mut self) -> livekit::SessionDescription {
        self.offer_due = false;
        self.write_offer()
    }

    /// Receive sections of a medium.
    pub fn receive_sections(&self, medium: Medium) -> usize {
        let receives = |section: &&Section| section.medium == medium && section.purpose == Purpose::Receive;
        self.sections.iter().filter(receives).count()
    }

    /// Announces a publication; its section follows, at once or when the announcement is answered.
    pub fn publish(&mut self, number: u32, recipe: Recipe) {
        let mut publication = Publication::new(number, recipe, self.rng.fork());
        let request = livekit::AddTrackRequest {
            cid: publication.cid.clone(),
            r#type: if recipe.codec.is_video() {
                livekit::TrackType::Video
            } else {
                livekit::TrackType::Audio
            }
            .into(),
            source: recipe.source.into(),
            width: recipe.encodings().last().map_or(0, |encoding| encoding.width),
            height: recipe.encodings().last().map_or(0, |encoding| encoding.height),
            layers: video_layers(&recipe),
            ..Default::default()
        };
        self.say(SessionCommand::AddTrack(Box::new(request)));
        if self.rng.bool() {
            self.offer_publication(&mut publication);
        }
        self.publications.push(publication);
    }

    /// Takes a publication back.
    pub fn unpublish(&mut self, number: u32) {
        self.publications.retain(|publication| publication.number != number);
        for section in &mut self.sections {
            if matches!(&section.purpose, Purpose::Publish(published) if published.number == number) {
                section.purpose = Purpose::Idle;
                self.offer_due = true;
            }
        }
        self.offer_if_due();
    }

    /// Goes on by another signalling connection. The answer to an offer may have been lost with the older one, so it
    /// offers anew.
    pub fn resume(&mut self, session: SessionId) {
        self.session = session;
        self.state = State::Resuming;
        self.awaited = None;
        self.offer_due = true;
    }

    /// Says something.
    pub fn say(&mut self, command: SessionCommand) {
        self.said.push(Said { command, carries: Vec::new() });
    }

    /// The publication with this number.
    pub fn publication(&mut self, number: u32) -> Option<&mut Publication> {
        self.publications.iter_mut().find(|publication| publication.number == number)
    }

    /// The server says something. Errors are violations.
    pub fn hear(&mut self, now: Duration, event: SessionEvent) -> Result<(), String> {
        match event {
            SessionEvent::Joined(joined) => {
                if self.state != State::Joining {
                    return Err("joined twice".to_owned());
                }
                self.state = State::Joined;
                self.next_reports = now + REPORTS / 3;
                for info in joined.others {
                    self.learn(info)?;
                }
            }
            SessionEvent::Reconnected(_) => {
                if self.state != State::Resuming {
                    return Err("resumed without having asked for it".to_owned());
                }
                self.state = State::Joined;
            }
            SessionEvent::Answer(answer) => self.answered(now, &answer)?,
            SessionEvent::MediaSectionsRequirement { audios, videos } => {
                self.add_receive_sections(audios as usize, videos as usize);
                self.offer_due = true;
            }
            SessionEvent::TrackPublished(published) => {
                let sid = published.track.map(|track| track.sid).unwrap_or_default();
                let position = self.publications.iter().position(|known| known.cid == published.cid);
                // It may have been taken back meanwhile.
                if let Some(position) = position {
                    let mut publication = self.publications.remove(position);
                    publication.sid = Some(sid);
                    if publication.mid.is_none() {
                        self.offer_publication(&mut publication);
                    }
                    self.publications.insert(position, publication);
                }
            }
            SessionEvent::ParticipantUpdate(infos) => {
                for info in infos {
                    self.learn(info)?;
                }
            }
            SessionEvent::SpeakersChanged(speakers) => {
                for speaker in speakers {
                    if speaker.active != (speaker.level > 0.0) {
                        return Err(format!("a speaker is active {} at {}", speaker.active, speaker.level));
                    }
                    self.speakers.insert(speaker.sid, speaker.level);
                }
            }
            SessionEvent::StreamStateUpdate(update) => {
                for stream in update.stream_states {
                    match stream.state() {
                        livekit::StreamState::Paused => self.paused_streams.insert(stream.track_sid),
                        livekit::StreamState::Active => self.paused_streams.remove(&stream.track_sid),
                    };
                }
            }
            SessionEvent::SubscribedQualityUpdate(update) => {
                let is_meant =
                    |publication: &&mut Publication| publication.sid.as_ref() == Some(&update.track_sid);
                let publication = self.publications.iter_mut().find(is_meant);
                publication.ok_or("qualities of somebody else's track")?.obey(&update);
            }
            SessionEvent::Leave(leave) => {
                self.state = State::Gone;
                self.left = Some(leave.reason());
            }
            other => self.notices.push(other),
        }
        self.offer_if_due();
        Ok(())
    }

    fn learn(&mut self, info: livekit::ParticipantInfo) -> Result<(), String> {
        if info.identity == self.identity {
            return Ok(());
        }
        if info.state() == livekit::participant_info::State::Disconnected {
            // A newer participant of that identity may be known already.
            if self.roster.get(&info.identity).is_some_and(|known| known.sid == info.sid) {
                self.roster.remove(&info.identity);
            }
            self.speakers.remove(&info.sid);
        } else {
            let known = self.roster.get(&info.identity).filter(|known| known.sid == info.sid);
            if known.is_some_and(|known| known.version > info.version) {
                return Err("a participant's version goes backwards".to_owned());
            }
            self.roster.insert(info.identity.clone(), info);
        }
        Ok(())
    }

    fn answered(&mut self, now: Duration, answer: &livekit::SessionDescription) -> Result<(), String> {
        let (id, offered) = self.awaited.take().ok_or("an answer to nothing")?;
        if answer.id != id {
            return Err(format!("offer {id} is answered as {}", answer.id));
        }
        let answered = read_answer(&answer.sdp)?;
        check_answer(&self.dialect, &offered, &answered)?;
        let before = std::mem::take(&mut self.declared);
        for (section, answered) in offered.iter().zip(&answered) {
            // Browsers send the first codec of an answer.
            let sends_red = answered.payload_types.first().is_some_and(|first| self.dialect.is_red(*first));
            if let Purpose::Publish(published) = &section.purpose
                && let Some(publication) = self.publication(published.number)
            {
                publication.sends_red = sends_red;
                publication.start(now);
            }
            self.declare(&before, answered, &answer.mid_to_track_id)?;
        }
        if answer.mid_to_track_id.len() != self.declared.len() {
            return Err(format!("sections {:?} of {:?}", answer.mid_to_track_id, self.declared));
        }
        let declared = &self.declared;
        self.receptions.retain(|ssrc, _| declared.contains_key(ssrc) || !before.contains_key(ssrc));
        Ok(())
    }

    fn declare(
        &mut self,
        before: &BTreeMap<u32, (String, String)>,
        answered: &Answered,
        names: &std::collections::HashMap<String, String>,
    ) -> Result<(), String> {
        let (Some(track), Some(ssrc)) = (answered.track.as_ref().filter(|_| answered.sends), answered.ssrc)
        else {
            return Ok(());
        };
        if names.get(&answered.mid) != Some(track) {
            return Err(format!(
                "section {} carries {track} or {:?}",
                answered.mid,
                names.get(&answered.mid)
            ));
        }
        let same_section = before.values().find(|(_, mid)| *mid == answered.mid);
        if let Some((other, _)) = same_section.filter(|(other, _)| other != track) {
            // Browsers tell of a track only when a section begins to send.
            return Err(format!("section {} changes from {other} to {track} in one answer", answered.mid));
        }
        self.declared.insert(ssrc, (track.clone(), answered.mid.clone()));
        if let Some(rtx) = answered.rtx_ssrc {
            self.pairs.insert(rtx, ssrc);
        }
        Ok(())
    }

    fn add_section(&mut self, medium: Medium, purpose: Purpose) -> String {
        let mid = self.sections.len().to_string();
        self.sections.push(Section { mid: mid.clone(), medium, purpose });
        mid
    }

    fn add_receive_sections(&mut self, audios: usize, videos: usize) {
        for _ in 0..audios {
            self.add_section(Medium::Audio, Purpose::Receive);
        }
        for _ in 0..videos {
            self.add_section(Medium::Video, Purpose::Receive);
        }
    }

    fn offer_publication(&mut self, publication: &mut Publication) {
        let recipe = publication.recipe;
        let medium = if recipe.codec.is_video() { Medium::Video } else { Medium::Audio };
        let purpose = Purpose::Publish(Published {
            number: publication.number,
            cid: publication.cid.clone(),
            codec: recipe.codec,
            rids: publication.layers.iter().filter_map(|layer| layer.rid).collect(),
            ssrc: publication
                .layers
                .first()
                .filter(|_| recipe.declared)
                .map(|layer| (layer.ssrc, layer.rtx_ssrc)),
        });
        let reuse = self.rng.bool();
        let idle = self
            .sections
            .iter_mut()
            .find(|section| reuse && section.medium == medium && section.purpose == Purpose::Idle);
        let mid = match idle {
            Some(section) => {
                section.purpose = purpose;
                section.mid.clone()
            }
            None => self.add_section(medium, purpose),
        };
        publication.mid = Some(mid);
        self.offer_due = true;
    }

    /// Offers when something changed and no other offer is under way.
    pub fn offer_if_due(&mut self) {
        if !self.offer_due || self.awaited.is_some() || self.state != State::Joined {
            return;
        }
        self.offer_due = false;
        let carries = self.carries();
        let offer = self.write_offer();
        self.said.push(Said { command: SessionCommand::Offer(offer), carries });
    }

    /// Numbers of the publications that an offer of now carries.
    pub fn carries(&self) -> Vec<u32> {
        let number = |section: &Section| match &section.purpose {
            Purpose::Publish(published) => Some(published.number),
            Purpose::Receive | Purpose::Idle => None,
        };
        self.sections.iter().filter_map(number).collect()
    }

    fn write_offer(&mut self) -> livekit::SessionDescription {
        self.offers += 1;
        self.awaited = Some((self.offers, self.sections.clone()));
        livekit::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: write_offer(&self.dialect, &self.sections, self.offers),
            id: self.offers,
            mid_to_track_id: Default::default(),
        }
    }

    /// A datagram arrived. Errors are violations.
    pub fn receive(&mut self, now: Duration, mut datagram: Vec<u8>) -> Result<(), String> {
        if self.state == State::Gone {
            return Ok(());
        }
        if datagram.get(1).is_some_and(|kind| (192..=223).contains(kind)) {
            return match self.receiver.open_rtcp(&mut datagram) {
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
        let opened = match self.receiver.open_rtp(&mut datagram) {
            Ok(opened) => opened,
            Err(SrtpError::Replayed) => return Ok(()),
            Err(error) => return Err(format!("RTP: {error}")),
        };
        let rtp = Rtp::read(opened).ok_or("malformed RTP")?;
        let (codec, is_rtx) = self.dialect.meaning(rtp.payload_type).ok_or("unknown payload type")?;
        let transport = self.dialect.id(ExtensionKind::TransportCc).and_then(|id| rtp.extension(id));
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
        let (copy, payload) = match self.dialect.is_red(rtp.payload_type) {
            true => red::unwrap(payload).ok_or("malformed RED")?,
            false => (None, payload),
        };
        let (stamp, _) = Stamp::read(payload)?;
        let reception = self.receptions.entry(ssrc).or_insert_with(|| Reception::new(codec));
        if let Some(copy) = copy.filter(|_| reception.highest().is_some()) {
            // What a copy brings was sent with the packet before.
            reception.receive(now, sequence.wrapping_sub(1), Stamp::read(copy)?.0, false, true)?;
        }
        reception.receive(now, sequence, stamp, rtp.marker, is_rtx)
    }

    /// Sends RTCP that no browser would.
    pub fn send_rtcp(&mut self, mut rtcp: Vec<u8>) {
        seal_rtcp(&mut self.sender, &mut self.datagrams, &mut rtcp);
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
        if self.next_reports <= now {
            self.next_reports = now + REPORTS;
            let blocks = self.reports.blocks(now, &mut self.receptions);
            wire::write_receiver_reports(&mut rtcp, self.own_ssrc, &blocks);
        }
        let media = self.receptions.keys().next().copied().unwrap_or_default();
        for mut packet in self.reports.transport_feedback(now, self.own_ssrc, media) {
            seal_rtcp(&mut self.sender, &mut self.datagrams, &mut packet);
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
                seal_rtcp(&mut self.sender, &mut self.datagrams, &mut rtcp);
            }
        }
        if !rtcp.is_empty() {
            seal_rtcp(&mut self.sender, &mut self.datagrams, &mut rtcp);
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
        let length = self.sender.seal_rtp(&mut out, packet.sequence, &padding, payload, |out| {
            out.get_mut(..header.len()).ok_or(())?.copy_from_slice(&header);
            Ok::<_, ()>(header.len())
        });
        if let Ok(length) = length {
            out.truncate(length);
            self.datagrams.push(out);
        }
    }
}

/// Layers as an announcement describes them, for publications of real size.
fn video_layers(recipe: &Recipe) -> Vec<livekit::VideoLayer> {
    let qualities = [livekit::VideoQuality::Low, livekit::VideoQuality::Medium, livekit::VideoQuality::High];
    if recipe.codec.spatial_layers() > 1 {
        let sizes = [(320, 180), (640, 360), (1280, 720)];
        let layer = |(quality, (width, height)): (livekit::VideoQuality, (u32, u32))| livekit::VideoLayer {
            quality: quality.into(),
            width,
            height,
            ..Default::default()
        };
        return qualities.into_iter().zip(sizes).map(layer).collect();
    }
    let encodings = recipe.encodings().iter().filter(|encoding| encoding.width > 0);
    let count = encodings.clone().count();
    encodings
        .zip(qualities.into_iter().skip(qualities.len() - count))
        .map(|(encoding, quality)| livekit::VideoLayer {
            quality: quality.into(),
            width: encoding.width,
            height: encoding.height,
            bitrate: encoding.bitrate as u32,
            ..Default::default()
        })
        .collect()
}

fn seal_rtcp(sender: &mut SrtpSender, datagrams: &mut Vec<Vec<u8>>, rtcp: &mut Vec<u8>) {
    let mut out = vec![0; 1500];
    if let Ok(length) = sender.seal_rtcp(&mut out, rtcp) {
        out.truncate(length);
        datagrams.push(out);
    }
    rtcp.clear();
}

/// A duration in units of 2⁻³² s.
fn ntp_units(duration: Duration) -> u64 {
    (duration.as_secs() << 32) | ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}
