//! Which data tracks a room has, who publishes and who subscribes to them, and by which numbers they know them.
//!
//! A packet carries its track's number, the *handle*. The publisher chooses its own; each subscriber has others,
//! which the room gives out, since two publishers may have chosen the same.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use protocol::data_track::Header;
use protocol::ids::DataTrackSid;
use protocol::livekit;
use slab::Slab;

/// Data tracks that one participant may subscribe to: five of everybody's in the largest meeting. The list is told
/// with each change, so this bounds it to 100 KB.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// Data tracks of a room; participants are named by the room's keys.
#[derive(Debug, Default)]
pub(super) struct DataTracks {
    tracks: Slab<DataTrack>,
    by_sid: HashMap<DataTrackSid, usize>,
    /// By the publisher's handles.
    published: HashMap<usize, BTreeMap<u16, usize>>,
    subscribers: HashMap<usize, Subscriber>,
}

#[derive(Debug)]
struct DataTrack {
    publisher: usize,
    sid: DataTrackSid,
    info: livekit::DataTrackInfo,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug)]
struct Subscription {
    participant: usize,
    handle: NonZeroU16,
    rate: Option<FrameRate>,
}

/// The handles of one subscriber.
#[derive(Debug, Default)]
struct Subscriber {
    /// The newest; none is given again until all others were, so that a late packet is not taken for another
    /// track's.
    last: u16,
    handles: BTreeMap<u16, usize>,
}

impl Subscriber {
    fn next_handle(&self) -> Option<NonZeroU16> {
        if self.handles.len() >= MAX_SUBSCRIPTIONS {
            return None;
        }
        let mut handle = self.last;
        loop {
            handle = handle.wrapping_add(1);
            // Fewer are in use than there are, so this ends.
            if let Some(free) = NonZeroU16::new(handle).filter(|_| !self.handles.contains_key(&handle)) {
                return Some(free);
            }
        }
    }
}

/// Lets no more than so many whole frames per second through.
#[derive(Debug)]
struct FrameRate {
    interval: Duration,
    due: Option<Instant>,
    /// The frame that is on its way.
    frame: Option<u16>,
}

impl FrameRate {
    /// `None` for what is no rate.
    fn new(frames_per_second: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(frames_per_second)?;
        Some(Self { interval, due: None, frame: None })
    }

    fn admits(&mut self, now: Instant, header: &Header) -> bool {
        if header.is_frame_start {
            let due = self.due.unwrap_or(now);
            self.frame = (now >= due).then_some(header.frame);
            if self.frame.is_some() {
                // Counted from when the frame was due: jitter does not lower the rate.
                self.due = Some((due + self.interval).max(now));
            }
        }
        self.frame == Some(header.frame)
    }
}

/// Why something cannot be done with a data track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A participant may not do this.
    #[error("the participant may not do this")]
    NotAllowed,
    /// There is no such track.
    #[error("there is no such data track")]
    NotFound,
    /// 0, or more than 16 bits.
    #[error("a handle is from 1 to 65535")]
    InvalidHandle,
    /// The publisher has a track with this handle.
    #[error("the handle is in use")]
    DuplicateHandle,
    /// Empty, or more than 256 characters.
    #[error("a name has 1 to 256 characters")]
    InvalidName,
    /// The publisher has a track with this name.
    #[error("the name is in use")]
    DuplicateName,
    /// More tracks or subscriptions than anybody needs.
    #[error("there are too many")]
    TooMany,
    /// Everybody would be told more of the publisher than may be told of one.
    #[error("more is announced than one participant may")]
    TooLarge,
    /// The room keeps no schemas.
    #[error("schemas are not kept")]
    SchemaUnsupported,
    /// Something else is not as clients send it.
    #[error("the request is malformed")]
    Malformed,
}

