//! One participant of a room: who it is, its transport, what it publishes, what it gets, and what waits to be
//! sent to it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use protocol::ids::{Identity, ParticipantSid, SessionId, TrackSid};
use protocol::livekit;
use slab::Slab;

use super::backpressure::Congestion;
use super::links::Links;
use super::negotiation::Negotiation;
use super::pacing::Pacing;
use super::quality::Quality;
use super::receiver::Receiver;
use super::updates::Updates;
use crate::bandwidth::estimator::Settings;
use crate::peer::sctp::RELIABLE_QUEUE;
use crate::token_bucket::TokenBucket;
use crate::track::down_track::DownTrack;
use crate::track::sender_report::NtpBase;
use crate::track::wish::Wish;

/// Reports of one participant that are read at once, and how soon one more: Chromium sends one a second for each picture it
/// gets, and some for each that it sends. More than this says nothing new and only costs time.
const REPORTS: u32 = 200;
const REPORT_INTERVAL: Duration = Duration::from_millis(5);

/// Packets sent to one participant again at once over all its tracks, and how soon one more. 1000 a second are 10 Mbit/s: a
/// tenth of what somebody with 25 pictures of 360p and some large ones gets.
const RETRANSMISSIONS: u32 = 500;
const RETRANSMISSION_INTERVAL: Duration = Duration::from_millis(1);

/// A track announced by `AddTrack` whose media section has not been offered yet.
#[derive(Debug)]
pub(crate) struct PendingTrack {
    pub(crate) sid: TrackSid,
    pub(crate) request: livekit::AddTrackRequest,
}

/// What a participant wants of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) desired: bool,
    /// The publisher's permission.
    pub(crate) allowed: bool,
    /// What the participant needs of it (`trackSetting`).
    pub(crate) wish: Wish,
    pub(crate) down_track: Option<usize>,
}

/// Receive sections that the client was asked for and has not offered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// An offer is due, whatever it will contain.
    pub(crate) offer: bool,
    pub(crate) audios: usize,
    pub(crate) videos: usize,
}

/// See the module's description.
pub(crate) struct Participant {
    pub(crate) sid: ParticipantSid,
    pub(crate) identity: Identity,
    /// `None` while the signalling connection is gone.
    pub(crate) session: Option<SessionId>,
    pub(crate) disconnected_at: Option<Instant>,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) permission: livekit::ParticipantPermission,
    pub(crate) kind: livekit::participant_info::Kind,
    pub(crate) state: livekit::participant_info::State,
    pub(crate) joined_at_ms: i64,
    pub(crate) version: u32,
    pub(crate) client_protocol: i32,
    pub(crate) auto_subscribe: bool,

    pub(crate) links: Links,
    pub(crate) negotiation: Negotiation,
    /// ICE user fragment and password of the connection that the client offers, once offered.
    pub(crate) ice_parameters: Option<(String, String)>,
    /// Whether the transport came with its keys and takes none from offers.
    pub(crate) is_keyed: bool,

    pub(crate) pending_tracks: Vec<PendingTrack>,
    /// Keys of the room's tracks.
    pub(crate) published: Vec<usize>,
    /// Keys of their backup codecs.
    pub(crate) backups: Vec<usize>,
    pub(crate) subscription_permission: Option<livekit::SubscriptionPermission>,
    pub(crate) receiver: Receiver,
    pub(crate) ntp_base: NtpBase,
    /// How much may be sent to it again.
    pub(crate) retransmissions: TokenBucket,
    /// How many reports of it are read.
    pub(crate) reports: TokenBucket,
    pub(crate) quality: Quality,
    pub(crate) own_ssrc: u32,
    pub(crate) feedback_due: Option<Instant>,

    /// Sequence number of the last reliable data packet that it sent, 0 before the first: a client that resumes
    /// sends some again.
    pub(crate) last_sequence: u32,

    pub(crate) subscriptions: BTreeMap<usize, Subscription>,
    pub(crate) down_tracks: Slab<DownTrack>,
    pub(crate) requested: Requested,

    pub(crate) pacing: Pacing,
    /// Since when the line carries less than what is sent of pictures.
    pub(super) shortage: Option<Instant>,
    pub(crate) early_data: Vec<Vec<u8>>,
    early_bytes: usize,
    pub(crate) reliable_open: bool,
    /// Set while more reliable data waits for it than its senders may add to.
    pub(super) congestion: Option<Congestion>,
    /// Keys of those that its reliable data waits for: they have fallen behind. It is not read while there are any.
    pub(super) waits_for: Vec<usize>,
    /// What everybody is told of it.
    pub(super) updates: Updates,
    pub(crate) is_dirty: bool,
    /// Sources that were just begun, and of which no sender report went out: track, layer and DownTrack.
    pub(super) unreported: Vec<(usize, usize, usize)>,
    pub(crate) scheduled: Option<Instant>,
}

