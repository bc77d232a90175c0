//! What members tell each other inside MLS application messages: JSON, padded by MLS, signed by its sender, and read
//! once. Types that are unknown here are of a later version, and dropped.

use std::fmt;

use channel::{Blob, Sequence};
use serde::{Deserialize, Serialize};

/// Largest content that is looked at, in bytes: 4000 characters of chat, and the frame around them.
pub const MAX_BYTES: usize = 20_000;

/// Longest text of a chat message, in characters.
pub const TEXT_CHARACTERS: usize = 4000;

/// Longest id, emoji or option, in characters.
const SHORT_CHARACTERS: usize = 200;

/// Options of a poll.
const POLL_OPTIONS: usize = 20;

/// What one member tells others. `Debug` names no more than that it is one: people's words are in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Message {
    /// Shows that the sender is in the same state of the group.
    Heartbeat {
        /// The last entry of the log that it folded.
        seq: Sequence,
        /// Its epoch.
        epoch: u64,
        /// The authenticator of that epoch.
        authenticator: Blob,
        /// See [`Policy::digest`](crate::policy::Policy::digest).
        rules: Blob,
        /// Asks for heartbeats in return.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ask: bool,
        /// Its streams.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        streams: Vec<Stream>,
    },
    /// The sender compared the digits of an epoch with others.
    Compared {
        /// The epoch.
        epoch: u64,
        /// Whether they were the same.
        matches: bool,
    },
    /// Asks one member for the chat so far.
    WantHistory,
    /// A part of the chat so far.
    History {
        /// Lines, oldest first.
        lines: Vec<Line>,
        /// Keys under which names of members are sealed, of links that were in force before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        name_keys: Vec<Blob>,
        /// Nothing follows.
        last: bool,
    },
    /// What people say: see [`Content`].
    #[serde(untagged)]
    Content(Content),
}

/// What people say and do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Content {
    /// A line of chat.
    Chat {
        /// Chosen by the sender.
        id: String,
        /// Plain text.
        text: String,
    },
    /// A reaction that is seen for some seconds.
    Reaction {
        /// One emoji.
        emoji: String,
    },
    /// A hand goes up or down.
    Hand {
        /// Up.
        raised: bool,
    },
    /// A question with options.
    Poll {
        /// Chosen by the sender.
        id: String,
        /// The question.
        question: String,
        /// What can be chosen.
        options: Vec<String>,
    },
    /// A choice in a poll.
    Vote {
        /// The poll.
        poll: String,
        /// Index of the option; `None` takes a vote back.
        option: Option<usize>,
    },
}

/// One stream of its sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The track's id, as the server knows it.
    pub track: String,
    /// What it shows.
    pub kind: StreamKind,
}

/// What a stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// Sound of a microphone.
    Microphone,
    /// Pictures of a camera.
    Camera,
    /// Pictures of a screen.
    Screen,
    /// Sound of a screen.
    ScreenSound,
}

/// A line of the chat so far, as the member tells it who hands it on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Chosen by the author.
    pub id: String,
    /// The author's identity.
    pub from: String,
    /// The author's name; they may be gone by now.
    pub name: String,
    /// Plain text.
    pub text: String,
    /// When it came, in milliseconds since the epoch.
    pub at: u64,
}

/// People's words and names are never printed.
macro_rules! unspoken {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), " { [pii] }"))
            }
        }
    )*};
}
unspoken!(Message, Content, Line);

impl Message {
    /// As bytes of an application message.
    pub fn encode(&self) -> Vec<u8> {
        // Of these types nothing can fail to be encoded.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what another member sent. `None` for what is not understood or out of bounds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let message: Self = serde_json::from_slice(bytes).ok()?;
        message.is_in_bounds().then_some(message)
    }

    fn is_in_bounds(&self) -> bool {
        match self {
            Self::Heartbeat { streams, .. } => {
                streams.len() <= 16 && streams.iter().all(|stream| short(&stream.track))
            }
            Self::Compared { .. } | Self::WantHistory => true,
            Self::History { lines, name_keys, .. } => {
                name_keys.len() <= 64
                    && lines.iter().all(|line| {
                        short(&line.id) && short(&line.from) && short(&line.name) && text(&line.text)
                    })
            }
            Self::Content(content) => content.is_in_bounds(),
        }
    }
}

impl Content {
    fn is_in_bounds(&self) -> bool {
        match self {
            Self::Chat { id, text: said } => short(id) && text(said),
            Self::Reaction { emoji } => short(emoji),
            Self::Hand { .. } => true,
            Self::Poll { id, question, options } => {
                short(id)
                    && text(question)
                    && options.len() <= POLL_OPTIONS
                    && options.iter().all(|o| short(o))
            }
            Self::Vote { poll, option } => short(poll) && option.is_none_or(|option| option < POLL_OPTIONS),
        }
    }
}

fn short(text: &str) -> bool {
    text.chars().take(SHORT_CHARACTERS + 1).count() <= SHORT_CHARACTERS
}

fn text(text: &str) -> bool {
    text.chars().take(TEXT_CHARACTERS + 1).count() <= TEXT_CHARACTERS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_flat_objects_with_a_type() {
        let chat = Message::Content(Content::Chat { id: "1".into(), text: "hello".into() });
        assert_eq!(chat.encode(), br#"{"type":"chat","id":"1","text":"hello"}"#);
        let beat = Message::Heartbeat {
            seq: 3,
            epoch: 2,
            authenticator: Blob(vec![1]),
            rules: Blob(vec![2]),
            ask: true,
            streams: vec![Stream { track: "TR_1".into(), kind: StreamKind::ScreenSound }],
        };
        for message in [chat, beat, Message::WantHistory, Message::Content(Content::Hand { raised: true })] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn what_is_unknown_or_too_long_is_dropped() {
        assert_eq!(Message::decode(br#"{"type":"telepathy"}"#), None);
        let long = Message::Content(Content::Chat { id: "1".into(), text: "x".repeat(TEXT_CHARACTERS + 1) });
        assert_eq!(Message::decode(&long.encode()), None);
        let many = Content::Poll { id: "1".into(), question: "?".into(), options: vec!["a".into(); 21] };
        assert_eq!(Message::decode(&Message::Content(many).encode()), None);
    }

    #[test]
    fn nothing_that_was_said_is_printed() {
        let chat = Content::Chat { id: "1".into(), text: "secret".into() };
        assert_eq!(
            format!("{chat:?} {:?}", Message::Content(chat.clone())),
            "Content { [pii] } Message { [pii] }"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }
    }
}
