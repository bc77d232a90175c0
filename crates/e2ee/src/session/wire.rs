//! What goes in and out of a session. In browsers these are JSON.

use channel::{Blob, FromServer, ToServer};
use serde::{Deserialize, Serialize};

use super::Roster;
use crate::keys::StretchedPassword;
use crate::message::{Content, Line, Stream};
use crate::rotation::Media;
use crate::signer::PublicKey;
use crate::statement::Action;

/// What a session takes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Input {
    /// The channel's socket is open.
    Connected,
    /// It is closed.
    Disconnected,
    /// A message of the channel.
    Channel {
        /// The message.
        message: FromServer,
    },
    /// A data packet on our topic.
    Message {
        /// Its payload.
        data: Blob,
    },
    /// Whether data packets reach the others.
    Path {
        /// They do.
        open: bool,
    },
    /// Says something to everybody.
    Send {
        /// What.
        content: Content,
    },
    /// What the own streams are.
    Streams {
        /// All of them.
        streams: Vec<Stream>,
    },
    /// The person compared the digits of an epoch.
    Compared {
        /// The epoch, as the roster named it.
        epoch: u64,
        /// They were the same.
        matches: bool,
    },
    /// Says something as a host. Not by JSON: what hosts operate comes with the door.
    #[serde(skip)]
    Say {
        /// What.
        word: Word,
    },
    /// Leaves for good.
    Leave,
    /// See [`Session::poll_timeout`](super::Session::poll_timeout).
    Timeout,
}

/// What a host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Anything but a password.
    Action(Action),
    /// Joining takes this password from now on. It is sealed for the members, who need it to let others in.
    Password(StretchedPassword),
}

/// What a session gives.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Output {
    /// Goes over the channel.
    Channel {
        /// The message.
        message: ToServer,
    },
    /// Goes as a data packet on our topic.
    Message {
        /// Identities; everybody if empty.
        to: Vec<String>,
        /// The payload.
        data: Blob,
    },
    /// For the frame encryption.
    Media {
        /// What to do.
        media: Media,
    },
    /// For people.
    Event {
        /// What happened.
        event: Event,
    },
}

/// What people are to know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// How it stands.
    State {
        /// See [`State`].
        state: State,
    },
    /// Who holds the keys.
    Roster {
        /// See [`Roster`].
        roster: Roster,
    },
    /// A member said something.
    Received {
        /// Its identity.
        from: String,
        /// What.
        content: Content,
    },
    /// Could not be sent: no keys yet, or no way to the others.
    NotSent {
        /// What.
        content: Content,
    },
    /// The server does not take what we said as a host.
    NotSaid {
        /// What.
        action: HostAction,
    },
    /// Lines of chat from before we came.
    History {
        /// Oldest first.
        lines: Vec<Line>,
    },
    /// A member compared digits with others.
    Compared {
        /// Its identity.
        from: String,
        /// They were the same.
        matches: bool,
    },
    /// The link has another secret from now on.
    LinkChanged {
        /// The fragment of the new link, with `#`.
        fragment: String,
    },
    /// A host said something that members act on themselves.
    Said {
        /// The host's identity.
        host: String,
        /// See [`HostAction`].
        action: HostAction,
    },
    /// The streams of a member, as it says itself.
    Streams {
        /// Its identity.
        from: String,
        /// All of them.
        streams: Vec<Stream>,
    },
}

/// A host's word, without keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum HostAction {
    /// See [`Action::Lock`].
    Lock {
        /// From now on, or no longer.
        on: bool,
    },
    /// See [`Action::Lobby`].
    Lobby {
        /// From now on, or no longer.
        on: bool,
    },
    /// See [`Action::Admit`].
    Admit {
        /// Who.
        identity: String,
    },
    /// See [`Action::Password`] and [`Action::NoPassword`].
    Password {
        /// One is asked for.
        on: bool,
    },
    /// See [`Action::Kick`].
    Kick {
        /// Who.
        identity: String,
    },
    /// See [`Action::MuteAll`].
    MuteAll,
    /// See [`Action::AddHost`] and [`Action::HandOver`].
    Host {
        /// Who.
        identity: String,
    },
    /// See [`Action::Permissions`].
    Permissions {
        /// One bit each.
        bits: u32,
    },
    /// See [`Action::Recording`].
    Recording {
        /// It begins, or ends.
        on: bool,
    },
    /// See [`Action::End`].
    End,
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum State {
    /// On the way into the group: nothing can be sealed yet.
    Connecting,
    /// The server may have lost the meeting; those who were in it restore it.
    Restoring,
    /// In the group.
    Member {
        /// Somebody else showed that they are in the same state, or nobody else is there.
        confirmed: bool,
    },
    /// It is over.
    Stopped {
        /// Why.
        reason: Stop,
    },
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// We left.
    Left,
    /// Those in the meeting have another link.
    OtherLink,
    /// The meeting takes a password, and this is not it.
    Password,
    /// The meeting is locked: a host has to let us in.
    Locked,
    /// A host removed us.
    Removed,
    /// The meeting we were in is gone, and another one is in its place.
    OtherMeeting,
    /// We lost step with the others again and again.
    OutOfStep,
    /// The channel was opened elsewhere under the same identity.
    Elsewhere,
    /// The room ended, or our connection to it.
    Ended,
    /// The server refused what we sent.
    Refused,
    /// As many are in the room as can be.
    Full,
}

impl HostAction {
    /// What a word comes to in the log.
    pub fn of_word(word: &Word) -> Self {
        match word {
            Word::Action(action) => Self::of(action),
            Word::Password(_) => Self::Password { on: true },
        }
    }

    pub(crate) fn of(action: &Action) -> Self {
        let identity = |key: &PublicKey| crate::identity::identity_of(key);
        match action {
            Action::Lock(on) => Self::Lock { on: *on },
            Action::Lobby(on) => Self::Lobby { on: *on },
            Action::Admit(key) => Self::Admit { identity: identity(key) },
            Action::Password { .. } => Self::Password { on: true },
            Action::NoPassword => Self::Password { on: false },
            Action::Kick(key) => Self::Kick { identity: identity(key) },
            Action::MuteAll => Self::MuteAll,
            Action::AddHost(key) | Action::HandOver(key) => Self::Host { identity: identity(key) },
            Action::Permissions(bits) => Self::Permissions { bits: *bits },
            Action::Recording(on) => Self::Recording { on: *on },
            Action::End => Self::End,
        }
    }
}
