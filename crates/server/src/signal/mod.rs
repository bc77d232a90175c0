//! Signalling: one LiveKit WebSocket connection, between the client's messages and the core's commands and
//! events. It holds no state about the room; it bounds what a client may send and how long it may be
//! silent or refuse to read.

mod bucket;
pub(crate) mod queue;
mod requests;
mod responses;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use protocol::api::Mode;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use protocol::prost::Message as _;
use protocol::token::{ApiKeys, Claims};
use sfu::command::administration::RoomSettings;
use sfu::command::{Join, Resume, SessionCommand};
use sfu::event::SessionEvent;
use tokio::time::{MissedTickBehavior, timeout};

use crate::config::Patience;
use crate::keys::ADMISSION_KEY;
use crate::metrics::Metrics;
use crate::signal::bucket::Bucket;
use crate::signal::queue::EventReceiver;
use crate::signal::requests::Request;
use crate::worker::{ToWorker, WorkerHandle};

/// Bytes of a frame or message of a client; the largest are offers with hundreds of sections.
pub(crate) const MAX_FRAME_BYTES: usize = 1 << 20;

/// How often clients are asked to ping. Less often, and [`PING_TIMEOUT`] would allow for no pong that is late.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// After how long without a pong clients give a connection up and resume by another one. Of a network change nobody
/// tells a browser's WebSocket, and its ICE agent had not given up after 20 s: with 6 s pictures froze for 6 to 13 s
/// (measured in Chromium 156, `tests/e2e/tests/outage.spec.ts`). Less would take a TCP retransmission or two on a bad
/// line for its end; a resume that was not needed costs no more than an ICE restart.
const PING_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a closed connection waits for the other end to close.
const CLOSING: Duration = Duration::from_secs(1);

/// Messages read meanwhile at most, of what the other end said before.
const UNREAD: usize = 32;

/// How long tokens are valid.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What the connection is, after its token and its join request were checked.
pub(crate) struct Admission {
    pub(crate) claims: Claims,
    pub(crate) room: RoomName,
    pub(crate) identity: Identity,
    pub(crate) request: livekit::JoinRequest,
    /// Whether the client speaks the older protocol, with a peer connection for each direction.
    pub(crate) two_connections: bool,
}

/// What a session needs of the server.
pub(crate) struct Surroundings {
    pub(crate) worker: WorkerHandle,
    pub(crate) keys: std::sync::Arc<ApiKeys>,
    pub(crate) metrics: Metrics,
    /// The core's bounds.
    pub(crate) limits: sfu::config::Limits,
    pub(crate) patience: Patience,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client went away, or said goodbye.
    Client,
    /// The core ended the session.
    Core,
    /// The client goes on with another connection.
    Superseded,
    /// Nothing came for too long.
    Silent,
    /// The client does not read: a frame could not be written.
    NotReading,
    /// The client does not read: its queue was full.
    Dropped,
    /// A message was larger than what may wait for a client at all.
    WriteBufferFull,
    /// The client broke the protocol.
    Violation { close: u16, code: &'static str, reason: &'static str },
    /// No `join` from the core.
    NoJoin,
}

static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Runs a connection to its end.
pub(crate) async fn run(mut socket: WebSocket, admission: Admission, surroundings: Surroundings) {
    let _count = surroundings.metrics.session();
    let id = SessionId(NEXT_SESSION.fetch_add(1, Ordering::Relaxed));
    let (sender, events) = queue::channel();
    let (entering, claims) = if admission.request.reconnect {
        let (resume, claims) = resume(id, admission);
        (ToWorker::Resume { resume: Box::new(resume), events: sender }, claims)
    } else {
        let (join, claims) = join(id, admission);
        (ToWorker::Join { join: Box::new(join), events: sender }, claims)
    };
    if surroundings.worker.tell(entering).await.is_err() {
        close(&mut socket, close_code::AWAY, "the server is stopping").await;
        return;
    }
    let mut session = Session { id, socket, events, claims, surroundings, joined: false, owes_token: false };
    let end = session.converse().await;
    session.finish(end).await;
}

struct Session {
    id: SessionId,
    socket: WebSocket,
    events: EventReceiver,
    claims: Claims,
    surroundings: Surroundings,
    joined: bool,
    /// The client came back, and gets a token as soon as it is known what it may do now.
    owes_token: bool,
}

