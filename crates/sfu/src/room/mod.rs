//! A room: its participants, their tracks, who gets what. Everything that happens in a room happens through
//! `&mut Room` on one worker; nothing in it is shared.

mod administration;
mod allocation;
mod announced;
mod backpressure;
mod calls;
mod codecs;
mod data;
mod data_track_table;
mod data_tracks;
mod dominance;
mod dynacast;
mod feedback;
mod layers;
mod leaving;
mod links;
mod media;
mod negotiation;
mod notices;
mod offering;
mod pacing;
mod participant;
mod permissions;
mod publishing;
mod quality;
mod receiver;
mod resume;
mod signalling;
mod speakers;
mod subscribing;
#[cfg(test)]
mod test_world;
mod updates;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ids::{Identity, ParticipantSid, RoomName, RoomSid, SessionId, TrackSid};
use protocol::livekit;
use slab::Slab;

use self::administration::Settings;
use self::calls::Calls;
use self::data_track_table::DataTracks;
pub(crate) use self::links::Target;
use self::participant::Participant;
use self::resume::Departures;
use self::speakers::ActiveSpeakers;
use crate::batch::SendBatch;
use crate::config::Config;
use crate::event::{Event, Rejection, SessionEvent};
use crate::io::Random;
use crate::peer::transport::{Shared, Transport, TransportError, TransportEvent};
use crate::track::up_track::UpTrack;

/// How often a room looks at which layers arrive.
const TICK: Duration = Duration::from_millis(300);

/// What a room needs from its core for one turn.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) random: &'a mut dyn Random,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) routes: &'a mut Vec<RouteChange>,
    /// The core's zero of time, for wallclocks in sender reports.
    pub(crate) epoch: Instant,
}

impl Context<'_> {
    pub(crate) fn reject(&mut self, layer: &'static str, code: &'static str) {
        self.events.push_back(Event::Rejected(Rejection { layer, code }));
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }

    pub(crate) fn random_ssrc(&mut self) -> u32 {
        // 0 is what unset fields hold elsewhere.
        u32::from_be_bytes(self.random()).max(1)
    }
}

/// What the core has to learn: where datagrams and sessions belong, and who is not to come back.
#[derive(Debug)]
pub(crate) enum RouteChange {
    AddUfrag(String, Route),
    RemoveUfrag(String),
    AddAddress(SocketAddr, Route),
    RemoveAddress(SocketAddr, Route),
    RemoveSession(SessionId),
    Dismiss(ParticipantSid, livekit::DisconnectReason),
}

/// Where datagrams go within a room: a participant's key, and which of its connections.
pub(crate) type Route = (usize, Target);

/// See the module's description.
pub(crate) struct Room {
    name: RoomName,
    sid: RoomSid,
    created_ms: i64,
    metadata: String,
    settings: Settings,
    calls: Calls,
    participants: Slab<Participant>,
    by_identity: HashMap<Identity, usize>,
    tracks: Slab<UpTrack>,
    by_track_sid: HashMap<TrackSid, usize>,
    data_tracks: DataTracks,
    speakers: ActiveSpeakers,
    departures: Departures,
    empty_since: Option<Instant>,
    next_tick: Instant,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The room's earliest deadline in the core's timers.
    pub(crate) scheduled: Option<Instant>,
    dirty: Vec<usize>,
    /// Transports of participants that are gone, until their farewell is sealed.
    closing: Vec<Transport>,
}

impl Room {
    /// An empty room. `created_ms` is Unix time in milliseconds.
    pub(crate) fn new(name: RoomName, sid: RoomSid, created_ms: i64, now: Instant) -> Self {
        Self {
            name,
            sid,
            created_ms,
            metadata: String::new(),
            settings: Settings::default(),
            calls: Calls::default(),
            participants: Slab::new(),
            by_identity: HashMap::new(),
            tracks: Slab::new(),
            by_track_sid: HashMap::new(),
            data_tracks: DataTracks::default(),
            speakers: ActiveSpeakers::default(),
            departures: Departures::default(),
            empty_since: Some(now),
            next_tick: now + TICK,
            timers: BinaryHeap::new(),
            scheduled: None,
            dirty: Vec::new(),
            closing: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &RoomName {
        &self.name
    }

    pub(crate) fn sid(&self) -> &RoomSid {
        &self.sid
    }

    /// Sessions and identities of everybody here; for ending the room after a panic.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Option<SessionId>, &Identity)> {
        self.participants.iter().map(|(_, participant)| (participant.session, &participant.identity))
    }

    pub(crate) fn has_participant(&self, key: usize) -> bool {
        self.participants.contains(key)
    }

    /// Whether the room has been empty for its grace and is to be dropped.
    pub(crate) fn is_over(&self, now: Instant, grace: Duration) -> bool {
        self.empty_since.is_some_and(|since| now >= since + self.settings.grace(grace))
    }

    /// Whether something waits to be sealed.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.closing.is_empty()
    }

