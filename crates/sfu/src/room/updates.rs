//! What everybody is told of a participant, as fast as it may cost the others' lines: 20 bytes that mute a track make an
//! update with all that its publisher is, for each of the room. Whoever changes more often than that is told of later,
//! as it is then.

use std::time::{Duration, Instant};

use prost::Message;

use super::Context;
use crate::event::SessionEvent;

/// Bytes a second of updates about one participant, in the long run. Somebody with camera, microphone and screen is
/// about 1 KB, so this is more often than anybody clicks. More is taken from everybody's line by each who overdoes it.
const RATE: u64 = 16 << 10;

/// How much of [`RATE`] may come at once, 64 KiB: a page that publishes and describes itself, or a program with dozens
/// of tracks. Such a burst from each of 60 people fits what may wait for a client.
const BURST: Duration = Duration::from_secs(4);

/// Bytes that an update costs at least: each is a message to everybody, however small.
const LEAST: usize = 1 << 10;

/// Bytes of the update that tells one subscriber of one track that it may have it.
const GRANT: usize = 64;

/// What was told of one participant, and what is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    /// Until when what was told takes up the rate (the *theoretical arrival time* of the generic cell rate algorithm,
    /// ITU-T I.371).
    spent_until: Option<Instant>,
    /// When the participant is told of, since it could not be at once.
    due: Option<Instant>,
    /// Whether others wait to be told that they may have its tracks.
    owes_grants: bool,
}

impl Updates {
    /// Takes what so many bytes cost; if there is not enough, notes when to try again.
    fn spend(&mut self, now: Instant, bytes: usize) -> bool {
        let from = self.spent_until.map_or(now, |until| until.max(now));
        if from.saturating_duration_since(now) > BURST {
            self.due = Some(from - BURST);
            return false;
        }
        let bytes = u64::try_from(bytes.max(LEAST)).unwrap_or(u64::MAX);
        self.spent_until = Some(from + Duration::from_micros(bytes.saturating_mul(1_000_000) / RATE));
        true
    }

    /// When something is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl super::Room {
    /// Tells everybody what is now true of a participant; a hidden one only itself. At once, unless that was told too
    /// often lately.
    pub(super) fn broadcast_participant(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let info = self.info(participant);
        let Some(participant) = self.participants.get_mut(key) else { return };
        if !participant.updates.spend(context.now, info.encoded_len()) {
            return self.schedule(context, key);
        }
        let is_visible = participant.is_visible();
        let event = SessionEvent::ParticipantUpdate(vec![info]);
        match is_visible {
            true => self.broadcast(context, None, event),
            false => self.tell(context, key, event),
        }
    }

    /// Tells what could not be told earlier.
    pub(super) fn tell_due(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.updates.due.take_if(|due| *due <= context.now).is_none() {
            return;
        }
        let owes_grants = std::mem::take(&mut participant.updates.owes_grants);
        // Grants first: there is enough for one of the two now, and what changed of the participant comes to be due again.
        if owes_grants {
            self.follow_permission(context, key);
        }
        self.broadcast_participant(context, key);
    }

    /// A publisher changed who may have its tracks. What it takes away it takes away now.
    pub(super) fn follow_permission(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let published = participant.published.clone();
        let may_grant = participant.updates.spend(context.now, published.len() * GRANT);
        participant.updates.owes_grants |= !may_grant;
        let others: Vec<usize> =
            self.participants.iter().map(|(other, _)| other).filter(|other| *other != key).collect();
        for track in published {
            for &other in &others {
                let is_permitted =
                    || self.tracks.get(track).is_some_and(|track| self.may_subscribe(other, track));
                if may_grant || !is_permitted() {
                    self.reconsider(context, other, track);
                }
            }
        }
        for other in others {
            self.request_sections(context, other);
        }
        self.schedule(context, key);
    }
}

#[cfg(test)]
mod tests {
    use protocol::livekit;

    use super::*;
    use crate::command::SessionCommand;
    use crate::room::test_world::{Section, World};

    fn named(name: &str) -> SessionCommand {
        let metadata = name.to_owned();
        SessionCommand::UpdateMetadata(livekit::UpdateParticipantMetadata { metadata, ..Default::default() })
    }

    /// What a session was told of a participant's metadata.
    fn told<'a>(world: &'a World, session: u64, identity: &str) -> Vec<&'a str> {
        let infos = world.events(session).filter_map(|event| match event {
            SessionEvent::ParticipantUpdate(infos) => Some(infos),
            _ => None,
        });
        infos.flatten().filter(|info| info.identity == identity).map(|info| info.metadata.as_str()).collect()
    }

    #[test]
    fn who_changes_all_the_time_costs_the_others_a_bounded_rate_and_ends_as_it_is() {
        let mut world = World::new();
        let mut join = crate::test_join(1, "r", "anna");
        join.permission.can_update_metadata = true;
        world.enter(join);
        world.join(2, "ben");
        world.told.clear();
        world.say(1, named("first"));
        assert_eq!(told(&world, 2, "anna"), ["first"], "at once");

        let large = "m".repeat(8000);
        for round in 0..500 {
            world.say(1, named(&format!("{large}{round}")));
            world.wait(Duration::from_millis(20));
        }
        world.say(1, named("last"));
        let bytes: usize = told(&world, 2, "anna").iter().map(|text| text.len()).sum();
        assert!((100_000..250_000).contains(&bytes), "{bytes} bytes in 10 s, where 4 MB were asked for");
        world.wait(Duration::from_secs(2));
        assert_eq!(told(&world, 2, "anna").last(), Some(&"last"));
        let count = told(&world, 2, "anna").len();
        world.wait(Duration::from_secs(10));
        assert_eq!(told(&world, 2, "anna").len(), count, "and then there is nothing more to tell");
    }

    #[test]
    fn what_a_publisher_takes_away_is_gone_at_once_and_what_it_gives_comes_at_a_bounded_rate() {
        let allow = |all_participants| {
            let permission = livekit::SubscriptionPermission { all_participants, ..Default::default() };
            SessionCommand::SubscriptionPermission(permission)
        };
        let mut world = World::new();
        world.join(1, "anna");
        world.join(2, "ben");
        world.publish(1, Section::Microphone("m"));
        world.told.clear();
        let grants = |world: &World| -> Vec<bool> {
            let told = world.events(2).filter_map(|event| match event {
                SessionEvent::SubscriptionPermissionUpdate(update) => Some(update.allowed),
                _ => None,
            });
            told.collect()
        };
        for _ in 0..1000 {
            world.say(1, allow(false));
            assert_ne!(grants(&world).last(), Some(&true));
            world.say(1, allow(true));
        }
        assert!((20..200).contains(&grants(&world).len()), "{} of 2000", grants(&world).len());
        for _ in 0..400 {
            world.wait(Duration::from_millis(5));
        }
        assert_eq!(grants(&world).last(), Some(&true), "the last word holds");
    }
}