impl Refusal {
    /// Stable code for counters.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "data-track-not-allowed",
            Self::NotFound => "data-track-not-found",
            Self::InvalidHandle => "data-track-invalid-handle",
            Self::DuplicateHandle => "data-track-duplicate-handle",
            Self::InvalidName => "data-track-invalid-name",
            Self::DuplicateName => "data-track-duplicate-name",
            Self::TooMany => "too-many-data-tracks",
            Self::TooLarge => "announcements-too-large",
            Self::SchemaUnsupported => "data-track-schema-unsupported",
            Self::Malformed => "data-track-malformed",
        }
    }

    /// The same in LiveKit's protocol.
    pub(super) const fn reason(self) -> livekit::request_response::Reason {
        use livekit::request_response::Reason;
        match self {
            Self::NotAllowed => Reason::NotAllowed,
            Self::NotFound => Reason::NotFound,
            Self::InvalidHandle => Reason::InvalidHandle,
            Self::DuplicateHandle => Reason::DuplicateHandle,
            Self::InvalidName => Reason::InvalidName,
            Self::DuplicateName => Reason::DuplicateName,
            Self::TooMany | Self::TooLarge => Reason::LimitExceeded,
            Self::SchemaUnsupported => Reason::UnsupportedType,
            Self::Malformed => Reason::InvalidRequest,
        }
    }
}

impl DataTracks {
    /// Adds a track; `limit` is how many a participant may have.
    pub(super) fn publish(
        &mut self,
        publisher: usize,
        info: livekit::DataTrackInfo,
        sid: DataTrackSid,
        limit: usize,
    ) -> Result<(), Refusal> {
        let handle = u16::try_from(info.pub_handle).ok().filter(|handle| *handle != 0);
        let handle = handle.ok_or(Refusal::InvalidHandle)?;
        if self.published_by(publisher).any(|other| other.name == info.name) {
            return Err(Refusal::DuplicateName);
        }
        let published = self.published.entry(publisher).or_default();
        if published.contains_key(&handle) {
            return Err(Refusal::DuplicateHandle);
        }
        if published.len() >= limit {
            return Err(Refusal::TooMany);
        }
        let track = DataTrack { publisher, sid: sid.clone(), info, subscriptions: Vec::new() };
        let track = self.tracks.insert(track);
        published.insert(handle, track);
        self.by_sid.insert(sid, track);
        Ok(())
    }

    /// Removes a track; returns what was told of it.
    pub(super) fn unpublish(&mut self, publisher: usize, handle: u32) -> Option<livekit::DataTrackInfo> {
        let handle = u16::try_from(handle).ok()?;
        let track = self.published.get_mut(&publisher)?.remove(&handle)?;
        let track = self.tracks.try_remove(track)?;
        self.by_sid.remove(&track.sid);
        for subscription in track.subscriptions {
            if let Some(subscriber) = self.subscribers.get_mut(&subscription.participant) {
                subscriber.handles.remove(&subscription.handle.get());
            }
        }
        Some(track.info)
    }

    /// Somebody is gone, and with them what they published and subscribed to.
    pub(super) fn forget(&mut self, participant: usize) {
        while let Some(handle) = self.published.get(&participant).and_then(|own| own.keys().next().copied()) {
            self.unpublish(participant, u32::from(handle));
        }
        self.published.remove(&participant);
        let subscriber = self.subscribers.remove(&participant).unwrap_or_default();
        for track in subscriber.handles.into_values() {
            if let Some(track) = self.tracks.get_mut(track) {
                track.subscriptions.retain(|subscription| subscription.participant != participant);
            }
        }
    }

    /// What is told of a participant's tracks, by their handles.
    pub(super) fn published_by(&self, publisher: usize) -> impl Iterator<Item = &livekit::DataTrackInfo> {
        let tracks = self.published.get(&publisher).into_iter().flat_map(BTreeMap::values);
        tracks.filter_map(|track| Some(&self.tracks.get(*track)?.info))
    }

    /// Who publishes the track with this id.
    pub(super) fn publisher(&self, sid: &str) -> Option<usize> {
        Some(self.tracks.get(*self.by_sid.get(sid)?)?.publisher)
    }

    /// Subscribes, or changes the rate of a subscription; a rate of 0 is none.
    pub(super) fn subscribe(
        &mut self,
        participant: usize,
        sid: &str,
        frames_per_second: Option<u32>,
    ) -> Result<(), Refusal> {
        let key = *self.by_sid.get(sid).ok_or(Refusal::NotFound)?;
        let track = self.tracks.get_mut(key).ok_or(Refusal::NotFound)?;
        let rate = frames_per_second.and_then(FrameRate::new);
        if let Some(known) = track.subscriptions.iter_mut().find(|known| known.participant == participant) {
            known.rate = rate;
            return Ok(());
        }
        let subscriber = self.subscribers.entry(participant).or_default();
        let handle = subscriber.next_handle().ok_or(Refusal::TooMany)?;
        subscriber.last = handle.get();
        subscriber.handles.insert(handle.get(), key);
        track.subscriptions.push(Subscription { participant, handle, rate });
        Ok(())
    }

