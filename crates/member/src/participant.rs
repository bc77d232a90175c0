//! The handle that users hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::media::{IvfVideo, SyntheticAudio};
use client::{Client, ClientState, Options, token};
use e2ee::keys::{Key, RoomKeys};
use e2ee::media::Kind;
use e2ee::message::{Content, Stream, StreamKind};
use e2ee::session::{self, Session, State};
use e2ee::signer::LeafKey;
use pii::Pii;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::driver::{Command, Driver, HostWord, Known, Parts};
use crate::error::MemberError;
use crate::invitation::Invitation;
use crate::keyring::{Keyring, SharedKeyring};
use crate::line::Line;
use crate::stream::{Liar, Lie, SealedStream};

/// How long the way into the group may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the media path may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it may take until a host's word stands in the log.
const SAID_TIMEOUT: Duration = Duration::from_secs(30);

/// Orders that may wait for the session.
const COMMANDS: usize = 64;

/// A key of the server with which tokens are made.
#[derive(Debug, Clone)]
pub struct Access {
    /// Name of the key.
    pub key: String,
    /// Its secret.
    pub secret: String,
}

impl Access {
    /// What a server with `--dev` takes.
    pub fn dev() -> Self {
        Self { key: "devkey".into(), secret: "secret".into() }
    }

    fn token(&self, room: &str, identity: &str) -> String {
        token::join(&self.key, &self.secret, room, identity)
    }
}

/// What a member is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The meeting.
    pub invitation: Invitation,
    /// How it gets in.
    pub access: Access,
    /// Display name, which the credential holds sealed. It is not tidied.
    pub name: Pii<String>,
    /// How its client behaves.
    pub options: Options,
}

/// A member of an encrypted meeting. Dropping it ends it without a word; [`Member::leave`] says goodbye.
pub struct Member {
    identity: String,
    client: Arc<Client>,
    keyring: SharedKeyring,
    known: watch::Receiver<Known>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    streams: Vec<Stream>,
    liar: Option<Liar>,
}