impl Participant {
    pub(crate) fn new(
        sid: ParticipantSid,
        join: &crate::command::Join,
        links: Links,
        negotiation: Negotiation,
        own_ssrc: u32,
        now: Instant,
        bandwidth: &Settings,
    ) -> Self {
        Self {
            sid,
            identity: join.identity.clone(),
            session: Some(join.session),
            disconnected_at: None,
            name: join.name.clone(),
            metadata: join.metadata.clone(),
            attributes: join.attributes.clone(),
            permission: join.permission.clone(),
            kind: join.kind,
            state: livekit::participant_info::State::Joined,
            joined_at_ms: join.now_unix_ms,
            version: 1,
            client_protocol: join.client.client_protocol,
            auto_subscribe: join.auto_subscribe,
            links,
            negotiation,
            ice_parameters: None,
            is_keyed: join.keyed.is_some(),
            pending_tracks: Vec::new(),
            published: Vec::new(),
            backups: Vec::new(),
            subscription_permission: None,
            receiver: Receiver::default(),
            ntp_base: NtpBase::default(),
            reports: TokenBucket::new(REPORTS, REPORT_INTERVAL),
            retransmissions: TokenBucket::new(RETRANSMISSIONS, RETRANSMISSION_INTERVAL),
            quality: Quality::new(now),
            own_ssrc,
            feedback_due: None,
            last_sequence: 0,
            subscriptions: BTreeMap::new(),
            down_tracks: Slab::new(),
            requested: Requested::default(),
            pacing: Pacing::new(now, bandwidth),
            shortage: None,
            early_data: Vec::new(),
            early_bytes: 0,
            reliable_open: false,
            congestion: None,
            waits_for: Vec::new(),
            updates: Updates::default(),
            is_dirty: false,
            unreported: Vec::new(),
            scheduled: None,
        }
    }

    /// The next time something is due.
    pub(crate) fn next_timeout(&self, now: Instant, grace: std::time::Duration) -> Option<Instant> {
        let grace = self.disconnected_at.map(|since| since + grace);
        let links = self.links.iter().filter_map(|link| link.transport.poll_timeout());
        links
            .chain(self.feedback_due)
            .chain(self.updates.due())
            .chain(grace)
            .chain(self.pacing.next_timeout(now))
            .min()
    }

    /// Keys of all that it sends: tracks, and their backup codecs.
    pub(crate) fn sources(&self) -> impl Iterator<Item = usize> {
        self.published.iter().chain(&self.backups).copied()
    }

    /// Makes feedback due at `at`, unless it is due earlier.
    pub(crate) fn want_feedback(&mut self, at: Instant) {
        self.feedback_due = Some(self.feedback_due.map_or(at, |due| due.min(at)));
    }

    /// Keeps reliable data until the channel opens, since somebody who joins must not miss what is said while its
    /// connection comes up; false if there is too much.
    pub(crate) fn keep_early(&mut self, data: &[u8]) -> bool {
        if self.early_bytes + data.len() > RELIABLE_QUEUE {
            return false;
        }
        self.early_bytes += data.len();
        self.early_data.push(data.to_vec());
        true
    }

    /// Bytes that were kept.
    pub(super) fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Takes what was kept.
    pub(crate) fn take_early(&mut self) -> Vec<Vec<u8>> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early_data)
    }

    /// Key of the DownTrack with this SSRC.
    pub(crate) fn down_track_of(&self, ssrc: u32) -> Option<usize> {
        self.down_tracks.iter().find(|(_, down)| down.ssrc == ssrc).map(|(key, _)| key)
    }

    /// What the participant would say of itself after an update: empty texts stay as they are, empty
    /// attributes go (LiveKit's protocol).
    pub(super) fn described_by(
        &self,
        update: &livekit::UpdateParticipantMetadata,
    ) -> livekit::UpdateParticipantMetadata {
        let or = |new: &String, old: &String| if new.is_empty() { old.clone() } else { new.clone() };
        let mut attributes = self.attributes.clone();
        attributes.extend(update.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
        attributes.retain(|_, value| !value.is_empty());
        livekit::UpdateParticipantMetadata {
            metadata: or(&update.metadata, &self.metadata),
            name: or(&update.name, &self.name),
            attributes,
            request_id: update.request_id,
        }
    }

    /// From now on this is said of it.
    pub(super) fn describe(&mut self, update: livekit::UpdateParticipantMetadata) {
        (self.metadata, self.name) = (update.metadata, update.name);
        self.attributes = update.attributes;
        self.version += 1;
    }

    /// Whether others learn of it.
    pub(crate) fn is_visible(&self) -> bool {
        !self.permission.hidden
    }

    /// Whether it may publish from this source (an empty list allows all).
    pub(crate) fn may_publish(&self, source: i32) -> bool {
        let sources = &self.permission.can_publish_sources;
        self.permission.can_publish && (sources.is_empty() || sources.contains(&source))
    }
}
