//! The task behind a [`crate::Client`]: it alone touches signalling, transport and sources.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::livekit::{self, leave_request::Action, signal_request, signal_response};
use protocol::prost::Message as _;
use serde::Deserialize;
use str0m::IceConnectionState;
use str0m::media::Mid;
use str0m::rtp::RtpPacket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_tungstenite::tungstenite::Message as WsMessage;

use crate::error::ClientError;
use crate::join::ServerAddress;
use crate::media::MediaSource;
use crate::negotiation::{Change, Kind, Negotiation};
use crate::options::{Misbehaviour, Options, PublishOptions, TappedPacket, TokenPlace};
use crate::peer::{LOSSY, Peer, PendingOffer, RELIABLE};
use crate::publication::Publication;
use crate::receive::Arrival;
use crate::sdp;
use crate::signal::{Incoming, Signal};
use crate::state::{
    CloseCause, Connection, Event, MediaConnection, Published, ReceivedData, Shared, Subscribed,
};

/// Data packets that may wait for their channel.
const MAX_WAITING_DATA: usize = 1024;

/// Time between two requests for a first key frame.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(500);

/// Longest sleep; the loop also looks at deadlines of publications then.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// Sections that a server may ask for in one message, and in all.
const MAX_SECTIONS: u64 = 2000;

pub(crate) enum Command {
    Publish {
        source: Box<dyn MediaSource>,
        options: PublishOptions,
        reply: oneshot::Sender<Result<String, ClientError>>,
    },
    Unpublish {
        sid: String,
        reply: oneshot::Sender<Result<(), ClientError>>,
    },
    Mute {
        sid: String,
        muted: bool,
        reply: oneshot::Sender<Result<(), ClientError>>,
    },
    RequestKeyFrame {
        sid: String,
        reply: oneshot::Sender<Result<(), ClientError>>,
    },
    Data {
        reliable: bool,
        packet: Box<livekit::DataPacket>,
        reply: oneshot::Sender<Result<(), ClientError>>,
    },
    Signal(Box<signal_request::Message>),
    IceRestart,
    Misbehave(Misbehaviour),
    Leave(oneshot::Sender<()>),
}

struct WaitingData {
    label: &'static str,
    bytes: Vec<u8>,
    reply: Option<oneshot::Sender<Result<(), ClientError>>>,
}

struct Pings {
    interval: Duration,
    timeout: Duration,
    next: Instant,
    last_pong: Instant,
    rtt: Duration,
}

pub(crate) struct Driver {
    options: Options,
    shared: Arc<Shared>,
    signal: Signal,
    peer: Peer,
    negotiation: Negotiation<PendingOffer>,
    commands: mpsc::Receiver<Command>,
    publications: Vec<Publication>,
    /// Which track each section carries.
    tracks_by_mid: BTreeMap<Mid, String>,
    /// When a key frame was asked for last.
    key_frame_requests: HashMap<Mid, Instant>,
    data: VecDeque<WaitingData>,
    reliable_sequence: u32,
    pings: Option<Pings>,
    reading: bool,
    /// The state changed since the last notification.
    dirty: bool,
}

/// How a turn of the loop ended the connection.
struct End {
    cause: CloseCause,
    polite: bool,
    reply: Option<oneshot::Sender<()>>,
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self { cause: CloseCause::Rtc(error.to_string()), polite: true, reply: None }
    }
}

fn end(cause: CloseCause, polite: bool) -> End {
    End { cause, polite, reply: None }
}