    /// Ends a subscription, if there is one.
    pub(super) fn unsubscribe(&mut self, participant: usize, sid: &str) {
        let Some(track) = self.by_sid.get(sid).and_then(|track| self.tracks.get_mut(*track)) else { return };
        let Some(at) = track.subscriptions.iter().position(|known| known.participant == participant) else {
            return;
        };
        let subscription = track.subscriptions.swap_remove(at);
        if let Some(subscriber) = self.subscribers.get_mut(&participant) {
            subscriber.handles.remove(&subscription.handle.get());
        }
    }

    /// A subscriber's handles, and the publishers and ids of the tracks behind them.
    pub(super) fn handles(&self, participant: usize) -> impl Iterator<Item = (u16, usize, &DataTrackSid)> {
        let handles = self.subscribers.get(&participant).into_iter().flat_map(|known| &known.handles);
        handles.filter_map(|(handle, track)| {
            let track = self.tracks.get(*track)?;
            Some((*handle, track.publisher, &track.sid))
        })
    }

    /// The track and the number of subscriptions that a publisher's packet is for.
    pub(super) fn track_of(&self, publisher: usize, header: &Header) -> Option<(usize, usize)> {
        let track = *self.published.get(&publisher)?.get(&header.handle.get())?;
        Some((track, self.tracks.get(track)?.subscriptions.len()))
    }

    /// Who of a track's subscribers, counted from 0, gets this packet, and with which handle.
    pub(super) fn receiver(
        &mut self,
        now: Instant,
        track: usize,
        index: usize,
        header: &Header,
    ) -> Option<Receiver<'_>> {
        let track = self.tracks.get_mut(track)?;
        let subscription = track.subscriptions.get_mut(index)?;
        let admits = subscription.rate.as_mut().is_none_or(|rate| rate.admits(now, header));
        admits.then_some(Receiver {
            participant: subscription.participant,
            handle: subscription.handle,
            sid: track.sid.as_str(),
        })
    }
}

