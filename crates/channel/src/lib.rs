//! Messages of the channel `/api/v1/rooms/{room}/channel`: a WebSocket over which members of a room share an ordered
//! log that the server keeps but cannot read. `docs/e2ee.md` says what flows when.
//!
//! One JSON object a message. What is encrypted or signed is opaque here and goes as base64 ([`Blob`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that mean nothing to the server; base64 with padding on the wire (RFC 4648 §4).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

/// A place in the log. The first entry has 1; 0 is the place before it. (Messages say `u64`, which is what their
/// description has to say.)
pub type Sequence = u64;

/// What kind of entry a member submits. The server does not look further; members refuse an entry whose content is
/// of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Submission {
    /// The group itself, by its first GroupInfo; the first entry of every log and only that.
    Group,
    /// An external commit: its submitter joins, or joins anew.
    Join,
    /// A commit of a member.
    Commit,
    /// A statement of a host.
    Statement,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// See [`Submission::Group`].
    Group,
    /// See [`Submission::Join`].
    Join,
    /// See [`Submission::Commit`].
    Commit,
    /// See [`Submission::Statement`].
    Statement,
    /// Written by the server: `from` said that they leave, or their participant ended.
    Left,
    /// Written by the server: the channel of `from` broke.
    Gone,
    /// Written by the server: `from` has a channel again, having been `gone` or `expired`, or the first time.
    Back,
    /// Written by the server: `from` has been gone for 30 s.
    Expired,
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// Its place.
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// The identity that submitted it, or that it is about.
    pub from: String,
    /// The content of what was submitted; absent in entries that the server wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
    pub data: Option<Blob>,
    /// The Welcome, in the copies of those whom the commit adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
    pub welcome: Option<Blob>,
    /// Whom the commit adds, as its submitter says: members skip it if it does not add them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub adds: Vec<String>,
}

/// A Welcome and whom it is for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Welcome {
    /// Identities that the commit adds.
    pub to: Vec<String>,
    /// The MLS message.
    pub data: Blob,
}

/// What a member sends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToServer {
    /// The first message, and only that.
    Hello {
        /// The log that the member knows, if it has a state of the group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
        log: Option<String>,
        /// The last entry of it that the member has folded.
        #[serde(default)]
        after: u64,
    },
    /// Appends an entry if the log still ends at `after`.
    Submit {
        /// Repeated in the answer.
        id: u32,
        /// The last entry that the submitter has folded.
        after: u64,
        /// What it is.
        kind: Submission,
        /// Its content.
        data: Blob,
        /// For those whom a commit adds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
        welcome: Option<Welcome>,
        /// The GroupInfo of the state after this entry, with the ratchet tree. Of `Group` it is the content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
        group_info: Option<Blob>,
    },
    /// The sender has folded the log up to here.
    Applied {
        /// The last entry folded.
        seq: u64,
        /// Submitted entries since the last report that it skipped, because MLS or the policy refuses them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<u64>,
        /// A hash of the state of the group after `seq`: the same for the same state only. Empty without a group.
        state: Blob,
    },
    /// Answers [`FromServer::GroupInfoWanted`].
    GroupInfo {
        /// The last entry folded into it.
        seq: u64,
        /// The GroupInfo, with the ratchet tree.
        group_info: Blob,
    },
    /// Asks for a [`FromServer::Base`]. No entries come until it does.
    WantBase {
        /// The base that cannot be used, if one was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
        bad: Option<u64>,
    },
    /// Waits to be added by a member. A newer one takes the place of an older one.
    KeyPackage {
        /// The key package, sealed for those who know the link's secret.
        data: Blob,
    },
    /// Offers to restore the room, after [`FromServer::RestoreWanted`]. Of one identity the first offer counts.
    Restore {
        /// The epoch of the offered state. The state is taken that most offer; of several the highest epoch.
        epoch: u64,
        /// Its hash, as in `Applied`.
        state: Blob,
        /// The GroupInfo of that state, with the ratchet tree.
        group_info: Blob,
        /// Host statements in the order of the log.
        statements: Vec<Blob>,
        /// Identities in the group: who of them does not come back counts as gone.
        members: Vec<String>,
    },
    /// Asks whether the server is still there: clients in browsers do not see the WebSocket's own pings.
    Ping,
    /// Leaves for good.
    Leave,
}

/// How a log stands when a channel opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogState {
    /// Without entries of members: whoever submits the group first starts the meeting.
    Empty,
    /// The server may have lost a meeting of this room a moment ago; newcomers wait for [`FromServer::Opened`] to
    /// come again.
    Restoring,
    /// A meeting is on.
    Running,
}

