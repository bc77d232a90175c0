//! One person's part in the keys of one meeting: follows the room's log, gets into the group, keeps it in order, and
//! says who holds the keys. A state machine: [`Session::handle`] is the only way in, [`Session::poll`] the only way out.
//!
//! The run loop's rule: hand in an input, then poll until it gives nothing more, then wait until
//! [`Session::poll_timeout`] at the latest and hand in [`Input::Timeout`].

mod beats;
mod duties;
mod epochs;
mod history;
mod joining;
mod log;
mod members;
mod returning;
mod roster;
mod wire;

use std::collections::VecDeque;
use std::rc::Rc;

use channel::{Blob, Sequence, ToServer};
use pii::Pii;

pub use self::roster::{Roster, RosterMember};
pub use self::wire::{Event, HostAction, Input, Output, State, Stop, Word};
use crate::group::{Group, Own, Psk, WaitingKeys};
use crate::identity::identity_of;
use crate::keys::{Key, NotEnoughMemory, RoomKeys, StretchedPassword};
use crate::message::{Content, Message, Stream};
use crate::name;
use crate::policy::Policy;
use crate::provider::{Random, Seed};
use crate::rotation::{Media, Rotation};
use crate::signer::LeafKey;
use crate::statement::Place;

/// Joining anew after having lost step with the others, as often in [`RESYNC_WINDOW_MS`].
const RESYNCS: usize = 3;
const RESYNC_WINDOW_MS: u64 = 60_000;

/// An answer to what we submitted may take so long, in milliseconds; then it counts as lost.
const ANSWER_MS: u64 = 10_000;

/// Messages that wait for a commit of ours to be over.
const UNSENT: usize = 64;

/// Joins that the others skipped, one after the other, until the link must be another one. Once may be a race.
const REFUSED_JOINS: u32 = 2;

/// Bases that cannot be used or do not come, one after the other, until we give up.
const BAD_BASES: u32 = 6;

/// What a session is for.
pub struct Config {
    /// The origin of the instance, for example `https://meet.example`.
    pub origin: String,
    /// Keys of the link in this room.
    pub keys: RoomKeys,
    /// The meeting's password, if one was typed.
    pub password: Option<StretchedPassword>,
    /// The display name, tidied.
    pub name: Pii<String>,
    /// The signature key, from which the identity follows.
    pub key: LeafKey,
}

/// See the [module](self).
pub struct Session {
    origin: String,
    keys: RoomKeys,
    /// Keys of names sealed under links that were in force before.
    old_name_keys: Vec<Key>,
    password: Option<StretchedPassword>,
    name: Pii<String>,
    own: Own,
    identity: String,
    random: Random,

    connected: bool,
    /// Data packets reach the others.
    path: bool,
    state: State,
    log: Option<String>,
    /// The last entry folded.
    folded: Sequence,
    /// The last entry there was when the channel opened.
    head: Sequence,
    /// Entries skipped since the last report.
    refused: Vec<Sequence>,
    policy: Option<Policy>,
    group: Option<Group>,
    members: members::Members,
    attempt: Attempt,
    pending: Option<Pending>,
    /// Messages for whom, while a commit of ours waits: the group seals nothing then.
    unsent: VecDeque<(Vec<String>, Message)>,
    bad_bases: u32,
    refused_joins: u32,
    /// We offered our state to restore the room, and did not come into the group again since.
    offered: bool,
    /// Until when we wait for the others, if what was restored is not where we were.
    patient_until: Option<u64>,
    /// The meeting in which others confirmed us, by the id of its group.
    home: Option<Vec<u8>>,
    /// The own key is in the tree that we join: we were in it before.
    known_there: bool,
    next_id: u32,
    /// Times at which we joined anew.
    resyncs: VecDeque<u64>,