/// Who gets a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Receiver<'a> {
    pub(super) participant: usize,
    /// The handle that the packet has for it.
    pub(super) handle: NonZeroU16,
    /// Id of the packet's track.
    pub(super) sid: &'a str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(handle: u32) -> livekit::DataTrackInfo {
        livekit::DataTrackInfo { pub_handle: handle, name: format!("track {handle}"), ..Default::default() }
    }

    fn sid(number: u8) -> DataTrackSid {
        DataTrackSid::from_random([number; 12])
    }

    fn packet(handle: u16, frame: u16, is_frame_start: bool) -> Header {
        Header { handle: NonZeroU16::new(handle).unwrap(), is_frame_start, frame, length: 12 }
    }

    #[test]
    fn two_publishers_with_the_same_handle_are_told_apart_by_their_subscriber() {
        let now = crate::test_start();
        let mut table = DataTracks::default();
        for (publisher, number) in [(0, 1), (1, 2)] {
            table.publish(publisher, info(7), sid(number), 8).unwrap();
            table.subscribe(2, sid(number).as_str(), None).unwrap();
        }
        let mut handle_of = |publisher| {
            let header = packet(7, 0, true);
            let (track, subscriptions) = table.track_of(publisher, &header).unwrap();
            assert_eq!(subscriptions, 1);
            table.receiver(now, track, 0, &header).unwrap().handle.get()
        };
        let (first, second) = (handle_of(0), handle_of(1));
        assert_ne!(first, second);
        let known: Vec<_> = table.handles(2).map(|(handle, publisher, _)| (handle, publisher)).collect();
        assert_eq!(known, [(first, 0), (second, 1)]);
    }

    #[test]
    fn a_handle_is_not_given_again_at_once() {
        let mut table = DataTracks::default();
        table.publish(0, info(1), sid(1), 8).unwrap();
        let mut given = Vec::new();
        for _ in 0..3 {
            table.subscribe(1, sid(1).as_str(), None).unwrap();
            given.extend(table.handles(1).map(|(handle, ..)| handle));
            table.unsubscribe(1, sid(1).as_str());
        }
        assert_eq!(given, [1, 2, 3]);
        table.subscribers.get_mut(&1).unwrap().last = u16::MAX;
        table.subscribe(1, sid(1).as_str(), None).unwrap();
        assert_eq!(table.handles(1).map(|(handle, ..)| handle).collect::<Vec<_>>(), [1], "0 is none");
    }

    #[test]
    fn a_subscriber_that_wants_fewer_frames_gets_whole_ones_at_its_rate() {
        let now = crate::test_start();
        let mut table = DataTracks::default();
        table.publish(0, info(1), sid(1), 8).unwrap();
        table.subscribe(1, sid(1).as_str(), Some(10)).unwrap();
        let mut got = Vec::new();
        for frame in 0..100u16 {
            // 50 frames per second, two packets each.
            let at = now + Duration::from_millis(20) * u32::from(frame);
            for is_start in [true, false] {
                got.extend(table.receiver(at, 0, 0, &packet(1, frame, is_start)).map(|_| frame));
            }
        }
        assert_eq!(got.len(), 40, "10 frames per second for 2 s");
        assert!(got.chunks(2).all(|pair| pair[0] == pair[1]));
        table.subscribe(1, sid(1).as_str(), Some(0)).unwrap();
        assert!(table.receiver(now, 0, 0, &packet(1, 7, false)).is_some(), "0 is no rate");
    }

    #[test]
    fn what_cannot_be_published_is_refused_by_its_fault() {
        let mut table = DataTracks::default();
        assert_eq!(table.publish(0, info(0), sid(1), 2), Err(Refusal::InvalidHandle));
        assert_eq!(table.publish(0, info(65_536), sid(1), 2), Err(Refusal::InvalidHandle));
        table.publish(0, info(1), sid(1), 2).unwrap();
        let other = livekit::DataTrackInfo { pub_handle: 2, ..info(1) };
        assert_eq!(table.publish(0, other, sid(2), 2), Err(Refusal::DuplicateName));
        let other = livekit::DataTrackInfo { pub_handle: 1, ..info(2) };
        assert_eq!(table.publish(0, other, sid(2), 2), Err(Refusal::DuplicateHandle));
        table.publish(0, info(2), sid(2), 2).unwrap();
        assert_eq!(table.publish(0, info(3), sid(3), 2), Err(Refusal::TooMany));
        assert_eq!(table.subscribe(1, "DTR_unknown", None), Err(Refusal::NotFound));
    }

    proptest! {
        /// Whatever happens in whatever order, each subscription is known to its track and to its subscriber, and
        /// nothing stays of those who are gone.
        #[test]
        fn both_sides_agree(steps in prop::collection::vec((0u8..5, 0usize..4, 0u8..4), 0..100)) {
            let mut table = DataTracks::default();
            for (what, participant, track) in steps {
                let number = track + 1;
                match what {
                    0 => {
                        let publisher = usize::from(track % 2);
                        let _ = table.publish(publisher, info(u32::from(number)), sid(number), 8);
                    }
                    1 => drop(table.unpublish(participant, u32::from(number))),
                    2 => drop(table.subscribe(participant, sid(number).as_str(), None)),
                    3 => table.unsubscribe(participant, sid(number).as_str()),
                    _ => {
                        table.forget(participant);
                        prop_assert_eq!(table.published_by(participant).count(), 0);
                        prop_assert_eq!(table.handles(participant).count(), 0);
                    }
                }
                let mut by_track: Vec<_> = table.tracks.iter().flat_map(|(key, track)| {
                    track.subscriptions.iter().map(move |it| (it.participant, it.handle.get(), key))
                }).collect();
                let mut by_subscriber: Vec<_> = table.subscribers.iter().flat_map(|(participant, known)| {
                    known.handles.iter().map(move |(handle, key)| (*participant, *handle, *key))
                }).collect();
                by_track.sort_unstable();
                by_subscriber.sort_unstable();
                prop_assert_eq!(by_track, by_subscriber);
                prop_assert_eq!(table.tracks.len(), table.by_sid.len());
            }
        }
    }
}