impl Session {
    async fn converse(&mut self) -> End {
        let start = tokio::time::Instant::now();
        let mut heard = start;
        let mut bucket = Bucket::new(Instant::now());
        let patience = self.surroundings.patience;
        let mut refresh = tokio::time::interval_at(start + patience.refresh, patience.refresh);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ping = tokio::time::interval_at(start + patience.ping, patience.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wait = bucket.wait(Instant::now());
            let deadline = if self.joined { heard + patience.silence } else { start + patience.join };
            tokio::select! {
                event = self.events.recv() => {
                    // The worker closes the queue of a client that does not read, and counts it.
                    let Some(event) = event else { return End::Dropped };
                    if let Some(end) = self.tell_client(event).await {
                        return end;
                    }
                }
                message = self.socket.recv(), if wait.is_none() => {
                    heard = tokio::time::Instant::now();
                    if let Some(end) = self.take(message, &mut bucket).await {
                        return end;
                    }
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = tokio::time::sleep_until(deadline) => {
                    // What came while a write was held up counts.
                    let waiting = tokio::time::timeout(Duration::ZERO, self.socket.recv()).await;
                    let Some(message) = waiting.ok().filter(|_| self.joined) else {
                        return if self.joined { End::Silent } else { End::NoJoin };
                    };
                    heard = tokio::time::Instant::now();
                    if let Some(end) = self.take(message, &mut bucket).await {
                        return end;
                    }
                }
                _ = refresh.tick() => {
                    if let Some(end) = self.refresh_token().await {
                        return end;
                    }
                }
                _ = ping.tick() => {
                    if let Err(end) = self.send(Message::Ping(Bytes::new())).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn take(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
        bucket: &mut Bucket,
    ) -> Option<End> {
        let bytes = message.as_ref().and_then(|message| message.as_ref().ok()).map_or(0, length);
        bucket.take(Instant::now(), bytes);
        self.hear_client(message).await
    }

    async fn tell_client(&mut self, mut event: SessionEvent) -> Option<End> {
        // A client whose connection breaks again and again would not see the interval out, and lives on its token. Who
        // comes back gets one with the rights it has now, and who was sent away meanwhile gets none.
        let mut refresh = matches!(event, SessionEvent::Joined(_));
        self.owes_token |= matches!(event, SessionEvent::Reconnected(_));
        self.joined |= refresh || self.owes_token;
        match &mut event {
            SessionEvent::ParticipantUpdate(updates) => {
                let is_own = updates.iter().any(|update| update.identity == self.claims.sub);
                refresh = self.follow(updates) || is_own && std::mem::take(&mut self.owes_token);
            }
            SessionEvent::Moved(moved) => {
                self.claims.video.room =
                    moved.room.as_ref().map(|room| room.name.clone()).unwrap_or_default();
                self.claims.clear = true; // it is the server API that opens that room
                moved.token = self.fresh_token().unwrap_or_default();
                refresh = true; // for clients that do not know the other message
            }
            _ => {}
        }
        let over = event.is_last();
        let Some(response) = responses::response(event) else { return Some(End::Superseded) };
        let written = self.write(response).await;
        match written {
            _ if over => Some(End::Core),
            Ok(()) if refresh => self.refresh_token().await,
            written => written.err(),
        }
    }

    /// Keeps the claims of refreshed tokens in step with what is said of the participant and what it may do;
    /// returns whether they changed.
    fn follow(&mut self, updates: &[livekit::ParticipantInfo]) -> bool {
        let Some(own) = updates.iter().find(|update| update.identity == self.claims.sub) else {
            return false;
        };
        let before = self.claims.clone();
        self.claims.name.clone_from(&own.name);
        self.claims.metadata.clone_from(&own.metadata);
        self.claims.attributes.clone_from(&own.attributes);
        if let Some(permission) = own.permission.as_ref().filter(|new| **new != before.permission()) {
            self.claims.set_permission(permission);
        }
        self.claims != before
    }

    async fn hear_client(&mut self, message: Option<Result<Message, axum::Error>>) -> Option<End> {
        let bytes = match message {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Text(_))) => {
                return Some(End::Violation {
                    close: close_code::UNSUPPORTED,
                    code: "text-frame",
                    reason: "this server speaks binary protobuf frames only",
                });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return None,
            Some(Ok(Message::Close(_))) | None => return Some(End::Client),
            Some(Err(error)) => return Some(broken(error)),
        };
        let Ok(request) = livekit::SignalRequest::decode(bytes) else {
            return Some(End::Violation {
                close: close_code::INVALID,
                code: "malformed-frame",
                reason: "the frame is not a SignalRequest",
            });
        };
        if let Some(code) = oversized(&request, self.surroundings.limits.sdp_bytes) {
            return Some(End::Violation {
                close: close_code::SIZE,
                code,
                reason: "the session description is larger than allowed",
            });
        }
        match requests::read(request) {
            Request::Command(command) => {
                let leaving = matches!(*command, SessionCommand::Leave(_));
                let told = self.surroundings.worker.tell(ToWorker::Session(self.id, *command)).await;
                (leaving || told.is_err()).then_some(End::Client)
            }
            Request::Ping(timestamp) => self.write(responses::pong(timestamp, unix_ms())).await.err(),
            Request::PingReq(ping) => self.write(responses::pong_resp(&ping, unix_ms())).await.err(),
            Request::Malformed(update) => {
                self.surroundings.metrics.reject("signal", "metadata-malformed");
                self.write(responses::malformed(update)).await.err()
            }
            Request::Ignored(code) => {
                self.surroundings.metrics.reject("signal", code);
                None
            }
        }
    }

    /// A key is not taken away while the server runs, so this does not fail.
    fn fresh_token(&mut self) -> Option<String> {
        self.claims.nbf = 0;
        self.claims.exp = unix_seconds() + TOKEN_LIFETIME.as_secs();
        self.surroundings.keys.sign(&self.claims).ok()
    }

    async fn refresh_token(&mut self) -> Option<End> {
        let token = self.fresh_token()?;
        self.write(responses::refresh_token(token)).await.err()
    }

    async fn write(&mut self, response: livekit::SignalResponse) -> Result<(), End> {
        self.send(Message::Binary(Bytes::from(response.encode_to_vec()))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.surroundings.patience.write, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unwritten(error)),
            Err(_) => Err(End::NotReading),
        }
    }

    async fn finish(mut self, end: End) {
        let metrics = &self.surroundings.metrics;
        match end {
            End::Client | End::Core | End::Superseded | End::Dropped => {}
            End::Silent => metrics.reject("signal", "half-open"),
            End::NotReading => metrics.reject("signal", "not-reading"),
            End::WriteBufferFull => metrics.reject("signal", "write-buffer-full"),
            End::NoJoin => metrics.reject("signal", "join-timeout"),
            End::Violation { code, .. } => metrics.reject("signal", code),
        }
        let gone = ToWorker::Session(self.id, SessionCommand::Disconnected);
        let _ = self.surroundings.worker.tell(gone).await;
        let (code, reason) = match end {
            End::Client | End::Core => (close_code::NORMAL, ""),
            End::Superseded => (close_code::NORMAL, "the client goes on with another connection"),
            End::Silent => (close_code::POLICY, "no sign of life for too long"),
            End::NotReading | End::Dropped => (close_code::POLICY, "messages were not read"),
            End::WriteBufferFull => (close_code::ERROR, "a message is too large for this connection"),
            End::NoJoin => (close_code::AGAIN, "joining took too long"),
            End::Violation { close, reason, .. } => (close, reason),
        };
        close(&mut self.socket, code, reason).await;
    }
}

/// The code for a session description that is too large to be read.
fn oversized(request: &livekit::SignalRequest, limit: usize) -> Option<&'static str> {
    use livekit::signal_request::Message;
    let (description, code) = match request.message.as_ref()? {
        Message::Offer(offer) => (offer, "oversized-offer"),
        Message::Answer(answer) => (answer, "oversized-answer"),
        _ => return None,
    };
    (description.sdp.len() > limit).then_some(code)
}

/// What a failed read means.
fn broken(error: axum::Error) -> End {
    use tokio_tungstenite::tungstenite;
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::Violation {
            close: close_code::SIZE,
            code: "oversized-frame",
            reason: "the frame is over 1 MiB",
        },
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => End::Client,
        Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => End::Violation {
            close: close_code::PROTOCOL,
            code: "malformed-websocket",
            reason: "this is not WebSocket as in RFC 6455",
        },
        _ => End::Client,
    }
}

/// The code of what broke a connection; `None` if the other end went away.
pub(crate) fn malformed_frame(error: axum::Error) -> Option<&'static str> {
    match broken(error) {
        End::Violation { code, .. } => Some(code),
        _ => None,
    }
}

