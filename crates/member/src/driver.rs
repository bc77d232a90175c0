//! The run loop of a session: hands in what comes from the room, the channel, the clock and the member's owner, and passes
//! on what the session says.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use channel::{Blob, ToServer};
use client::{Client, DataOptions, Event as RoomEvent};
use e2ee::message::{Content, Stream};
use e2ee::session::{Event, HostAction, Input, Output, Roster, Session, State, Word as SessionWord};
use e2ee::statement::Action;
use pii::Pii;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::sleep_until;

use crate::clock::Clock;
use crate::keyring::SharedKeyring;
use crate::line::{Line, News};

/// Data packets of members. What has another topic is not looked at.
const TOPIC: &str = "k";

/// Words of others that are kept.
const HEARD: usize = 1000;

/// What somebody said, signed with their key.
#[derive(Clone, PartialEq, Eq)]
pub struct Heard {
    /// Identity.
    pub from: String,
    /// What.
    pub content: Content,
}

/// What a member knows of its meeting.
#[derive(Clone)]
pub struct Known {
    /// How its session stands.
    pub state: State,
    /// Who holds the keys; `None` before it is among them.
    pub roster: Option<Roster>,
    /// The last things that others said, oldest first.
    pub heard: VecDeque<Heard>,
}

impl Default for Known {
    fn default() -> Self {
        Self { state: State::Connecting, roster: None, heard: VecDeque::new() }
    }
}

/// Identities and words are never printed.
impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heard { [pii] }")
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a host may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostWord {
    /// Nobody joins but those whom a host admits; or that this ends.
    Lock(bool),
    /// Whoever has this identity is removed, and the link changes.
    Kick(Pii<String>),
    /// Joining takes this password from now on, or none.
    Password(Option<Pii<String>>),
}

/// What the owner wants.
pub(crate) enum Command {
    /// Says something to everybody; answered once it is sent.
    Say { content: Content, sent: oneshot::Sender<()> },
    /// Says something as a host; answered once it stands in the log.
    Host { word: HostWord, said: oneshot::Sender<()> },
    /// What the own streams are.
    Streams(Vec<Stream>),
    /// Leaves for good; the task ends.
    Leave,
}

/// Something that waits to be said.
struct Word {
    content: Content,
    /// The session has it, and sends it once a commit of its own is over.
    is_taken: bool,
    sent: oneshot::Sender<()>,
}

/// What one input led to, as far as words are concerned.
#[derive(Default)]
struct Outcome {
    /// Something was sent to others.
    sent: bool,
    /// A word came back.
    not_sent: bool,
}

pub(crate) struct Driver {
    parts: Parts,
    /// To the server, while the channel is open.
    way: Option<mpsc::UnboundedSender<ToServer>>,
    /// In the order in which they are said.
    words: VecDeque<Word>,
    /// Wait for words as a host to stand in the log, in the order in which they were said.
    said: VecDeque<(HostAction, oneshot::Sender<()>)>,
}

