//! The task behind a [`crate::Client`]: it alone touches signalling, transport and sources.

mod data;
mod publications;
mod signalling;
mod transport;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::livekit::{self, leave_request::Action, signal_request, signal_response};
use str0m::media::Mid;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_tungstenite::tungstenite::Message as WsMessage;

use crate::error::ClientError;
use crate::join::ServerAddress;
use crate::media::MediaSource;
use crate::negotiation::{Change, Kind, Negotiation};
use crate::options::{Misbehaviour, Options, PublishOptions, TokenPlace};
use crate::peer::{Peer, PendingOffer, RELIABLE};
use crate::publication::Publication;
use crate::signal::{Incoming, Signal};
use crate::state::{CloseCause, Connection, Event, MediaConnection, Shared};

/// Longest sleep; the loop also looks at deadlines of publications then.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

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