/// The code of what kept a message from being written; `None` if the other end went away.
pub(crate) fn not_written(error: axum::Error) -> Option<&'static str> {
    match unwritten(error) {
        End::NotReading => Some("not-reading"),
        End::WriteBufferFull => Some("write-buffer-full"),
        _ => None,
    }
}

/// What a failed write means.
fn unwritten(error: axum::Error) -> End {
    use tokio_tungstenite::tungstenite;
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::WriteBufferFull(_)) => End::WriteBufferFull,
        Some(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
            End::NotReading // the connection lost its patience before the session did
        }
        _ => End::Client,
    }
}

/// Bytes of a message.
fn length(message: &Message) -> usize {
    match message {
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Text(text) => text.len(),
        Message::Close(_) => 0,
    }
}

/// Closes a connection with a word of why, unless the other end has closed it; then it gets its answer (RFC 6455 §5.5.1).
pub(crate) async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    // Whether the other side still hears it does not matter; but a connection that is dropped with something unread is reset,
    // and takes the word away that is under way. So the other side may say its own first (RFC 6455 §7.1.1). If it has, no
    // word of ours is taken, and reading sends the answer.
    let _ = timeout(CLOSING, async {
        let _ = socket.send(Message::Close(Some(frame))).await;
        for _ in 0..UNREAD {
            if !matches!(socket.recv().await, Some(Ok(_))) {
                break;
            }
        }
    })
    .await;
}

