//! Who may get what: the rules of a meeting in their simplest form, as a function of what the core has been
//! told. It knows nothing of packets, sections or timing; the core is judged by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::livekit;
use sfu::command::SessionCommand;

use crate::publication::Recipe;

/// A participant as the core was told of it. Rejoining makes another member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its room.
    pub room: String,
    /// Its identity.
    pub identity: String,
    /// The server's id, once told.
    pub sid: Option<String>,
    /// Whether the core was told to let it in and not yet to let it go.
    pub present: bool,
    /// When its signalling was lost.
    pub disconnected: Option<Duration>,
    /// Everything is wanted unless told otherwise.
    pub auto_subscribe: bool,
    /// What its token allows.
    pub permission: livekit::ParticipantPermission,
    /// What it said it wants or not.
    pub wants: BTreeMap<u32, bool>,
    /// What it paused, and when the core heard of it.
    pub paused: BTreeMap<u32, Duration>,
    /// What it ever paused: those may go on with other numbers.
    pub ever_paused: BTreeSet<u32>,
    /// Whom it lets subscribe; `None` for everybody.
    pub allows: Option<livekit::SubscriptionPermission>,
}

/// A publication as the core was told of it.
#[derive(Clone, Debug)]
pub struct Track {
    /// Index of the publishing member.
    pub publisher: usize,
    /// What it is.
    pub recipe: Recipe,
    /// The server's id, once told.
    pub sid: Option<String>,
    /// Whether it was announced and the newest offer carries it.
    pub carried: bool,
    /// Whether it may come with redundancy (RED).
    pub is_repeated: bool,
}

/// Everything that decides.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By client number.
    pub members: Vec<Member>,
    /// By track number.
    pub tracks: Vec<Track>,
}

impl Rules {
    /// Whether a member may now be sent what was captured of a track at a time, zero for what is repeated; errors say why not.
    pub fn may_get(&self, client: usize, track: u32, captured: Duration) -> Result<(), &'static str> {
        let subscriber = self.members.get(client).ok_or("nobody")?;
        let published = self.tracks.get(track as usize).ok_or("no such track")?;
        let publisher = self.members.get(published.publisher).ok_or("nobody's")?;
        if !subscriber.present {
            return Err("the subscriber left");
        }
        if !publisher.present {
            return Err("the publisher left");
        }
        if publisher.room != subscriber.room {
            return Err("of another room");
        }
        if published.publisher == client {
            return Err("its own");
        }
        if !published.carried {
            return Err("not published");
        }
        if !self.may_publish(published) {
            return Err("may not be published");
        }
        if publisher.permission.hidden {
            return Err("of somebody hidden");
        }
        if !subscriber.permission.can_subscribe {
            return Err("may not subscribe");
        }
        if !subscriber.wants.get(&track).copied().unwrap_or(subscriber.auto_subscribe) {
            return Err("not subscribed");
        }
        if !self.is_allowed(subscriber, published) {
            return Err("not allowed by the publisher");
        }
        // What came before a pause may still leave.
        if subscriber.paused.get(&track).is_some_and(|since| captured >= *since) {
            return Err("paused");
        }
        Ok(())
    }

    fn may_publish(&self, track: &Track) -> bool {
        let permission = &self.members[track.publisher].permission;
        let source: i32 = track.recipe.source.into();
        permission.can_publish
            && (permission.can_publish_sources.is_empty() || permission.can_publish_sources.contains(&source))
    }

    fn is_allowed(&self, subscriber: &Member, track: &Track) -> bool {
        let Some(allows) = &self.members[track.publisher].allows else { return true };
        allows.all_participants
            || allows.track_permissions.iter().any(|entry| {
                let meant = entry.participant_identity == subscriber.identity
                    || Some(&entry.participant_sid) == subscriber.sid.as_ref();
                meant
                    && (entry.all_tracks
                        || entry.track_sids.iter().any(|sid| Some(sid) == track.sid.as_ref()))
            })
    }

    /// Number of the track with this id of the server.
    pub fn track_of(&self, sid: &str) -> Option<u32> {
        self.tracks.iter().position(|track| track.sid.as_deref() == Some(sid)).map(|index| index as u32)
    }

    /// The core is about to hear this. `carries` are the tracks of an offer.
    pub fn hear(&mut self, now: Duration, client: usize, command: &SessionCommand, carries: &[u32]) {
        match command {
            SessionCommand::Offer(_) => self.offered(client, carries),
            SessionCommand::Subscription(update) => {
                for track in update.track_sids.iter().filter_map(|sid| self.track_of(sid)).collect::<Vec<_>>()
                {
                    self.members[client].wants.insert(track, update.subscribe);
                }
            }
            SessionCommand::TrackSetting(settings) => {
                for track in
                    settings.track_sids.iter().filter_map(|sid| self.track_of(sid)).collect::<Vec<_>>()
                {
                    // Its publisher may know its id before the room does.
                    if !self.tracks[track as usize].carried {
                        continue;
                    }
                    let member = &mut self.members[client];
                    if settings.disabled {
                        member.paused.entry(track).or_insert(now);
                        member.ever_paused.insert(track);
                    } else {
                        member.paused.remove(&track);
                    }
                }
            }
            SessionCommand::SubscriptionPermission(permission) => {
                self.members[client].allows = Some(permission.clone());
            }
            SessionCommand::Leave(_) => self.members[client].present = false,
            SessionCommand::Disconnected => {
                self.members[client].disconnected.get_or_insert(now);
            }
            _ => {}
        }
    }

    /// An offer carries these of a client's tracks and no others.
    pub fn offered(&mut self, client: usize, carries: &[u32]) {
        for (number, track) in
            self.tracks.iter_mut().enumerate().filter(|(_, track)| track.publisher == client)
        {
            track.carried = carries.contains(&(number as u32));
        }
    }

    /// Somebody comes in with an identity: an older holder of it is out.
    pub fn replace(&mut self, room: &str, identity: &str) {
        for member in &mut self.members {
            if member.present && member.room == room && member.identity == identity {
                member.present = false;
            }
        }
    }

    /// Members whose grace is over are out.
    pub fn expire(&mut self, now: Duration, grace: Duration) {
        for member in &mut self.members {
            if member.disconnected.is_some_and(|since| now > since + grace) {
                member.present = false;
            }
        }
    }
}