    /// What is still to be sent for the room after it is dropped.
    pub(crate) fn into_closing(self) -> Vec<Transport> {
        self.closing
    }

    /// The next time something is due.
    pub(crate) fn next_timeout(&self, grace: Duration) -> Instant {
        let mut next = match self.empty_since {
            Some(since) => since + self.settings.grace(grace),
            None => self.speakers.next_timeout().map_or(self.next_tick, |due| due.min(self.next_tick)),
        };
        if let Some(Reverse((timer, _))) = self.timers.peek() {
            next = next.min(*timer);
        }
        self.calls.next_timeout().map_or(next, |due| due.min(next))
    }

    /// A datagram that was routed to a participant.
    pub(crate) fn handle_datagram(
        &mut self,
        context: &mut Context<'_>,
        (key, target): Route,
        datagram: crate::io::Datagram<'_>,
    ) {
        use crate::peer::transport::Received;
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(link) = participant.links.get_mut(target) else { return };
        let received = link.transport.handle_datagram(
            context.now,
            datagram.source,
            datagram.destination,
            datagram.payload,
        );
        let silence = received.as_ref().map_or(Duration::ZERO, |_| participant.quality.heard(context.now));
        match received {
            Ok(Received::Rtp(packet)) if target == Target::Publisher => self.handle_rtp(context, key, packet),
            Ok(Received::Rtp(_)) => context.reject("rtp", "not-receiving"), // we offered to send there
            Ok(Received::Rtcp(packet)) => {
                self.handle_rtcp(context, key, packet);
                self.schedule(context, key);
            }
            Ok(Received::Nothing) => {
                self.drain_transport(context, key);
                self.mark_dirty(key);
                self.schedule(context, key);
            }
            Err(error) => {
                // What ends the transport is counted when the transport says so.
                if !matches!(error, TransportError::Dtls(_)) {
                    context.reject(error.layer(), error.code());
                }
                self.drain_transport(context, key);
                self.schedule(context, key);
            }
        }
        if silence >= layers::OUTAGE {
            self.repair_published(context, key);
        }
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        for _ in 0..self.timers.len() {
            let due = |Reverse((at, _)): &Reverse<(Instant, usize)>| *at <= context.now;
            let Some(Reverse((at, key))) = self.timers.peek().copied().filter(due) else { break };
            self.timers.pop();
            let Some(participant) = self.participants.get_mut(key) else { continue };
            if participant.scheduled != Some(at) {
                continue; // rescheduled since
            }
            participant.scheduled = None;
            self.participant_timeout(context, key);
        }
        self.expire_calls(context);
        if self.empty_since.is_none() && context.now >= self.next_tick {
            self.next_tick = context.now + TICK;
            self.select_layers(context);
            self.update_demands(context);
            self.update_quality(context);
            self.relieve_data(context);
        }
        self.update_speakers(context);
    }

    fn participant_timeout(&mut self, context: &mut Context<'_>, key: usize) {
        let grace = context.config.participant_grace;
        let Some(participant) = self.participants.get_mut(key) else { return };
        if participant.disconnected_at.is_some_and(|since| context.now >= since + grace) {
            self.remove(context, key, livekit::DisconnectReason::SignalClose);
            return;
        }
        for (_, link) in participant.links.iter_mut() {
            link.transport.handle_timeout(context.now);
        }
        participant.pacing.estimator.handle_timeout(context.now);
        self.tell_due(context, key);
        self.follow_estimate(context, key);
        self.drain_transport(context, key);
        self.send_feedback(context, key);
        self.mark_dirty(key);
        self.schedule(context, key);
    }

    /// Seals everything that waits.
    pub(crate) fn transmit(&mut self, context: &mut Context<'_>, batch: &mut SendBatch) {
        for mut transport in self.closing.drain(..) {
            transport.poll_transmit(context.now, batch);
        }
        while let Some(key) = self.dirty.pop() {
            if let Some(participant) = self.participants.get_mut(key) {
                participant.is_dirty = false;
                self.transmit_to(context, key, batch);
            }
        }
    }