/// What the server sends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FromServer {
    /// The first message; again when a restored log takes the place of the one told before.
    Opened {
        /// Names the log: random, new with every room.
        log: String,
        /// The last entry.
        head: u64,
        /// How it stands.
        state: LogState,
        /// The entries after what `Hello` named follow. Otherwise a `Base` does, if the log is running.
        resumed: bool,
    },
    /// From where a newcomer joins: it gets all entries after `seq` from now on, also those that it got before it asked
    /// for a new base.
    Base {
        /// The last entry folded into the GroupInfo, or a later one that changed nothing in the group.
        seq: u64,
        /// The GroupInfo, with the ratchet tree.
        group_info: Blob,
        /// The hash that most members reported of that state: a GroupInfo of another one is not to be used. Absent if
        /// nobody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(required = false, nullable = false))]
        state: Option<Blob>,
        /// Earlier entries up to `seq` that the policy needs: every host statement, the last presence of each identity.
        past: Vec<Entry>,
    },
    /// The next entry.
    Entry(Entry),
    /// A submission was appended; its entry comes as to everybody.
    Submitted {
        /// From the submission.
        id: u32,
        /// Its place.
        seq: u64,
    },
    /// A submission was not appended.
    Refused {
        /// From the submission.
        id: u32,
        /// Why.
        code: Refusal,
        /// The last entry of the log.
        head: u64,
    },
    /// To the submitter: what others reported about its entry. Once for each. Also, with `applied: false`, to whom most
    /// others report another state of the group than its own after this entry.
    Outcome {
        /// The entry.
        seq: u64,
        /// At least one other member applied it, or most of those who ever reported what they applied skipped it.
        applied: bool,
    },
    /// Asks for a [`ToServer::GroupInfo`].
    GroupInfoWanted,
    /// Asks for a [`ToServer::Restore`].
    RestoreWanted,
    /// To members: somebody waits to be added.
    Waiting {
        /// Who.
        from: String,
        /// Their key package, sealed.
        data: Blob,
    },
    /// To members: somebody waits no longer.
    NotWaiting {
        /// Who.
        from: String,
    },
    /// Answers [`ToServer::Ping`].
    Pong,
    /// The server is about to close the channel.
    Closing {
        /// Why.
        code: ClosingCode,
    },
}

/// Why a submission was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The log has gone on since `after`.
    Stale,
    /// The group exists already, or does not exist yet, or is being restored, or the submitter waits for a base.
    OutOfPlace,
    /// Above what one member, one identity or the room may submit.
    TooOften,
    /// Above the bound of its kind.
    TooLarge,
}

/// Why the server closes a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClosingCode {
    /// A newer channel of the same identity.
    Elsewhere,
    /// The participant's connection to the room ended, or the room did.
    Ended,
    /// No message of this protocol, or one out of turn.
    Malformed,
    /// More messages than a member may send.
    TooOften,
    /// Most members refuse what this one submits.
    EntriesRefused,
    /// The room has as many members as it may have.
    Full,
    /// It did not take what was sent to it in time.
    TooSlow,
    /// It said no `Hello`, or did not report for a minute what it applied, though it is in the group (it reported before,
    /// or an entry of its own was appended). Who only waits owes no reports.
    Silent,
    /// The server stops.
    Stopping,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| serde::de::Error::custom("no base64"))
    }
}

#[cfg(feature = "openapi")]
mod description {
    use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
    use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
    use utoipa::{PartialSchema, ToSchema};

    impl PartialSchema for super::Blob {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
                .into()
        }
    }

    impl ToSchema for super::Blob {}
}

/// Names a message by its kind only: identities are personal.
macro_rules! kind_only {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), " { [pii] }"))
            }
        }
    )*};
}
kind_only!(Entry, Welcome, ToServer, FromServer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_flat_objects_with_a_type() {
        let hello: ToServer = serde_json::from_str(r#"{"type":"hello"}"#).unwrap();
        assert!(hello == ToServer::Hello { log: None, after: 0 });
        let entry = FromServer::Entry(Entry {
            seq: 3,
            kind: Kind::Commit,
            from: "anna".into(),
            data: Some(Blob(vec![1, 2, 3])),
            welcome: None,
            adds: Vec::new(),
        });
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(text, r#"{"type":"entry","seq":3,"kind":"commit","from":"anna","data":"AQID"}"#);
        assert!(serde_json::from_str::<FromServer>(&text).unwrap() == entry);
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        assert!(serde_json::from_str::<ToServer>(r#"{"type":"key-package","data":"A"}"#).is_err());
    }

    #[test]
    fn nobody_is_named_in_debug_output() {
        let entry = Entry {
            seq: 1,
            kind: Kind::Left,
            from: "anna".into(),
            data: None,
            welcome: None,
            adds: Vec::new(),
        };
        assert_eq!(format!("{entry:?}"), "Entry { [pii] }");
    }
}