    duties: duties::Duties,
    beats: beats::Beats,
    rotation: Rotation,
    epochs: epochs::Epochs,
    history: history::History,
    returning: returning::Returning,
    roster: roster::Told,
    /// When joining, put off by a refusal, is tried again.
    retry_at: Option<u64>,
    out: VecDeque<Output>,
}

/// How we try to get into the group.
enum Attempt {
    /// We are in, or wait for the server's word.
    None,
    /// The group that we started; counts once its entry is the log's first.
    Starting(Box<Group>),
    /// We asked for a base, at this time.
    Base { since: u64 },
    /// By external commit: the entry before its place, the state after it, and the commit.
    External { after: Sequence, group: Box<Group>, commit: Vec<u8> },
    /// By key package, since this time.
    Waiting { keys: Box<WaitingKeys>, since: u64 },
}

/// A submission of a member that has no answer yet.
struct Pending {
    id: u32,
    /// The entry before its place.
    after: Sequence,
    data: Vec<u8>,
    /// A host's word of ours; otherwise it is a commit.
    word: Option<Word>,
    since: u64,
}

impl Session {
    /// A session; nothing happens until [`Input::Connected`]. `seed` is random and used once.
    pub fn new(config: Config, seed: Seed) -> Self {
        let Config { origin, keys, password, name, key } = config;
        let random = Random::new(seed);
        let identity = identity_of(&key.public());
        let sealed_name = name::seal(&keys.name(), keys.room(), &identity, name.expose(), random.array());
        Self {
            origin,
            keys,
            old_name_keys: Vec::new(),
            password,
            name,
            own: Own { key: Rc::new(key), sealed_name },
            identity,
            random,
            connected: false,
            path: false,
            state: State::Connecting,
            log: None,
            folded: 0,
            head: 0,
            refused: Vec::new(),
            policy: None,
            group: None,
            members: members::Members::default(),
            attempt: Attempt::None,
            pending: None,
            unsent: VecDeque::new(),
            bad_bases: 0,
            refused_joins: 0,
            offered: false,
            patient_until: None,
            home: None,
            known_there: false,
            next_id: 1,
            resyncs: VecDeque::new(),
            duties: duties::Duties::default(),
            beats: beats::Beats::default(),
            rotation: Rotation::default(),
            epochs: epochs::Epochs::default(),
            history: history::History::default(),
            returning: returning::Returning::default(),
            roster: roster::Told::default(),
            retry_at: None,
            out: VecDeque::new(),
        }
    }

    /// The identity that follows from the signature key.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A password for [`Word::Password`], stretched for the link in force; takes a good part of a second.
    ///
    /// # Errors
    /// [`NotEnoughMemory`].
    pub fn stretch(&self, password: &str) -> Result<StretchedPassword, NotEnoughMemory> {
        self.keys.stretch(password)
    }