    fn mark_dirty(&mut self, key: usize) {
        if let Some(participant) = self.participants.get_mut(key)
            && !std::mem::replace(&mut participant.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Puts a participant's next deadline into the timers, if it is earlier than what is there.
    fn schedule(&mut self, context: &Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(next) = participant.next_timeout(context.now, context.config.participant_grace) else {
            return;
        };
        if participant.scheduled.is_none_or(|scheduled| next < scheduled) {
            participant.scheduled = Some(next);
            self.timers.push(Reverse((next, key)));
        }
    }

    /// [`Self::schedule`] for the packet path, where only feedback can have become due earlier.
    fn schedule_feedback(&mut self, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        if let Some(due) = participant.feedback_due
            && participant.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            participant.scheduled = Some(due);
            self.timers.push(Reverse((due, key)));
        }
    }

    /// Acts on what a transport has to say.
    fn drain_transport(&mut self, context: &mut Context<'_>, key: usize) {
        let next = |room: &mut Self| {
            let participant = room.participants.get_mut(key)?;
            let mut links = participant.links.iter_mut();
            links.find_map(|(target, link)| Some((target, link.transport.poll_event()?)))
        };
        while let Some((target, event)) = next(self) {
            let sends = self.participants.get(key).is_some_and(|p| p.links.sends_on(target));
            match event {
                TransportEvent::AddressValidated(address) => {
                    context.routes.push(RouteChange::AddAddress(address, (key, target)));
                }
                TransportEvent::AddressDropped(address) => {
                    context.routes.push(RouteChange::RemoveAddress(address, (key, target)));
                }
                TransportEvent::UfragDropped(ufrag) => context.routes.push(RouteChange::RemoveUfrag(ufrag)),
                TransportEvent::SelectedAddress(_) if sends => {
                    if let Some(participant) = self.participants.get_mut(key) {
                        participant.pacing.estimator.network_changed(context.now);
                    }
                }
                TransportEvent::SelectedAddress(_) => {}
                TransportEvent::Rejected(error) => context.reject(error.layer(), error.code()),
                TransportEvent::Connected if sends => self.connected(context, key),
                TransportEvent::Failed(error) => {
                    context.reject(error.layer(), error.code());
                    self.start_afresh(context, key);
                }
                TransportEvent::Expired => self.leave(
                    context,
                    key,
                    livekit::DisconnectReason::ConnectionTimeout,
                    livekit::leave_request::Action::Reconnect,
                ),
                TransportEvent::ChannelOpened(channel) if sends => self.channel_opened(context, key, channel),
                // Whoever is to be sent something waits for the other connection.
                TransportEvent::Connected | TransportEvent::ChannelOpened(_) => {}
                TransportEvent::Data(channel, bytes) => self.handle_data(context, key, channel, &bytes),
            }
        }
    }

    /// Media may flow: the participant is active, and whoever publishes to it is asked for key frames.
    fn connected(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let is_first = participant.state != livekit::participant_info::State::Active;
        participant.state = livekit::participant_info::State::Active;
        participant.version += 1;
        let down_tracks: Vec<usize> = participant.down_tracks.iter().map(|(down, _)| down).collect();
        self.allocate(context, key);
        for down_track in down_tracks {
            self.want_keyframe(context, key, down_track);
        }
        if is_first {
            self.notify(context, "participant_joined", self.participants.get(key), None);
        }
        self.broadcast_participant(context, key);
    }

    /// What others are told about a participant.
    fn info(&self, participant: &Participant) -> livekit::ParticipantInfo {
        livekit::ParticipantInfo {
            sid: participant.sid.to_string(),
            identity: participant.identity.expose().to_owned(),
            state: participant.state.into(),
            tracks: participant
                .published
                .iter()
                .filter_map(|key| Some(self.tracks.get(*key)?.info.clone()))
                .collect(),
            metadata: participant.metadata.clone(),
            joined_at: participant.joined_at_ms / 1000,
            joined_at_ms: participant.joined_at_ms,
            name: participant.name.clone(),
            version: participant.version,
            permission: Some(participant.permission.clone()),
            is_publisher: !participant.published.is_empty(),
            kind: participant.kind.into(),
            attributes: participant.attributes.clone(),
            client_protocol: participant.client_protocol,
            data_tracks: self
                .by_identity
                .get(&participant.identity)
                .map(|key| self.data_tracks.published_by(*key).cloned().collect())
                .unwrap_or_default(),
            ..Default::default()
        }
    }

    /// What participants are told about the room.
    pub(crate) fn room_info(&self) -> livekit::Room {
        let visible = || self.participants.iter().filter(|(_, participant)| participant.is_visible());
        let mut info = livekit::Room {
            sid: self.sid.to_string(),
            name: self.name.expose().to_owned(),
            creation_time: self.created_ms / 1000,
            creation_time_ms: self.created_ms,
            metadata: self.metadata.clone(),
            num_participants: visible().count() as u32,
            num_publishers: visible().filter(|(_, participant)| !participant.published.is_empty()).count()
                as u32,
            ..Default::default()
        };
        self.settings.describe(&mut info);
        info
    }

    /// Sends an event to everybody but one.
    fn broadcast(&self, context: &mut Context<'_>, except: Option<usize>, event: SessionEvent) {
        for (key, participant) in &self.participants {
            if let Some(session) = participant.session.filter(|_| Some(key) != except) {
                context.events.push_back(Event::Session(session, event.clone()));
            }
        }
    }

    /// Tells one participant something.
    fn tell(&self, context: &mut Context<'_>, key: usize, event: SessionEvent) {
        if let Some(session) = self.participants.get(key).and_then(|participant| participant.session) {
            context.events.push_back(Event::Session(session, event));
        }
    }
}
