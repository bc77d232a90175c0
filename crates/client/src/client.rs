//! The handle that users hold: asynchronous operations, and waiting for conditions.

use std::sync::Arc;
use std::time::Duration;

use protocol::livekit::{self, signal_request};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::driver::{Command, Driver};
use crate::error::ClientError;
use crate::media::MediaSource;
use crate::options::{Misbehaviour, Options, PublishOptions};
use crate::state::{ClientState, CloseCause, Connection, Event, Shared};

/// Largest data packet of the protocol, in bytes.
pub const MAX_DATA: usize = 64_000;

/// Commands that may wait for the connection's task.
const COMMANDS: usize = 256;

/// How a data packet is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataOptions {
    /// Over `_reliable`; otherwise over `_lossy`.
    pub reliable: bool,
    /// Topic.
    pub topic: Option<String>,
    /// Identities that get it; empty means all.
    pub destinations: Vec<String>,
}

impl DataOptions {
    /// Reliable, on a topic, to all.
    pub fn reliable(topic: impl Into<String>) -> Self {
        Self { reliable: true, topic: Some(topic.into()), ..Self::default() }
    }

    /// Without retransmission, on a topic, to all.
    pub fn lossy(topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    /// Only to these identities.
    pub fn to<I: Into<String>>(mut self, identities: impl IntoIterator<Item = I>) -> Self {
        self.destinations = identities.into_iter().map(Into::into).collect();
        self
    }
}

/// A participant in a room of a server that speaks the LiveKit protocol.
///
/// Dropping it ends the connection without a word, like a crashed program; [`Client::leave`] says goodbye.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Client {
    /// Joins the room that `token` names on the server at `url` (`ws`, `wss`, `http` or `https`).
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connection`], [`ClientError::Refused`] (HTTP status),
    /// [`ClientError::LeftAtJoin`], [`ClientError::Protocol`], [`ClientError::Socket`].
    pub async fn connect(url: &str, token: &str, options: Options) -> Result<Self, ClientError> {
        let shared = Shared::new();
        let (commands, waiting) = mpsc::channel(COMMANDS);
        let driver = Driver::join(url, token, options, Arc::clone(&shared), waiting).await?;
        let task = tokio::spawn(driver.run());
        Ok(Self { shared, commands, task })
    }

    /// What is known now, by a function so that nothing has to be copied. It must be short: the connection's
    /// task waits for it.
    pub fn with_state<T>(&self, read: impl FnOnce(&ClientState) -> T) -> T {
        read(&self.shared.lock())
    }

    /// A copy of what is known now.
    pub fn state(&self) -> ClientState {
        self.shared.lock().clone()
    }

    /// Events from now on. Slow readers lose the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events()
    }

    /// Waits until `condition` gives a value; `what` names it in the error.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] with a summary of the state, or [`ClientError::Closed`] if the connection ends
    /// and the condition does not hold.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&ClientState) -> Option<T>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + within;
        let mut changes = self.shared.watch();
        loop {
            {
                let state = self.shared.lock();
                if let Some(value) = condition(&state) {
                    return Ok(value);
                }
                if let Connection::Closed(cause) = &state.connection {
                    return Err(ClientError::Closed(format!("{cause:?} while waiting for {what}")));
                }
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                let state = self.shared.lock().summary();
                return Err(ClientError::Deadline { what: what.to_owned(), after: within, state });
            }
        }
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&ClientState) -> bool,
    ) -> Result<(), ClientError> {
        self.wait_for(what, within, |state| condition(state).then_some(())).await
    }

    /// Waits until media and data can flow.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_connected(&self, within: Duration) -> Result<(), ClientError> {
        self.wait_until("media and data channels", within, |state| state.milestones.data.is_some()).await
    }

    /// Waits until the connection is over and says why.
    ///
    /// # Errors
    /// [`ClientError::Deadline`].
    pub async fn wait_closed(&self, within: Duration) -> Result<CloseCause, ClientError> {
        self.wait_for("the end of the connection", within, |state| match &state.connection {
            Connection::Closed(cause) => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// Publishes a track and returns its id once the server has confirmed it. Its media flows as soon as the
    /// transport is connected.
    ///
    /// # Errors
    /// [`ClientError::PublishRefused`], [`ClientError::NoCommonCodec`], [`ClientError::Deadline`],
    /// [`ClientError::Closed`].
    pub async fn publish(
        &self,
        source: impl MediaSource,
        options: PublishOptions,
    ) -> Result<String, ClientError> {
        let source: Box<dyn MediaSource> = Box::new(source);
        self.ask(|reply| Command::Publish { source, options, reply }).await
    }

    /// Publishes a camera.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_video(&self, source: impl MediaSource) -> Result<String, ClientError> {
        self.publish(source, PublishOptions::named("camera")).await
    }

    /// Publishes a microphone.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub async fn publish_audio(&self, source: impl MediaSource) -> Result<String, ClientError> {
        self.publish(source, PublishOptions::named("microphone")).await
    }

    /// Ends a track of ours.
    ///
    /// # Errors
    /// [`ClientError::UnknownTrack`], [`ClientError::Closed`].
    pub async fn unpublish(&self, sid: &str) -> Result<(), ClientError> {
        let sid = sid.to_owned();
        self.ask(|reply| Command::Unpublish { sid, reply }).await
    }

    /// Mutes or unmutes a track of ours: nothing is sent, and the others are told.
    ///
    /// # Errors
    /// [`ClientError::UnknownTrack`], [`ClientError::Closed`].
    pub async fn set_muted(&self, sid: &str, muted: bool) -> Result<(), ClientError> {
        let sid = sid.to_owned();
        self.ask(|reply| Command::Mute { sid, muted, reply }).await
    }

    /// Subscribes to tracks of others, or no longer.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_subscribed(&self, sids: &[&str], subscribe: bool) -> Result<(), ClientError> {
        let track_sids = sids.iter().map(|sid| (*sid).to_owned()).collect();
        let update =
            livekit::UpdateSubscription { track_sids, subscribe, ..livekit::UpdateSubscription::default() };
        self.signal(signal_request::Message::Subscription(update)).await
    }

    /// Tells the server how a subscribed track is shown.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_track_settings(
        &self,
        settings: livekit::UpdateTrackSettings,
    ) -> Result<(), ClientError> {
        self.signal(signal_request::Message::TrackSetting(settings)).await
    }

    /// Asks for a quality of a subscribed track.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn set_quality(&self, sid: &str, quality: livekit::VideoQuality) -> Result<(), ClientError> {
        self.set_track_settings(livekit::UpdateTrackSettings {
            track_sids: vec![sid.to_owned()],
            quality: quality.into(),
            ..livekit::UpdateTrackSettings::default()
        })
        .await
    }

    /// Changes our own name, metadata and attributes.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn update_metadata(
        &self,
        update: livekit::UpdateParticipantMetadata,
    ) -> Result<(), ClientError> {
        self.signal(signal_request::Message::UpdateMetadata(update)).await
    }

    /// Asks the sender of a subscribed track for a key frame (PLI).
    ///
    /// # Errors
    /// [`ClientError::UnknownTrack`] if no section carries it, [`ClientError::Closed`].
    pub async fn request_key_frame(&self, sid: &str) -> Result<(), ClientError> {
        let sid = sid.to_owned();
        self.ask(|reply| Command::RequestKeyFrame { sid, reply }).await
    }

    /// Sends a user data packet; done when the data channel has taken it.
    ///
    /// # Errors
    /// [`ClientError::Data`] above [`MAX_DATA`] or when too many wait, [`ClientError::Closed`].
    pub async fn publish_data(&self, payload: &[u8], options: DataOptions) -> Result<(), ClientError> {
        if payload.len() > MAX_DATA {
            return Err(ClientError::Data("larger than the protocol allows"));
        }
        let packet = livekit::DataPacket {
            destination_identities: options.destinations,
            value: Some(livekit::data_packet::Value::User(livekit::UserPacket {
                payload: payload.to_vec(),
                topic: options.topic,
                ..livekit::UserPacket::default()
            })),
            ..livekit::DataPacket::default()
        };
        self.send_data_packet(packet, options.reliable).await
    }

    /// Sends any data packet as it is; reliable ones get the next sequence number.
    ///
    /// # Errors
    /// As [`Self::publish_data`].
    pub async fn send_data_packet(
        &self,
        packet: livekit::DataPacket,
        reliable: bool,
    ) -> Result<(), ClientError> {
        let packet = Box::new(packet);
        self.ask(|reply| Command::Data { reliable, packet, reply }).await
    }

    /// Sends any signalling message.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn signal(&self, message: signal_request::Message) -> Result<(), ClientError> {
        self.command(Command::Signal(Box::new(message))).await
    }

    /// Makes new ICE credentials and offers them.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn restart_ice(&self) -> Result<(), ClientError> {
        self.command(Command::IceRestart).await
    }

    /// Behaves badly.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn misbehave(&self, misbehaviour: Misbehaviour) -> Result<(), ClientError> {
        self.command(Command::Misbehave(misbehaviour)).await
    }

    /// Leaves the room and waits until the goodbyes are out. Returns what was known at the end.
    pub async fn leave(self) -> ClientState {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Leave(reply)).await.is_ok() {
            // An error means that the connection ended by itself meanwhile.
            let _ = done.await;
        }
        let state = self.shared.lock().clone();
        // The task has nothing more to do; only a panic in it is an error, and that was reported by its hook.
        let _ = self.task.await;
        state
    }

    async fn command(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| self.closed())
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ClientError>>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.command(command(reply)).await?;
        answer.await.map_err(|_| self.closed())?
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed(match &self.shared.lock().connection {
            Connection::Closed(cause) => format!("{cause:?}"),
            other => format!("the connection's task ended while {other:?}"),
        })
    }
}