    /// Takes an input. `now` is in milliseconds since the epoch, and never goes back.
    pub fn handle(&mut self, now: u64, input: Input) {
        if matches!(self.state, State::Stopped { .. }) {
            return;
        }
        match input {
            Input::Connected => self.connected_again(now),
            Input::Disconnected => self.connected = false,
            Input::Channel { message } => self.channel(now, message),
            Input::Message { data } => self.message(now, &data.0),
            Input::Path { open } => {
                self.path = open;
                if open {
                    self.beats.due_at(now);
                }
            }
            Input::Send { content } => self.send(now, content),
            Input::Streams { streams } => self.streams(now, streams),
            Input::Compared { epoch, matches } => self.compared(epoch, matches),
            Input::Say { word } => self.duties.say(word),
            Input::Leave => {
                self.submit_leave();
            }
            Input::Timeout => {}
        }
        self.due(now);
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is due, in milliseconds since the epoch.
    pub fn poll_timeout(&self) -> Option<u64> {
        if matches!(self.state, State::Stopped { .. }) {
            return None;
        }
        let attempt = match &self.attempt {
            Attempt::Waiting { since, .. } if self.connected => Some(since + joining::WAIT_MS),
            Attempt::Base { since } if self.connected => Some(since + joining::BASE_MS),
            _ => None,
        };
        let pending = self.pending.as_ref().filter(|_| self.connected);
        let pending = pending.map(|pending| pending.since + ANSWER_MS);
        [
            attempt,
            pending,
            self.retry_at.filter(|_| self.connected),
            self.rotation.next(),
            self.beats.next(),
            self.duties_next(),
            self.history.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due by now.
    fn due(&mut self, now: u64) {
        if self.connected && self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.want_base(now, None);
        }
        if self.connected && self.pending.as_ref().is_some_and(|pending| pending.since + ANSWER_MS <= now) {
            self.drop_pending();
        }
        self.attempt_due(now);
        let media = self.rotation.timeout(now);
        self.media(media);
        self.beats_due(now);
        self.history_due(now);
        self.send_unsent();
        self.duties_due(now);
        self.tell_roster(now);
    }

    fn submit_leave(&mut self) {
        self.tell_server(ToServer::Leave);
        self.stop(Stop::Left);
    }

    /// In the group and in step with the log: entries are folded, and duties done.
    fn follows(&self) -> bool {
        self.group.is_some() && matches!(self.attempt, Attempt::None) && self.retry_at.is_none()
    }

    fn next_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    fn tell_server(&mut self, message: ToServer) {
        self.out.push_back(Output::Channel { message });
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event { event });
    }

    fn media(&mut self, media: Vec<Media>) {
        self.out.extend(media.into_iter().map(|media| Output::Media { media }));
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state.clone();
            self.event(Event::State { state });
        }
    }

    /// It is over: nothing is sent or opened any longer.
    fn stop(&mut self, reason: Stop) {
        let media = self.rotation.end();
        self.media(media);
        self.group = None;
        self.pending = None;
        self.attempt = Attempt::None;
        self.set_state(State::Stopped { reason });
    }

    /// The PSK in force.
    fn psk(&self) -> Psk {
        let rule = self.policy.as_ref().map(Policy::password);
        let number = rule.map_or(0, |rule| rule.number);
        let asked = rule.is_some_and(|rule| rule.verifier.is_some());
        let password = self.password.as_ref().filter(|_| asked);
        Psk { id: self.keys.psk_id(number), key: self.keys.psk(password) }
    }

    fn place(&self, group_id: &[u8]) -> Place {
        Place { origin: self.origin.clone(), room: self.keys.room().to_owned(), group_id: group_id.to_vec() }
    }

    /// Seals a message for the group and sends it: to those named, or to everybody.
    fn tell(&mut self, to: Vec<String>, message: &Message) -> bool {
        if !self.path {
            return false;
        }
        let Some(group) = &mut self.group else { return false };
        if group.is_committing() && self.unsent.len() < UNSENT {
            self.unsent.push_back((to, message.clone()));
            return true;
        }
        let Ok(data) = group.seal(&message.encode()) else { return false };
        self.out.push_back(Output::Message { to, data: Blob(data) });
        true
    }

    fn send_unsent(&mut self) {
        while self.group.as_ref().is_some_and(|group| !group.is_committing()) {
            if !self.path {
                return;
            }
            let Some((to, message)) = self.unsent.pop_front() else { return };
            if !self.tell(to, &message)
                && let Message::Content(content) = message
            {
                self.event(Event::NotSent { content });
            }
        }
    }

    fn send(&mut self, now: u64, content: Content) {
        let message = Message::Content(content.clone());
        if self.tell(Vec::new(), &message) {
            self.history.keep(now, &self.identity, self.name.expose(), &content);
        } else {
            self.event(Event::NotSent { content });
        }
    }

    fn streams(&mut self, now: u64, streams: Vec<Stream>) {
        self.beats.streams = streams;
        self.beats.due_at(now);
    }
}