impl Driver {
    /// Connects and waits for `join`.
    pub(crate) async fn join(
        url: &str,
        token: &str,
        options: Options,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, ClientError> {
        let started = Instant::now();
        shared.lock().milestones.started = Some(started);
        let address = ServerAddress::parse(url)?;
        let mut peer = Peer::new(&options, started)?;
        let mut negotiation = Negotiation::new();
        let (audio, video) = options.receive_sections;
        let sections: Vec<Change> = std::iter::repeat_n(Change::Receive(Kind::Audio), audio)
            .chain(std::iter::repeat_n(Change::Receive(Kind::Video), video))
            .collect();
        let (sdp, pending) = peer
            .offer(&sections, started)?
            .ok_or_else(|| ClientError::Rtc("the first offer is empty".into()))?;
        let offer = livekit::SessionDescription {
            r#type: "offer".into(),
            sdp,
            id: negotiation.offered(pending),
            ..livekit::SessionDescription::default()
        };
        shared.lock().counters.offers += 1;
        let request = livekit::JoinRequest {
            client_info: Some(livekit::ClientInfo {
                sdk: options.sdk,
                version: options.version.clone(),
                protocol: options.protocol,
                os: std::env::consts::OS.into(),
                ..livekit::ClientInfo::default()
            }),
            connection_settings: Some(livekit::ConnectionSettings {
                auto_subscribe: options.auto_subscribe,
                adaptive_stream: options.adaptive_stream,
                ..livekit::ConnectionSettings::default()
            }),
            metadata: options.metadata.clone(),
            publisher_offer: options.offer_in_join.then(|| offer.clone()),
            ..livekit::JoinRequest::default()
        };
        let parameter = protocol::join_request::encode(&request, options.gzip);
        let in_query = options.token_place == TokenPlace::Query;
        let within = options.join_timeout;
        let mut signal = tokio::time::timeout(within, Signal::connect(&address, &parameter, token, in_query))
            .await
            .map_err(|_| ClientError::Connection(format!("no WebSocket after {within:?}")))??;
        shared.lock().milestones.websocket = Some(Instant::now());
        let first = tokio::time::timeout(within, signal.next())
            .await
            .map_err(|_| ClientError::Protocol(format!("no join after {within:?}")))?;
        let joined = match first {
            Incoming::Message(message) => match *message {
                signal_response::Message::Join(join) => join,
                signal_response::Message::Leave(leave) => {
                    return Err(ClientError::LeftAtJoin { reason: leave.reason, action: leave.action });
                }
                other => return Err(ClientError::Protocol(format!("instead of join: {other:?}"))),
            },
            Incoming::Garbage => return Err(ClientError::Protocol("instead of join: garbage".into())),
            Incoming::End(reason) => return Err(ClientError::Connection(reason)),
        };
        let mut driver = Self {
            options,
            shared,
            signal,
            peer,
            negotiation,
            commands,
            publications: Vec::new(),
            tracks_by_mid: BTreeMap::new(),
            key_frame_requests: HashMap::new(),
            data: VecDeque::new(),
            reliable_sequence: 1,
            pings: None,
            reading: true,
            dirty: true,
        };
        driver.joined(joined);
        if !driver.options.offer_in_join {
            driver.send(signal_request::Message::Offer(offer)).map_err(ClientError::Connection)?;
        }
        Ok(driver)
    }

    /// Runs until the connection is over.
    pub(crate) async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.work() {
                break end;
            }
            if std::mem::take(&mut self.dirty) {
                self.shared.notify();
            }
            let wake = self.wake_at();
            tokio::select! {
                incoming = self.signal.next(), if self.reading => {
                    if let Err(end) = self.signalled(incoming) {
                        break end;
                    }
                }
                command = self.commands.recv() => {
                    let handled = match command {
                        Some(command) => self.command(command),
                        None => Err(end(CloseCause::Vanished, false)),
                    };
                    if let Err(end) = handled {
                        break end;
                    }
                }
                _ = self.peer.readable() => {
                    if let Err(error) = self.peer.receive(Instant::now()) {
                        break error.into();
                    }
                }
                () = sleep_until(TokioInstant::from_std(wake)) => {}
            }
        };
        self.finish(end).await;
    }

    async fn finish(mut self, end: End) {
        if end.polite {
            // The transport may be beyond saying goodbye.
            let _ = self.peer.close(Instant::now());
        }
        if end.cause == CloseCause::Left {
            let leave = livekit::LeaveRequest {
                reason: livekit::DisconnectReason::ClientInitiated.into(),
                action: Action::Disconnect.into(),
                ..livekit::LeaveRequest::default()
            };
            let _ = self.signal.send(signal_request::Message::Leave(leave));
        }
        {
            let mut state = self.shared.lock();
            state.connection = Connection::Closed(end.cause.clone());
            state.media = MediaConnection::Closed;
        }
        for publication in &mut self.publications {
            publication.fail(ClientError::Closed(format!("{:?}", end.cause)));
        }
        if let CloseCause::ServerLeave { action, .. } = end.cause
            && action != Action::Disconnect
        {
            self.shared.emit(Event::ReconnectRequested(action));
        }
        self.shared.emit(Event::Closed(end.cause));
        self.shared.notify();
        if end.polite {
            self.signal.close().await;
        } else {
            self.signal.abort();
        }
        if let Some(reply) = end.reply {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(());
        }
    }

    fn wake_at(&self) -> Instant {
        let mut wake = self.peer.timeout().min(Instant::now() + LONGEST_SLEEP);
        if let Some(pings) = &self.pings {
            wake = wake.min(pings.next).min(pings.last_pong + pings.timeout);
        }
        self.publications.iter().filter_map(Publication::due).fold(wake, Instant::min)
    }

    /// Everything that is due now.
    fn work(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.peer.timeout() <= now {
            self.peer.turn(now)?;
        }
        self.events(now)?;
        self.send_media(now)?;
        self.events(now)?;
        self.send_data(now)?;
        self.ask_for_key_frames(now)?;
        self.offer(now)?;
        self.expire_publications(now);
        self.ping(now)?;
        let traffic = self.peer.traffic;
        let mut state = self.shared.lock();
        state.counters.datagrams = traffic.received;
        state.counters.bad_datagrams = traffic.unknown;
        state.counters.send_errors = traffic.send_errors;
        state.negotiated = self.negotiation.is_settled();
        Ok(())
    }

    fn offer(&mut self, now: Instant) -> Result<(), End> {
        let Some(changes) = self.negotiation.take_changes() else { return Ok(()) };
        let Some((sdp, pending)) = self.peer.offer(&changes, now)? else { return Ok(()) };
        let id = self.negotiation.offered(pending);
        let offer = livekit::SessionDescription {
            r#type: "offer".into(),
            sdp,
            id,
            ..livekit::SessionDescription::default()
        };
        self.shared.lock().counters.offers += 1;
        self.dirty = true;
        self.request(signal_request::Message::Offer(offer))
    }

    fn send(&self, message: signal_request::Message) -> Result<(), String> {
        self.signal.send(message)
    }

    fn request(&self, message: signal_request::Message) -> Result<(), End> {
        self.send(message).map_err(|reason| end(CloseCause::Socket(reason), false))
    }

    // ---- signalling ----

    fn joined(&mut self, join: livekit::JoinResponse) {
        let now = Instant::now();
        if join.ping_interval > 0 && join.ping_timeout > 0 {
            let interval = Duration::from_secs(join.ping_interval.unsigned_abs().into());
            self.pings = Some(Pings {
                interval,
                timeout: Duration::from_secs(join.ping_timeout.unsigned_abs().into()),
                next: now + interval,
                last_pong: now,
                rtt: Duration::ZERO,
            });
        }
        let mut state = self.shared.lock();
        state.connection = Connection::Joined;
        state.milestones.joined = Some(now);
        state.counters.signals += 1;
        state.room = join.room.unwrap_or_default();
        state.local = join.participant.unwrap_or_default();
        let events = state.update_participants(join.other_participants);
        drop(state);
        self.shared.emit(Event::Joined);
        events.into_iter().for_each(|event| self.shared.emit(event));
    }

    fn signalled(&mut self, incoming: Incoming) -> Result<(), End> {
        self.dirty = true;
        let message = match incoming {
            Incoming::Message(message) => *message,
            Incoming::Garbage => {
                self.shared.lock().counters.bad_signals += 1;
                return Ok(());
            }
            Incoming::End(reason) => return Err(end(CloseCause::Socket(reason), true)),
        };
        self.shared.lock().counters.signals += 1;
        use signal_response::Message;
        match message {
            Message::Answer(answer) => self.answered(answer)?,
            Message::Trickle(trickle) => self.trickled(&trickle)?,
            Message::Update(update) => {
                let events = self.shared.lock().update_participants(update.participants);
                events.into_iter().for_each(|event| self.shared.emit(event));
            }
            Message::TrackPublished(published) => self.track_published(published),
            Message::TrackUnpublished(unpublished) => {
                self.forget_publication(&unpublished.track_sid);
                self.shared.emit(Event::UnpublishedByServer { track_sid: unpublished.track_sid });
            }
            Message::MediaSectionsRequirement(wanted) => {
                let count = u64::from(wanted.num_audios) + u64::from(wanted.num_videos);
                let mut state = self.shared.lock();
                if state.counters.requested_sections + count > MAX_SECTIONS {
                    drop(state);
                    return Err(end(CloseCause::Socket("too many sections asked for".into()), true));
                }
                state.counters.requested_sections += count;
                drop(state);
                // Measured with LiveKit's server: with no sections in it, it asks for an offer all the same.
                self.negotiation.want(Change::Renew);
                for _ in 0..wanted.num_audios {
                    self.negotiation.want(Change::Receive(Kind::Audio));
                }
                for _ in 0..wanted.num_videos {
                    self.negotiation.want(Change::Receive(Kind::Video));
                }
            }
            Message::Mute(mute) => {
                self.set_muted(&mute.sid, mute.muted);
                self.shared.emit(Event::MutedByServer { track_sid: mute.sid, muted: mute.muted });
            }
            Message::SpeakersChanged(changed) => {
                self.shared.lock().update_speakers(changed.speakers.clone());
                self.shared.emit(Event::SpeakersChanged(changed.speakers));
            }
            Message::RoomUpdate(update) => {
                self.shared.lock().room = update.room.unwrap_or_default();
                self.shared.emit(Event::RoomUpdated);
            }
            Message::ConnectionQuality(quality) => {
                let mut state = self.shared.lock();
                for update in quality.updates {
                    state.quality.insert(update.participant_sid, update.quality);
                }
                drop(state);
                self.shared.emit(Event::QualityChanged);
            }
            Message::StreamStateUpdate(update) => {
                let mut state = self.shared.lock();
                for stream in &update.stream_states {
                    if let Some(track) = state.subscribed.get_mut(&stream.track_sid) {
                        track.paused = stream.state() == livekit::StreamState::Paused;
                    }
                }
                drop(state);
                self.shared.emit(Event::Other(Box::new(Message::StreamStateUpdate(update))));
            }
            Message::SubscribedQualityUpdate(update) => {
                self.shared.lock().wanted_qualities.insert(update.track_sid.clone(), update);
            }
            Message::RefreshToken(token) => self.shared.lock().refreshed_token = Some(token),
            Message::Pong(_) => self.pong(),
            Message::PongResp(pong) => {
                let sent = u64::try_from(pong.last_ping_timestamp).unwrap_or(0);
                let rtt = Duration::from_millis((wall_nanos() / 1_000_000).saturating_sub(sent));
                self.shared.lock().counters.rtt = rtt;
                if let Some(pings) = &mut self.pings {
                    pings.rtt = rtt;
                }
                self.pong();
            }
            Message::RequestResponse(response) => self.refused(response),
            Message::Leave(leave) => {
                let cause = CloseCause::ServerLeave { reason: leave.reason(), action: leave.action() };
                return Err(end(cause, true));
            }
            other => self.shared.emit(Event::Other(Box::new(other))),
        }
        Ok(())
    }

    fn answered(&mut self, answer: livekit::SessionDescription) -> Result<(), End> {
        let Ok(offer) = self.negotiation.answered(answer.id) else {
            self.shared.lock().counters.ignored_answers += 1;
            return Ok(());
        };
        let now = Instant::now();
        let sends = offer.sends.clone();
        self.peer.accept(offer, &answer.sdp, now)?;
        {
            let mut state = self.shared.lock();
            state.counters.answers += 1;
            state.milestones.answered.get_or_insert(now);
        }
        for (cid, mid) in sends {
            if let Some(publication) = self.publications.iter_mut().find(|publication| publication.cid == cid)
            {
                publication.set_section(mid, &self.peer);
            }
        }
        self.confirm_publications();
        self.map_sections(&answer);
        Ok(())
    }

    /// Which of our receiving sections carries which track.
    fn map_sections(&mut self, answer: &livekit::SessionDescription) {
        let own: Vec<Mid> = self.publications.iter().filter_map(Publication::mid).collect();
        let mut mapped = BTreeMap::new();
        for (name, section) in sdp::sections(&answer.sdp) {
            let mid = Mid::from(name.as_str());
            if section.rejected || !section.sending || own.contains(&mid) {
                continue;
            }
            let sid = answer.mid_to_track_id.get(&name).map(String::as_str).or_else(|| section.track_sid());
            if let (Some(sid), Some(_)) = (sid, self.peer.kind(mid)) {
                mapped.insert(mid, sid.to_owned());
            }
        }
        let mut state = self.shared.lock();
        for (mid, sid) in &self.tracks_by_mid {
            if mapped.get(mid) != Some(sid) {
                if let Some(track) = state.subscribed.get_mut(sid) {
                    track.mid = None;
                }
                if !mapped.values().any(|other| other == sid) {
                    self.shared.emit(Event::TrackUnsubscribed { track_sid: sid.clone() });
                }
                self.key_frame_requests.remove(mid);
            }
        }
        for (mid, sid) in &mapped {
            if self.tracks_by_mid.get(mid) != Some(sid) {
                let kind = self.peer.kind(*mid).unwrap_or(Kind::Video);
                let track = state.subscribed.entry(sid.clone()).or_insert_with(|| Subscribed {
                    mid: None,
                    kind,
                    paused: false,
                    packets_after_end: 0,
                    receiver: crate::receive::Receiver::default(),
                });
                track.mid = Some(mid.to_string());
                self.shared.emit(Event::TrackSubscribed { track_sid: sid.clone(), mid: mid.to_string() });
            }
        }
        drop(state);
        self.tracks_by_mid = mapped;
    }

    fn trickled(&mut self, trickle: &livekit::TrickleRequest) -> Result<(), End> {
        #[derive(Deserialize)]
        struct CandidateInit {
            #[serde(default)]
            candidate: String,
        }
        let used = match serde_json::from_str::<CandidateInit>(&trickle.candidate_init) {
            Ok(init) => self.peer.trickle(&init.candidate, Instant::now())?,
            Err(_) => false,
        };
        self.shared.lock().counters.ignored_candidates += u64::from(!used);
        Ok(())
    }

    fn ping(&mut self, now: Instant) -> Result<(), End> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if self.options.send_pings && now >= pings.last_pong + pings.timeout && self.reading {
            return Err(end(CloseCause::PingTimeout, true));
        }
        if now < pings.next {
            return Ok(());
        }
        pings.next = now + pings.interval;
        if !self.options.send_pings {
            // Without pings there are no pongs to miss.
            pings.last_pong = now;
            return Ok(());
        }
        let timestamp = i64::try_from(wall_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let rtt = i64::try_from(pings.rtt.as_millis()).unwrap_or(i64::MAX);
        self.request(signal_request::Message::PingReq(livekit::Ping { timestamp, rtt }))?;
        self.request(signal_request::Message::Ping(timestamp))
    }

    fn pong(&mut self) {
        self.shared.lock().counters.pongs += 1;
        if let Some(pings) = &mut self.pings {
            pings.last_pong = Instant::now();
        }
    }

    fn refused(&mut self, response: livekit::RequestResponse) {
        use livekit::request_response::{Reason, Request};
        let harmless = matches!(response.reason(), Reason::Ok | Reason::Queued);
        if let (false, Some(Request::AddTrack(request))) = (harmless, &response.request) {
            let error =
                ClientError::PublishRefused { reason: response.reason, message: response.message.clone() };
            self.abandon_publication(&request.cid.clone(), error);
        }
        if !harmless {
            self.shared.lock().refusals.push(response);
        }
    }

    // ---- publishing ----

    fn track_published(&mut self, published: livekit::TrackPublishedResponse) {
        let Some(sid) = published.track.map(|track| track.sid) else { return };
        if let Some(publication) = self.publications.iter_mut().find(|known| known.cid == published.cid) {
            publication.sid = Some(sid);
        }
        self.confirm_publications();
    }

    /// Tells those who published what the server has confirmed and answered.
    fn confirm_publications(&mut self) {
        let mut failed = Vec::new();
        for publication in &mut self.publications {
            if !publication.is_waiting() {
                continue;
            }
            match publication.confirm() {
                None => {}
                Some(Ok(sid)) => {
                    let published = Published {
                        cid: publication.cid.clone(),
                        mid: publication.mid().map(|mid| mid.to_string()),
                        codec: publication.codec(),
                        muted: publication.is_muted(),
                        packets: 0,
                        bytes: 0,
                        key_frame_requests: 0,
                        refused_frames: 0,
                        ended: false,
                    };
                    self.shared.lock().published.insert(sid, published);
                    self.dirty = true;
                }
                Some(Err(())) => failed.push(publication.cid.clone()),
            }
        }
        for cid in failed {
            let codec = self.publications.iter().find(|known| known.cid == cid).map(Publication::codec);
            let error = ClientError::NoCommonCodec { codec: codec.map_or("", |codec| codec.mime()) };
            self.abandon_publication(&cid, error);
        }
    }

    fn abandon_publication(&mut self, cid: &str, error: ClientError) {
        let Some(index) = self.publications.iter().position(|known| known.cid == cid) else { return };
        let mut publication = self.publications.swap_remove(index);
        publication.fail(error);
        if let Some(mid) = publication.mid() {
            self.negotiation.want(Change::Stop { mid: mid.to_string() });
        }
    }

    fn forget_publication(&mut self, sid: &str) -> bool {
        let Some(index) = self.publications.iter().position(|known| known.sid.as_deref() == Some(sid)) else {
            return false;
        };
        let publication = self.publications.swap_remove(index);
        if let Some(mid) = publication.mid() {
            self.negotiation.want(Change::Stop { mid: mid.to_string() });
        }
        self.shared.lock().published.remove(sid);
        true
    }

    fn expire_publications(&mut self, now: Instant) {
        let late: Vec<String> = self
            .publications
            .iter()
            .filter(|known| known.is_waiting() && now >= known.deadline)
            .map(|known| known.cid.clone())
            .collect();
        for cid in late {
            let state = self.shared.lock().summary();
            let after = self.options.publish_timeout;
            let what = "the server to confirm a track".to_owned();
            self.abandon_publication(&cid, ClientError::Deadline { what, after, state });
        }
    }

    fn set_muted(&mut self, sid: &str, muted: bool) -> bool {
        let Some(publication) = self.publications.iter_mut().find(|known| known.sid.as_deref() == Some(sid))
        else {
            return false;
        };
        publication.set_muted(muted, Instant::now());
        if let Some(published) = self.shared.lock().published.get_mut(sid) {
            published.muted = muted;
        }
        self.dirty = true;
        true
    }

    fn send_media(&mut self, now: Instant) -> Result<(), End> {
        if self.shared.lock().media != MediaConnection::Connected {
            return Ok(());
        }
        for publication in &mut self.publications {
            publication.start(now);
            let sent = publication.send_due(&mut self.peer, now, wall_nanos)?;
            if sent.frames + sent.refused == 0 {
                continue;
            }
            let Some(sid) = &publication.sid else { continue };
            if let Some(published) = self.shared.lock().published.get_mut(sid) {
                published.packets += sent.packets;
                published.bytes += sent.bytes;
                published.refused_frames += sent.refused;
                published.ended = publication.ended();
            }
            self.dirty = true;
        }
        Ok(())
    }

    // ---- transport events ----

    fn events(&mut self, now: Instant) -> Result<(), End> {
        while let Some(event) = self.peer.next_event() {
            self.dirty = true;
            match event {
                str0m::Event::RtpPacket(packet) => self.received(&packet),
                str0m::Event::Connected => self.media_state(MediaConnection::Connected),
                str0m::Event::IceConnectionStateChange(IceConnectionState::Checking) => {
                    self.media_state(MediaConnection::Connecting);
                }
                str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    self.media_state(MediaConnection::Disconnected);
                }
                str0m::Event::IceConnectionStateChange(_) => {
                    // Back from a disconnection; the first connection is told by `Connected`.
                    let state = self.shared.lock();
                    if state.media == MediaConnection::Disconnected && state.milestones.media.is_some() {
                        drop(state);
                        self.media_state(MediaConnection::Connected);
                    }
                }
                str0m::Event::Closed => self.media_state(MediaConnection::Closed),
                str0m::Event::ChannelOpen(_, label) => {
                    let mut state = self.shared.lock();
                    if !state.channels.contains(&label) {
                        state.channels.push(label.clone());
                    }
                    if [RELIABLE, LOSSY].iter().all(|own| state.channels.iter().any(|open| open == own)) {
                        state.milestones.data.get_or_insert(now);
                    }
                    drop(state);
                    self.shared.emit(Event::ChannelOpen(label));
                }
                str0m::Event::ChannelClose(id) => {
                    if let Some(label) = self.peer.label(id) {
                        self.shared.lock().channels.retain(|open| open != label);
                    }
                }
                str0m::Event::ChannelData(data) => {
                    let reliable = self.peer.label(data.id) == Some(RELIABLE);
                    self.received_data(reliable, &data.data, now);
                }
                str0m::Event::KeyframeRequest(request) => {
                    let rid = request.rid;
                    let Some(publication) =
                        self.publications.iter_mut().find(|known| known.mid() == Some(request.mid))
                    else {
                        continue;
                    };
                    publication.request_key_frame(rid);
                    if let Some(sid) = &publication.sid
                        && let Some(published) = self.shared.lock().published.get_mut(sid)
                    {
                        published.key_frame_requests += 1;
                    }
                    self.shared.emit(Event::KeyFrameRequested {
                        cid: publication.cid.clone(),
                        rid: rid.map(|rid| rid.to_string()),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn media_state(&mut self, media: MediaConnection) {
        let mut state = self.shared.lock();
        if state.media == media {
            return;
        }
        state.media = media;
        if media == MediaConnection::Connected {
            state.milestones.media.get_or_insert(Instant::now());
        }
        drop(state);
        self.shared.emit(Event::Media(media));
    }

    fn received(&mut self, packet: &RtpPacket) {
        let codec = self.peer.codec(packet.header.payload_type);
        let mid = self.peer.section_of(packet);
        let mut state = self.shared.lock();
        let Some(sid) = mid.and_then(|mid| self.tracks_by_mid.get(&mid)) else {
            state.counters.stray_packets += 1;
            return;
        };
        let Some(track) = state.subscribed.get_mut(sid) else { return };
        track.receiver.take(
            codec,
            &Arrival {
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                ssrc: *packet.header.ssrc,
                audio_level: packet.header.ext_vals.audio_level,
                payload: &packet.payload,
                at: packet.timestamp,
                wall: wall_nanos(),
            },
        );
        if let Some(tap) = &self.options.packet_tap {
            let tapped = TappedPacket {
                track_sid: sid.clone(),
                codec,
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                audio_level: packet.header.ext_vals.audio_level,
                payload: packet.payload.clone(),
                at: packet.timestamp,
            };
            if tap.try_send(tapped).is_err() {
                state.counters.tap_dropped += 1;
            }
        }
    }

    fn ask_for_key_frames(&mut self, now: Instant) -> Result<(), End> {
        if !self.options.request_key_frames {
            return Ok(());
        }
        let missing: Vec<Mid> = {
            let state = self.shared.lock();
            self.tracks_by_mid
                .iter()
                .filter(|(_, sid)| {
                    state.subscribed.get(*sid).is_some_and(|track| {
                        track.kind == Kind::Video && track.packets() > 0 && track.key_frames() == 0
                    })
                })
                .map(|(mid, _)| *mid)
                .filter(|mid| {
                    self.key_frame_requests.get(mid).is_none_or(|last| now >= *last + KEY_FRAME_RETRY)
                })
                .collect()
        };
        for mid in missing {
            self.key_frame_requests.insert(mid, now);
            self.peer.request_key_frame(mid, now)?;
        }
        Ok(())
    }

    // ---- data ----

    fn received_data(&mut self, reliable: bool, bytes: &[u8], at: Instant) {
        let Ok(packet) = livekit::DataPacket::decode(bytes) else {
            self.shared.lock().counters.bad_data += 1;
            return;
        };
        let data = ReceivedData { reliable, packet, at };
        self.shared.lock().keep_data(data.clone());
        self.shared.emit(Event::Data(Box::new(data)));
    }

    fn send_data(&mut self, now: Instant) -> Result<(), End> {
        while let Some(waiting) = self.data.front() {
            let open = self.shared.lock().channels.iter().any(|label| label == waiting.label);
            if !open || !self.peer.send_data(waiting.label, &waiting.bytes, now)? {
                return Ok(());
            }
            if let Some(reply) = self.data.pop_front().and_then(|sent| sent.reply) {
                // Whoever sent it may have stopped waiting.
                let _ = reply.send(Ok(()));
            }
        }
        Ok(())
    }

    fn queue_data(
        &mut self,
        reliable: bool,
        mut packet: livekit::DataPacket,
        reply: oneshot::Sender<Result<(), ClientError>>,
    ) {
        if self.data.len() >= MAX_WAITING_DATA {
            let _ = reply.send(Err(ClientError::Data("too many wait to be sent")));
            return;
        }
        if reliable {
            packet.sequence = self.reliable_sequence;
            self.reliable_sequence = self.reliable_sequence.wrapping_add(1);
        }
        let label = if reliable { RELIABLE } else { LOSSY };
        self.data.push_back(WaitingData { label, bytes: packet.encode_to_vec(), reply: Some(reply) });
    }

    // ---- commands ----

    fn command(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Publish { source, options, reply } => {
                let deadline = Instant::now() + self.options.publish_timeout;
                let publication = Publication::new(source, &options, reply, deadline);
                let request = publication.add_track(&options);
                self.negotiation.want(publication.section());
                self.publications.push(publication);
                self.request(signal_request::Message::AddTrack(request))?;
            }
            Command::Unpublish { sid, reply } => {
                let known = self.forget_publication(&sid);
                let _ = reply.send(if known { Ok(()) } else { Err(ClientError::UnknownTrack(sid)) });
            }
            Command::Mute { sid, muted, reply } => {
                let known = self.set_muted(&sid, muted);
                if known {
                    let request = livekit::MuteTrackRequest { sid: sid.clone(), muted };
                    self.request(signal_request::Message::Mute(request))?;
                }
                let _ = reply.send(if known { Ok(()) } else { Err(ClientError::UnknownTrack(sid)) });
            }
            Command::RequestKeyFrame { sid, reply } => {
                let mid = self.tracks_by_mid.iter().find(|(_, known)| **known == sid).map(|(mid, _)| *mid);
                let result = match mid {
                    Some(mid) => self.peer.request_key_frame(mid, Instant::now()),
                    None => Err(ClientError::UnknownTrack(sid)),
                };
                let _ = reply.send(result);
            }
            Command::Data { reliable, packet, reply } => self.queue_data(reliable, *packet, reply),
            Command::Signal(message) => self.request(*message)?,
            Command::IceRestart => self.negotiation.want(Change::IceRestart),
            Command::Misbehave(misbehaviour) => self.misbehave(misbehaviour)?,
            Command::Leave(reply) => {
                return Err(End { cause: CloseCause::Left, polite: true, reply: Some(reply) });
            }
        }
        Ok(())
    }

    fn misbehave(&mut self, misbehaviour: Misbehaviour) -> Result<(), End> {
        let raw = match misbehaviour {
            Misbehaviour::CutMedia(cut) => {
                self.peer.cut = cut;
                return Ok(());
            }
            Misbehaviour::StopReadingSignals => {
                self.reading = false;
                return Ok(());
            }
            Misbehaviour::StopPings => {
                self.options.send_pings = false;
                return Ok(());
            }
            Misbehaviour::Vanish => return Err(end(CloseCause::Vanished, false)),
            Misbehaviour::Datagram(bytes) => {
                self.peer.send_datagram(&bytes);
                return Ok(());
            }
            Misbehaviour::DataChannelBytes(bytes) => {
                self.data.push_back(WaitingData { label: RELIABLE, bytes, reply: None });
                return Ok(());
            }
            Misbehaviour::SignalBytes(bytes) => WsMessage::Binary(bytes.into()),
            Misbehaviour::SignalText(text) => WsMessage::Text(text.into()),
        };
        self.signal.send_raw(raw).map_err(|reason| end(CloseCause::Socket(reason), false))
    }
}

/// Nanoseconds since the Unix epoch.
fn wall_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
