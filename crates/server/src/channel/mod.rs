//! Channels: one WebSocket over which a member shares the log of its room. What the messages mean is `delivery`'s; here
//! they are read and written, within bounds of size and time.

mod hub;
mod outbox;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, close_code};
use protocol::channel::{ClosingCode, FromServer};
use protocol::ids::{Identity, RoomName};
use tokio::time::{MissedTickBehavior, timeout};

pub(crate) use crate::channel::hub::Hub;
use crate::channel::hub::Seat;
use crate::channel::outbox::Inbox;
use crate::config::Patience;
use crate::metrics::Metrics;
use crate::signal;

/// Layer of the counter of refusals.
pub(crate) const LAYER: &str = "channel";

/// Bytes of a message of a member: the largest submission (commit, Welcome and GroupInfo at their bounds, as base64, and
/// whom the Welcome is for), or the largest offer to restore a room.
pub(crate) const MAX_FRAME_BYTES: usize = 640 << 10;

/// Runs a channel to its end.
pub(crate) async fn run(
    mut socket: WebSocket,
    room: RoomName,
    identity: Identity,
    hub: Arc<Hub>,
    metrics: Metrics,
    patience: Patience,
) {
    let _count = metrics.channel();
    let Some((seat, inbox)) = hub.open(&room, &identity) else {
        return say_goodbye(&mut socket, ClosingCode::Stopping, patience).await;
    };
    let mut channel = Channel { socket, inbox, metrics, patience };
    let end = channel.converse(&seat).await;
    drop(seat);
    match end {
        Some(code) => say_goodbye(&mut channel.socket, code, patience).await,
        None => signal::close(&mut channel.socket, close_code::NORMAL, "").await,
    }
}

struct Channel {
    socket: WebSocket,
    inbox: Inbox,
    metrics: Metrics,
    patience: Patience,
}

impl Channel {
    /// Returns why the server closes it; `None` if the other end is gone.
    async fn converse(&mut self, seat: &Seat) -> Option<ClosingCode> {
        let start = tokio::time::Instant::now();
        let mut heard = start;
        let mut ping = tokio::time::interval_at(start + self.patience.ping, self.patience.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = heard + self.patience.silence;
            tokio::select! {
                text = self.inbox.recv() => match text {
                    Some(text) => self.send(Message::Text(text)).await?,
                    // Without a word: the room failed, and its members open it anew.
                    None => return Some(self.inbox.closing().unwrap_or(ClosingCode::Stopping)),
                },
                message = self.socket.recv() => {
                    heard = tokio::time::Instant::now();
                    if self.hear(seat, message)? {
                        continue;
                    }
                    return Some(ClosingCode::Malformed);
                }
                () = tokio::time::sleep_until(deadline) => {
                    // What came while a write was held up counts.
                    let Ok(message) = timeout(Duration::ZERO, self.socket.recv()).await else {
                        self.metrics.reject(LAYER, "half-open");
                        return None;
                    };
                    heard = tokio::time::Instant::now();
                    if !self.hear(seat, message)? {
                        return Some(ClosingCode::Malformed);
                    }
                }
                _ = ping.tick() => self.send(Message::Ping(Bytes::new())).await?,
            }
        }
    }

    /// Returns whether it was a message as it should be; `None` if the other end is gone.
    fn hear(&self, seat: &Seat, message: Option<Result<Message, axum::Error>>) -> Option<bool> {
        let wrong = |reason| {
            seat.close(ClosingCode::Malformed, reason);
            Some(false)
        };
        match message? {
            Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                Ok(message) => {
                    seat.say(message);
                    Some(true)
                }
                Err(_) => wrong("malformed-message"),
            },
            Ok(Message::Binary(_)) => wrong("binary-frame"),
            Ok(Message::Ping(_) | Message::Pong(_)) => Some(true),
            Ok(Message::Close(_)) => None,
            Err(error) => wrong(signal::malformed_frame(error)?),
        }
    }

    /// `None` if the other end takes nothing.
    async fn send(&mut self, message: Message) -> Option<()> {
        let code = match timeout(self.patience.write, self.socket.send(message)).await {
            Ok(Ok(())) => return Some(()),
            Ok(Err(error)) => signal::not_written(error),
            Err(_) => Some("not-reading"),
        };
        if let Some(code) = code {
            self.metrics.reject(LAYER, code);
        }
        None
    }
}

/// Says why a channel ends, and ends it.
async fn say_goodbye(socket: &mut WebSocket, code: ClosingCode, patience: Patience) {
    let text = serde_json::to_string(&FromServer::Closing { code }).unwrap_or_default();
    let _ = timeout(patience.write, socket.send(Message::Text(Utf8Bytes::from(text)))).await;
    let (code, reason) = match code {
        ClosingCode::Elsewhere => (close_code::NORMAL, "a newer channel took its place"),
        ClosingCode::Ended => (close_code::NORMAL, "the room or the stay in it is over"),
        ClosingCode::Malformed => (close_code::POLICY, "no message of this protocol, or out of turn"),
        ClosingCode::TooOften => (close_code::POLICY, "more messages than allowed"),
        ClosingCode::EntriesRefused => (close_code::POLICY, "others refuse what was submitted"),
        ClosingCode::Full => (close_code::AGAIN, "the room is full"),
        ClosingCode::TooSlow => (close_code::POLICY, "messages were not read"),
        ClosingCode::Silent => (close_code::POLICY, "no report for too long"),
        ClosingCode::Stopping => (close_code::AWAY, "the server is stopping"),
    };
    signal::close(socket, code, reason).await;
}
