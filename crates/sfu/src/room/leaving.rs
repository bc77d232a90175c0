//! Who leaves, and what goes with them: their tracks, their places in others' subscriptions, their transports, the
//! routes to them.

use protocol::livekit;

use super::participant::Participant;
use super::{Context, Route, RouteChange};
use crate::event::{Event, SessionEvent};
use crate::peer::transport::{Transport, TransportEvent};

impl super::Room {
    /// Ends the room for everybody.
    pub(crate) fn end(
        &mut self,
        context: &mut Context<'_>,
        reason: livekit::DisconnectReason,
        action: livekit::leave_request::Action,
    ) {
        let keys: Vec<usize> = self.participants.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.leave(context, key, reason, action);
        }
    }

    /// Tells a session that it is over and removes its participant.
    pub(crate) fn leave(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        reason: livekit::DisconnectReason,
        action: livekit::leave_request::Action,
    ) {
        let Some(participant) = self.participants.get(key) else { return };
        if action == livekit::leave_request::Action::Disconnect {
            context.routes.push(RouteChange::Dismiss(participant.sid.clone(), reason));
        }
        if let Some(session) = participant.session {
            let leave = livekit::LeaveRequest {
                can_reconnect: action != livekit::leave_request::Action::Disconnect,
                reason: reason.into(),
                action: action.into(),
                regions: None,
            };
            context.events.push_back(Event::Session(session, SessionEvent::Leave(leave)));
        }
        self.remove(context, key, reason);
    }

    /// A participant's transport cannot go on: its client is asked to join anew.
    pub(super) fn start_afresh(&mut self, context: &mut Context<'_>, key: usize) {
        let reason = livekit::DisconnectReason::MediaFailure;
        self.leave(context, key, reason, livekit::leave_request::Action::Reconnect);
    }

    /// Removes a participant with everything it published and got.
    pub(crate) fn remove(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        reason: livekit::DisconnectReason,
    ) {
        let Some(participant) = self.participants.get(key) else { return };
        for track in participant.published.clone() {
            self.remove_track(context, track);
        }
        let is_known =
            |participant: &Participant| participant.state == livekit::participant_info::State::Active;
        let event = match self.participants.get(key).is_some_and(is_known) {
            true => "participant_left",
            false => "participant_connection_aborted",
        };
        self.notify(context, event, self.participants.get(key), None);
        self.drop_calls(context, key);
        self.data_tracks.forget(key);
        let Some(mut participant) = self.participants.try_remove(key) else { return };
        for (_, down) in &participant.down_tracks {
            if let Some(track) = self.tracks.get_mut(down.track) {
                track.subscribers.retain(|subscriber| subscriber.participant != key);
            }
        }
        for (target, link) in participant.links.iter_mut() {
            close(context, (key, target), &mut link.transport);
        }
        if let Some(session) = participant.session {
            context.routes.push(RouteChange::RemoveSession(session));
        }
        if self.by_identity.get(&participant.identity) == Some(&key) {
            self.by_identity.remove(&participant.identity);
        }
        let info = livekit::ParticipantInfo {
            state: livekit::participant_info::State::Disconnected.into(),
            disconnect_reason: reason.into(),
            tracks: Vec::new(),
            version: participant.version + 1,
            ..self.info(&participant)
        };
        let was_visible = participant.is_visible();
        self.closing.extend(participant.links.into_transports());
        self.forget_speaker(context, key);
        self.dirty.retain(|dirty| *dirty != key);
        context
            .events
            .push_back(Event::ParticipantLeft { room: self.name.clone(), identity: participant.identity });
        if was_visible {
            self.departures.push(context.now, info.clone());
            self.broadcast(context, None, SessionEvent::ParticipantUpdate(vec![info]));
        }
        self.note_recording(context, None);
        self.request_sections_of_all(context);
        if self.participants.is_empty() {
            self.empty_since = Some(context.now);
        }
    }
}

/// Ends a transport, and the routes to it.
fn close(context: &mut Context<'_>, route: Route, transport: &mut Transport) {
    transport.close(context.now);
    while let Some(event) = transport.poll_event() {
        match event {
            TransportEvent::UfragDropped(ufrag) => context.routes.push(RouteChange::RemoveUfrag(ufrag)),
            TransportEvent::AddressDropped(address) => {
                context.routes.push(RouteChange::RemoveAddress(address, route));
            }
            _ => {} // nobody is left to hear it
        }
    }
    for ufrag in transport.ufrags() {
        context.routes.push(RouteChange::RemoveUfrag(ufrag.to_owned()));
    }
    for address in transport.addresses() {
        context.routes.push(RouteChange::RemoveAddress(address, route));
    }
}