/// The core's command for a connection, and the claims that its refreshed tokens carry.
fn join(session: SessionId, admission: Admission) -> (Join, Claims) {
    let Admission { claims, room, identity, request, two_connections } = admission;
    let permission = claims.permission();
    let mut client = request.client_info.unwrap_or_default();
    client.address.clear(); // the server knows no addresses, not even those a client tells
    let join = Join {
        session,
        room,
        identity,
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone(),
        permission,
        kind: claims.kind(),
        room_settings: claims.room_config.as_ref().map(room_settings).map(Box::new),
        mode: if claims.iss == ADMISSION_KEY && !claims.clear { Mode::Mls } else { Mode::Clear },
        client,
        auto_subscribe: request.connection_settings.is_none_or(|settings| settings.auto_subscribe),
        offer: request.publisher_offer,
        add_tracks: request.add_track_requests,
        now_unix_ms: unix_ms(),
        two_connections,
        keyed: None,
    };
    (join, claims)
}

/// A token's settings of a room: 0 and empty are not given.
fn room_settings(config: &protocol::token::RoomConfig) -> RoomSettings {
    let seconds = |given: u32| (given > 0).then(|| Duration::from_secs(given.into()));
    RoomSettings {
        empty_timeout: seconds(config.empty_timeout),
        departure_timeout: seconds(config.departure_timeout),
        max_participants: (config.max_participants > 0).then_some(config.max_participants),
        metadata: Some(config.metadata.clone()).filter(|text| !text.is_empty()),
    }
}

/// The same for a client that comes back.
fn resume(session: SessionId, admission: Admission) -> (Resume, Claims) {
    let Admission { claims, room, identity, request, .. } = admission;
    let resume = Resume {
        session,
        room,
        identity,
        participant_sid: request.participant_sid,
        sync_state: request.sync_state,
        offer: request.publisher_offer,
    };
    (resume, claims)
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    since_1970().as_secs()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite;

    use super::*;

    #[test]
    fn a_failed_write_ends_a_connection_by_what_failed() {
        let full = tungstenite::Error::WriteBufferFull(Box::new(tungstenite::Message::Ping(Bytes::new())));
        let late = tungstenite::Error::Io(std::io::ErrorKind::TimedOut.into());
        let gone = tungstenite::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        for (error, end) in [(full, End::WriteBufferFull), (late, End::NotReading), (gone, End::Client)] {
            assert_eq!(unwritten(axum::Error::new(error)), end);
        }
    }
}