impl Member {
    /// Joins the room and the group: [`Self::enter`] and [`Self::wait_joined`] in one. Needs a [`tokio::task::LocalSet`] around it.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn join(config: Config) -> Result<Self, MemberError> {
        let member = Self::enter(config).await?;
        member.wait_joined().await?;
        Ok(member)
    }

    /// Joins the room, and sets out for the group; [`Self::wait_joined`] waits until it is there.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub async fn enter(config: Config) -> Result<Self, MemberError> {
        let Config { invitation: Invitation { origin, room, secret }, access, name, options } = config;
        let clock = Clock::start();
        let key = LeafKey::from_seed(&random());
        let keys = RoomKeys::new(secret, &room);
        let session = session::Config { origin: origin.clone(), keys, password: None, name, key };
        let session = Session::new(session, *random());
        let identity = session.identity().to_owned();
        let client = Client::connect(&origin, &access.token(&room, &identity), options).await?;
        let events = client.events();
        client.wait_connected(CONNECT_TIMEOUT).await?;
        let client = Arc::new(client);
        let keyring = SharedKeyring::default();
        let (known, knowing) = watch::channel(Known::default());
        let (commands, waiting) = mpsc::channel(COMMANDS);
        let parts = Parts {
            session,
            clock,
            client: Arc::clone(&client),
            events,
            keyring: keyring.clone(),
            known,
            commands: waiting,
        };
        let line = {
            let identity = identity.clone();
            Line::open(move || channel_address(&origin, &room, &access.token(&room, &identity)))
        };
        let task = spawn_local(Driver::new(parts).run(line));
        let known = knowing;
        Ok(Self { identity, client, keyring, known, commands, task, streams: Vec::new(), liar: None })
    }

    /// Waits until it is in the group, and another member has shown that it took it in, if there is one.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_joined(&self) -> Result<(), MemberError> {
        let is_in = |known: &Known| known.state == State::Member { confirmed: true };
        self.wait_until("the way into the group", JOIN_TIMEOUT, is_in).await
    }

    /// The identity that follows from its signature key.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Its connection to the room.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Uses its media keys; it must be short, since what is sent waits for it.
    pub fn with_keyring<T>(&self, use_it: impl FnOnce(&mut Keyring) -> T) -> T {
        use_it(&mut self.keyring.lock())
    }

    /// What it knows of its meeting.
    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits until `condition` gives a value; `what` names it in the error.
    ///
    /// # Errors
    /// [`MemberError::Deadline`]; [`MemberError::Stopped`] or [`MemberError::Ended`] if its session is over and the
    /// condition does not hold.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Known) -> Option<T>,
    ) -> Result<T, MemberError> {
        let mut known = self.known.clone();
        let waiting = async {
            loop {
                {
                    let known = known.borrow_and_update();
                    if let Some(value) = condition(&known) {
                        return Ok(value);
                    }
                    if let State::Stopped { reason } = known.state {
                        return Err(MemberError::Stopped(reason));
                    }
                }
                known.changed().await.map_err(|_| MemberError::Ended)?;
            }
        };
        let late = |_| MemberError::Deadline { what: what.to_owned(), within };
        timeout(within, waiting).await.map_err(late)?
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut(&Known) -> bool,
    ) -> Result<(), MemberError> {
        self.wait_for(what, within, |known| condition(known).then_some(())).await
    }

    /// Publishes a microphone, sealed, and returns the track's id.
    ///
    /// # Errors
    /// [`MemberError::Client`], [`MemberError::Ended`].
    pub async fn publish_microphone(&mut self, source: SyntheticAudio) -> Result<String, MemberError> {
        let (stream, _) = SealedStream::new(self.keyring.clone(), Kind::Microphone);
        let track = self.client.publish_audio(source.sealed(Box::new(stream))).await?;
        self.add(Stream { track: track.clone(), kind: StreamKind::Microphone }).await?;
        Ok(track)
    }

    /// Publishes a camera, sealed, and returns the track's id.
    ///
    /// # Errors
    /// As [`Self::publish_microphone`].
    pub async fn publish_camera(&mut self, source: IvfVideo) -> Result<String, MemberError> {
        let (stream, liar) = SealedStream::new(self.keyring.clone(), Kind::Camera);
        let track = self.client.publish_video(source.sealed(Box::new(stream))).await?;
        self.liar = Some(liar);
        self.add(Stream { track: track.clone(), kind: StreamKind::Camera }).await?;
        Ok(track)
    }

    async fn add(&mut self, stream: Stream) -> Result<(), MemberError> {
        self.streams.push(stream);
        self.command(Command::Streams(self.streams.clone())).await
    }

    /// Says something to everybody, and waits until it is sent.
    ///
    /// # Errors
    /// [`MemberError::Ended`].
    pub async fn say(&self, content: Content) -> Result<(), MemberError> {
        let (sent, done) = oneshot::channel();
        self.command(Command::Say { content, sent }).await?;
        done.await.map_err(|_| MemberError::Ended)
    }

    /// Says something as a host, and waits until it stands in the log.
    ///
    /// # Errors
    /// [`MemberError::Ended`] if the server does not take it, or nobody is there whom it is about;
    /// [`MemberError::Deadline`], also if this member is no host.
    pub async fn say_as_host(&self, word: HostWord) -> Result<(), MemberError> {
        let (said, done) = oneshot::channel();
        self.command(Command::Host { word, said }).await?;
        let late = |_| MemberError::Deadline { what: "its word in the log".to_owned(), within: SAID_TIMEOUT };
        timeout(SAID_TIMEOUT, done).await.map_err(late)?.map_err(|_| MemberError::Ended)
    }

    /// From now on its camera lies, or no longer. Waits until the first such frame has been sent.
    ///
    /// # Errors
    /// [`MemberError::Deadline`] if there is nothing to repeat; [`MemberError::Ended`] without a camera.
    pub async fn lie(&mut self, lie: Lie) -> Result<(), MemberError> {
        self.liar.as_mut().ok_or(MemberError::Ended)?.lie(lie).await
    }

    /// Leaves the group and the room, and waits until the goodbyes are out. Returns what its client knew at the end.
    pub async fn leave(self) -> Option<ClientState> {
        let Self { client, commands, task, .. } = self;
        // An error means that the session is over.
        let _ = commands.send(Command::Leave).await;
        let _ = task.await;
        match Arc::into_inner(client) {
            Some(client) => Some(client.leave().await),
            None => None,
        }
    }

    async fn command(&self, command: Command) -> Result<(), MemberError> {
        self.commands.send(command).await.map_err(|_| MemberError::Ended)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("known", &*self.known.borrow()).finish_non_exhaustive()
    }
}

fn channel_address(origin: &str, room: &str, token: &str) -> String {
    let base = origin.replacen("http", "ws", 1);
    format!("{base}/api/v1/rooms/{}/channel?access_token={}", client::escape(room), client::escape(token))
}

/// 32 random bytes. Without randomness there is nothing that a member could do.
fn random() -> Key {
    let mut bytes = Key::default();
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system has randomness");
    bytes
}
