//! What must hold of a whole world when it has settled, and when everybody is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::State;
use crate::publication::Layer;
use crate::world::World;

/// The longest time without a frame while everything flows.
const LONGEST_PAUSE: Duration = Duration::from_millis(1300);

/// A line that may carry nothing but sound, in bit/s.
const NARROW: u64 = 200_000;

impl World {
    /// Whether a client must be getting a track now.
    pub fn must_get(&self, client: usize, track: u32) -> bool {
        if self.rules.may_get(client, track, Duration::MAX).is_err() {
            return false;
        }
        let published = &self.rules.tracks[track as usize];
        let (subscriber, publisher) = (&self.clients[client], &self.clients[published.publisher]);
        let publication = publisher.publications.iter().find(|publication| publication.number == track);
        subscriber.state == State::Joined
            && publisher.state != State::Gone
            && subscriber.dialect.payload_type(published.recipe.codec).is_some()
            && publication.is_some_and(|publication| {
                // Who lost its signalling connection cannot be told that a layer is needed again.
                let is_sent =
                    |layer: &Layer| layer.running && (layer.wanted || publisher.state == State::Joined);
                publication.flows && !publication.muted && publication.layers.iter().any(is_sent)
            })
    }

    /// Watches for a while in which nothing else happens: everybody gets what it must, without long pauses,
    /// in the best layer there is, and knows who is there and who speaks.
    pub fn check_flow(&mut self, window: Duration) {
        let now = self.now();
        for client in &mut self.clients {
            client.receptions.values_mut().for_each(|reception| reception.watch(now));
        }
        self.run(window);
        let mut found = Vec::new();
        for client in 0..self.clients.len() {
            for track in 0..self.rules.tracks.len() as u32 {
                if self.must_get(client, track)
                    && let Err(what) = self.check_reception(client, track)
                {
                    found.push(format!("client {client} and track {track}: {what}"));
                }
            }
            if self.clients[client].state == State::Joined
                && let Err(what) = self.check_knowledge(client)
            {
                found.push(format!("client {client}: {what}"));
            }
        }
        for what in found {
            self.violation(&what);
        }
    }

    fn check_reception(&self, client: usize, track: u32) -> Result<(), String> {
        let publisher = self.rules.tracks[track as usize].publisher;
        let (up, down) = (self.clients[publisher].up.conditions(), self.clients[client].down.conditions());
        // What a narrow line does not carry is paused.
        if down.rate.is_some_and(|rate| rate < NARROW) && self.is_stream_paused(client, track) {
            return Ok(());
        }
        let Some(reception) = self.reception(client, track) else { return Err("nothing arrives".to_owned()) };
        let Some(last) = reception.last_frame else { return Err("no frame arrives".to_owned()) };
        let since = self.now().saturating_sub(last);
        if !up.is_repairable() || !down.is_repairable() {
            return Ok(());
        }
        if since.max(reception.longest_pause) > LONGEST_PAUSE {
            let estimate = self.estimate(client);
            return Err(format!(
                "no frame for {since:?}, longest pause {:?}, estimate {estimate:?}",
                reception.longest_pause
            ));
        }
        let tolerated = if up.loss.max(down.loss) > 0.05 { 3 } else { 0 };
        if self.rules.tracks[track as usize].recipe.codec.is_video()
            && reception.counts.unrepaired > tolerated
        {
            return Err(format!("{:?}", reception.counts));
        }
        let publication = self.clients[publisher].publications.iter().find(|known| known.number == track);
        let running = publication.and_then(|known| known.layers.iter().rposition(|layer| layer.running));
        let within = {
            let recipe = &self.rules.tracks[track as usize].recipe;
            usize::from(recipe.codec.spatial_layers(recipe.structure)) - 1
        };
        let best = running.map(|encoding| encoding.max(within));
        // Where much is lost the line is asked whether it carries less without; a layer that this cost comes back later.
        let is_lower = down.loss >= 0.02 && reception.layer() < best;
        if reception.layer() != best && !is_lower {
            let estimate = self.estimate(client);
            return Err(format!(
                "layer {:?} arrives, {best:?} is there, estimate {estimate:?}",
                reception.layer()
            ));
        }
        Ok(())
    }

    fn check_knowledge(&self, client: usize) -> Result<(), String> {
        let own = &self.rules.members[client];
        let others: BTreeSet<&str> = self
            .rules
            .members
            .iter()
            .enumerate()
            .filter(|(number, member)| {
                *number != client && member.present && member.room == own.room && !member.permission.hidden
            })
            .map(|(_, member)| member.identity.as_str())
            .collect();
        let known: BTreeSet<&str> = self.clients[client].roster.keys().map(String::as_str).collect();
        if others != known {
            return Err(format!("knows {known:?} of {others:?}"));
        }
        for (number, member) in self.rules.members.iter().enumerate().filter(|(_, member)| member.present) {
            let Some(sid) =
                member.sid.as_ref().filter(|_| member.room == own.room && !member.permission.hidden)
            else {
                continue;
            };
            let active = self.clients[client].speakers.get(sid).is_some_and(|level| *level > 0.0);
            let publisher = &self.clients[number];
            let speaks = publisher.publications.iter().any(|publication| {
                publication.sid.is_some()
                    && publication.flows
                    && publication.speaking
                    && !publication.muted
                    && publisher.state != State::Gone
            });
            if active != speaks {
                return Err(format!("believes that {} speaks: {active}", member.identity));
            }
        }
        Ok(())
    }

    /// Everybody leaves, half of them without a word; after the graces nothing may be left.
    pub fn check_end(&mut self) {
        for client in 0..self.clients.len() {
            let politely = self.rng().bool();
            match self.clients[client].state {
                State::Gone => {}
                State::Joining | State::Resuming | State::Joined if politely => self.leave(client),
                State::Joining | State::Resuming | State::Joined => self.vanish(client),
                State::Disconnected => self.clients[client].state = State::Gone,
            }
        }
        // The grace of participants, then that of rooms, then timers that were overtaken by others.
        self.run(Duration::from_secs(62));
        let (rooms, routes) = (self.core().room_count(), self.core().route_count());
        if (rooms, routes) != (0, 0) {
            self.violation(&format!("{rooms} rooms and {routes} routes are left"));
        }
        self.run(Duration::from_secs(120));
        if let Some(due) = self.core_due() {
            self.violation(&format!("a timer is left for {due:?}"));
        }
    }

    /// Panics with everything that went wrong and how to see it again.
    ///
    /// # Panics
    /// If anything was violated.
    pub fn expect_no_violations(&self, again: &str) {
        assert!(
            self.violations.is_empty(),
            "{} violations (run again: {again})\n{}",
            self.violations.len(),
            self.violations.join("\n")
        );
    }
}