/// What a driver brings together.
pub(crate) struct Parts {
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    pub(crate) client: Arc<Client>,
    pub(crate) events: broadcast::Receiver<RoomEvent>,
    pub(crate) keyring: SharedKeyring,
    pub(crate) known: watch::Sender<Known>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, way: None, words: VecDeque::new(), said: VecDeque::new() }
    }

    /// Until the session is over or its owner is gone.
    pub(crate) async fn run(mut self, mut line: Line) {
        let mut is_connected = true;
        self.input(Input::Path { open: true }).await;
        while !matches!(self.parts.session.state(), State::Stopped { .. }) {
            let due = self.parts.session.poll_timeout().map(|at| self.parts.clock.instant(at));
            let timeout = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                news = line.next() => match news {
                    News::Open(outbox) => {
                        self.way = Some(outbox);
                        Input::Connected
                    }
                    News::Message(message) => Input::Channel { message: *message },
                    News::Closed => {
                        self.way = None;
                        Input::Disconnected
                    }
                },
                event = self.parts.events.recv(), if is_connected => match event {
                    Ok(RoomEvent::Data(data)) if data.topic() == Some(TOPIC) => match data.payload() {
                        Some(payload) => Input::Message { data: Blob(payload.to_vec()) },
                        None => continue,
                    },
                    // What was missed the others repeat, or this member joins anew.
                    Ok(RoomEvent::Closed(_)) | Err(RecvError::Closed) => {
                        is_connected = false;
                        Input::Path { open: false }
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                },
                command = self.parts.commands.recv() => match command {
                    Some(Command::Say { content, sent }) => {
                        self.words.push_back(Word { content, is_taken: false, sent });
                        self.say().await;
                        continue;
                    }
                    Some(Command::Host { word, said }) => match self.session_word(&word) {
                        Some(word) => {
                            self.said.retain(|(_, said)| !said.is_closed());
                            self.said.push_back((HostAction::of_word(&word), said));
                            Input::Say { word }
                        }
                        None => continue,
                    },
                    Some(Command::Streams(streams)) => Input::Streams { streams },
                    Some(Command::Leave) => Input::Leave,
                    None => break,
                },
                () = timeout => Input::Timeout,
            };
            self.input(input).await;
        }
        drop(self.way.take());
        line.close().await;
    }

    /// What is signed for it; `None` if nobody of that identity is there.
    fn session_word(&self, word: &HostWord) -> Option<SessionWord> {
        Some(SessionWord::Action(match word {
            HostWord::Lock(on) => Action::Lock(*on),
            HostWord::Kick(identity) => Action::Kick(self.parts.session.key_of(identity.expose())?),
            HostWord::Password(None) => Action::NoPassword,
            // Takes a good part of a second, during which this member does nothing else.
            HostWord::Password(Some(password)) => {
                return Some(SessionWord::Password(self.parts.session.stretch(password.expose()).ok()?));
            }
        }))
    }

    async fn input(&mut self, input: Input) {
        let outcome = self.hand_in(input).await;
        self.settle(&outcome);
        self.say().await;
    }

    /// Says what waits, one after the other, as far as the session takes it now.
    async fn say(&mut self) {
        while let Some(word) = self.words.front_mut().filter(|word| !word.is_taken) {
            if !matches!(self.parts.session.state(), State::Member { .. }) {
                return;
            }
            word.is_taken = true;
            let content = word.content.clone();
            let outcome = self.hand_in(Input::Send { content }).await;
            self.settle(&outcome);
            if outcome.not_sent {
                // Tried again with the next input.
                return;
            }
        }
    }

    /// While a commit of its own is under way, a session keeps everything that it would send, and sends all of it in one
    /// go afterwards. So the word that it took is out as soon as anything is.
    fn settle(&mut self, outcome: &Outcome) {
        let Some(word) = self.words.front_mut().filter(|word| word.is_taken) else { return };
        if outcome.not_sent {
            word.is_taken = false;
        } else if outcome.sent
            && let Some(word) = self.words.pop_front()
        {
            // Whoever said it may have stopped waiting.
            let _ = word.sent.send(());
        }
    }

    async fn hand_in(&mut self, input: Input) -> Outcome {
        let mut outcome = Outcome::default();
        self.parts.session.handle(self.parts.clock.now(), input);
        while let Some(output) = self.parts.session.poll() {
            match output {
                Output::Channel { message } => {
                    if let Some(way) = &self.way {
                        // Closed meanwhile: what is lost is said again over the next one.
                        let _ = way.send(message);
                    }
                }
                Output::Message { to, data } => {
                    outcome.sent = true;
                    // What is lost is not missed for long: keys are asked for again.
                    let _ =
                        self.parts.client.publish_data(&data.0, DataOptions::reliable(TOPIC).to(to)).await;
                }
                Output::Media { media } => self.parts.keyring.lock().apply(media),
                Output::Event { event: Event::NotSent { .. } } => outcome.not_sent = true,
                Output::Event { event: Event::NotSaid { action } } => drop(self.take_said(&action)),
                Output::Event { event: Event::Said { host, action } } => {
                    if host == self.parts.session.identity()
                        && let Some(said) = self.take_said(&action)
                    {
                        // Whoever said it may have stopped waiting.
                        let _ = said.send(());
                    }
                }
                Output::Event { event } => self.happened(event),
            }
        }
        outcome
    }

    /// Who waits for a word to be said.
    fn take_said(&mut self, action: &HostAction) -> Option<oneshot::Sender<()>> {
        let index = self.said.iter().position(|(word, _)| word == action)?;
        self.said.remove(index).map(|(_, said)| said)
    }

    fn happened(&self, event: Event) {
        self.parts.known.send_if_modified(|known| {
            match event {
                Event::State { state } => known.state = state,
                Event::Roster { roster } => known.roster = Some(roster),
                Event::Received { from, content } => {
                    if known.heard.len() == HEARD {
                        known.heard.pop_front();
                    }
                    known.heard.push_back(Heard { from, content });
                }
                _ => return false,
            }
            true
        });
    }
}
