//! What comes out of the core: packets, judged and sent on, and events.

use protocol::ids::SessionId;
use sfu::event::{Event, Rejection, SessionEvent};
use sfu::io::Output;

use super::{Happening, World};
use crate::client::Connection;
use crate::description::read_answer;

/// Refusals that a correct core gives to correct clients on bad networks. Others are violations.
const EXPECTED_REFUSALS: [(&str, &str); 13] = [
    ("demux", "unknown-source"), // after leaving
    ("srtp", "replayed"),        // doubled by the network
    ("srtp", "not-authentic"),   // on its way when somebody else took over the address
    ("srtp", "not-encrypted"),   // the same, under a profile with a shorter trailer
    ("rtp", "unknown-ssrc"),     // before the offer or after unpublishing
    ("rtp", "duplicate"),        // repeated and late
    ("rtp", "too-old"),          // held back too long
    ("rtcp", "unknown-ssrc"),    // feedback on what was just unsubscribed
    ("rtp", "not-stored"),       // asked for again too late
    ("rtcp", "nack-rate"),       // a burst on a bad network
    ("signal", "publish-not-allowed"),
    ("room", "no-shared-codec"),
    ("room", "unknown-track"), // a wish for what was just unpublished, or of another room
];

impl World {
    /// Takes everything out of the core.
    pub(super) fn poll(&mut self) {
        loop {
            match self.core.poll(self.base + self.now, &mut self.batch) {
                Output::Event(event) => self.event(event),
                Output::Timeout(due) => {
                    self.due = due.map(|due| due.saturating_duration_since(self.base));
                    break;
                }
            }
        }
        let batch = std::mem::take(&mut self.batch);
        for transmit in batch.transmits() {
            // Whoever joined last has the address, as a new participant does behind the same socket.
            let client = self.clients.iter().rev().find_map(|client| {
                let connection = client.connection_at(transmit.destination)?;
                self.rules.members[client.number].sid.is_some().then_some((client.number, connection))
            });
            let Some((client, connection)) = client else {
                self.violation("a packet to nobody");
                continue;
            };
            for datagram in batch.bytes(transmit).chunks(transmit.segment_size) {
                self.exit(client, connection, datagram);
            }
        }
        self.batch = batch;
        self.batch.clear();
        for client in 0..self.clients.len() {
            let ended = self.taps[client].end_turn(&self.rules);
            self.judge(client, ended);
        }
    }

    /// A sealed datagram leaves.
    fn exit(&mut self, client: usize, connection: Connection, datagram: &[u8]) {
        self.trace.add(self.now, client, datagram);
        let dialect = self.clients[client].reads();
        let judged = self.taps[client].datagram(self.now, connection, datagram, &self.rules, dialect);
        self.judge(client, judged);
        for at in self.clients[client].down.send(self.now, datagram.len()).into_iter().flatten() {
            self.plan(at, Happening::ToClient(client, connection, datagram.to_vec()));
        }
    }

    /// The core is about to hear a client's answer to an offer: what that declares may be sent now.
    pub(super) fn note_answer(&mut self, client: usize, offer: u32) {
        let answered = self.taps[client].accepted(offer);
        self.judge(client, answered);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Session(session, event) => self.session_event(session, event),
            Event::RoomStarted { room, .. } => {
                let count = self.running.entry(room.expose().to_owned()).or_default();
                *count += 1;
                if *count > 1 {
                    self.violation("a room started twice");
                }
            }
            Event::RoomEnded { room, .. } => {
                if self.running.remove(room.expose()).is_none() {
                    self.violation("a room ended that did not run");
                }
            }
            Event::Rejected(Rejection { layer, code }) => {
                self.note(|| format!("refused: {layer} {code}"));
                *self.refusals.entry((layer, code)).or_default() += 1;
                if !EXPECTED_REFUSALS.contains(&(layer, code)) && !self.tolerated.contains(&(layer, code)) {
                    self.violation(&format!("refused: {layer} {code}"));
                }
            }
            Event::ParticipantJoined { .. }
            | Event::ParticipantLeft { .. }
            | Event::Answer(..)
            | Event::Notice(_)
            | Event::Route(_)
            | Event::Unroute(_) => {}
        }
    }

    fn session_event(&mut self, session: SessionId, event: SessionEvent) {
        let current = self.clients.iter().position(|client| client.session == session);
        let Some(client) = current.or_else(|| self.former.get(&session).copied()) else {
            return self.violation("an event for nobody");
        };
        match &event {
            SessionEvent::Joined(joined) => {
                self.rules.members[client].sid = Some(joined.participant.sid.clone());
            }
            SessionEvent::TrackPublished(published) => {
                let number =
                    published.cid.strip_prefix("cid-").and_then(|number| number.parse::<usize>().ok());
                if let (Some(track), Some(info)) =
                    (number.and_then(|number| self.rules.tracks.get_mut(number)), &published.track)
                {
                    track.sid = Some(info.sid.clone());
                }
            }
            SessionEvent::Answer(answer) => {
                let sections = read_answer(&answer.sdp).and_then(|read| self.taps[client].answered(&read));
                self.judge(client, sections);
            }
            SessionEvent::Offer(offer) => {
                let sections = read_answer(&offer.sdp).map(|read| self.taps[client].offered(offer.id, read));
                self.judge(client, sections);
            }
            SessionEvent::StreamStateUpdate(update) => {
                for stream in &update.stream_states {
                    if let Some(track) = self.rules.track_of(&stream.track_sid) {
                        self.rules.members[client].ever_paused.insert(track);
                    }
                }
            }
            SessionEvent::Leave(_) => self.rules.members[client].present = false,
            _ => {}
        }
        self.trace.add(self.now, client, event.name().as_bytes());
        self.note(|| format!("client {client} is told {}", event.name()));
        let at = (self.now + self.signalling_delay()).max(self.signalling[client].1);
        self.signalling[client].1 = at;
        self.plan(at, Happening::Heard(client, session, Box::new(event)));
    }
}
