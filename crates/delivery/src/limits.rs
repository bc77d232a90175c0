//! Every bound of a room's delivery.

use crate::Millis;
use crate::bucket::Rate;

/// How long somebody whose channel broke may take to come back before the log says that they have not.
pub const EXPIRES: Millis = 30_000;

/// How long a newcomer waits at most for others to say what they think of the newest entry.
pub const BASE_WAIT: Millis = 2_000;

/// How long a member that was asked for a GroupInfo may take.
pub const ASK_WAIT: Millis = 2_000;

/// How often others are asked for a GroupInfo for one newcomer, as long as the group does not go on.
pub const ASKS: u8 = 3;

/// How long offers to restore a room are collected, from the first on.
pub const OFFERS: Millis = 1_000;

/// How long after a room was restored another offer takes its place once more members offer that.
pub const RESTORE_SETTLES: Millis = 60_000;

/// Different offers that are held.
pub(crate) const DIFFERENT_OFFERS: usize = 4;

/// How long an empty room waits for offers, once somebody came who knows another log.
pub const RESTORE_WAIT: Millis = 5_000;

/// How long a Welcome is kept for somebody whose channel is broken.
pub const WELCOME_KEPT: Millis = 60_000;

/// How long a channel may be open without a `hello`.
pub const HELLO_WAIT: Millis = 10_000;

/// How long a member may owe a report of what it applied.
pub const SILENCE: Millis = 60_000;

/// Within what time refused entries count, and how long their submitter is barred from submitting.
pub const REFUSALS_WITHIN: Millis = 60_000;

/// How many refused entries end a channel.
pub const REFUSALS: usize = 3;

/// Bytes of the hash of a state of the group.
pub const STATE_BYTES: usize = 32;

/// Submissions without a verdict that are remembered.
pub(crate) const TRACKED: usize = 64;

/// How many of them, the newest, keep their GroupInfo.
pub(crate) const TRACKED_INFOS: usize = 8;

/// GroupInfos of one state of the group: that of its submitter, and of others who were asked.
pub(crate) const INFOS: usize = 3;

/// GroupInfos that one member may call bad before the oldest counts as good again.
pub(crate) const BAD: usize = 8;

/// Bounds that a test may want smaller.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Channels open at once.
    pub members: usize,
    /// Identities remembered, with those that have left.
    pub people: usize,
    /// Bytes of an identity that a message names.
    pub identity_bytes: usize,
    /// Bytes of a commit.
    pub data_bytes: usize,
    /// Bytes of a Welcome.
    pub welcome_bytes: usize,
    /// Bytes of a GroupInfo.
    pub group_info_bytes: usize,
    /// Bytes of a statement: a host's longest has 207.
    pub statement_bytes: usize,
    /// Bytes of a key package.
    pub key_package_bytes: usize,
    /// Statements of a room, and of an offer to restore it. All of them count for as long as the meeting is, since who
    /// comes later folds them all; the server cannot tell which of them another one has made void. With a lobby each
    /// newcomer takes one, so there are some more than 200 members need who come several times.
    pub statements: usize,
    /// Members that an offer to restore may name.
    pub restore_members: usize,
    /// Entries of the log that are retained.
    pub log_entries: usize,
    /// Bytes of them.
    pub log_bytes: usize,
    /// Entries that somebody who comes back is sent at most; who missed more gets a base.
    pub resume_entries: usize,
    /// Bytes of them.
    pub resume_bytes: usize,
    /// Bytes of Welcomes that are kept for those whose channel is broken.
    pub kept_welcome_bytes: usize,
    /// Messages of one identity.
    pub messages: Rate,
    /// Submissions and key packages of one identity.
    pub submissions: Rate,
    /// `join` entries of one identity.
    pub joins: Rate,
    /// `join` entries of the room.
    pub room_joins: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members: 200,
            people: 1024,
            identity_bytes: 256,
            data_bytes: 64 << 10,
            welcome_bytes: 192 << 10,
            group_info_bytes: 128 << 10,
            statement_bytes: 256,
            key_package_bytes: 4 << 10,
            statements: 1024,
            restore_members: 256,
            log_entries: 4096,
            log_bytes: 8 << 20,
            resume_entries: 1024,
            resume_bytes: 2 << 20,
            kept_welcome_bytes: 1 << 20,
            messages: Rate { burst: 200, per_minute: 20 * 60 },
            submissions: Rate { burst: 20, per_minute: 60 },
            joins: Rate { burst: 3, per_minute: 3 },
            room_joins: Rate { burst: 200, per_minute: 10 * 60 },
        }
    }
}
