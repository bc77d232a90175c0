//! What programs outside are told about a room, where the operator wants that (webhooks).

use protocol::livekit;

use super::Context;
use super::participant::Participant;
use crate::event::Event;

impl super::Room {
    /// A notice about the room itself. Its id and time are for whoever sends it.
    pub(crate) fn notice(&self, event: &str) -> livekit::WebhookEvent {
        livekit::WebhookEvent { event: event.to_owned(), room: Some(self.room_info()), ..Default::default() }
    }

    /// Tells of a participant, and perhaps of a track of it.
    pub(super) fn notify(
        &self,
        context: &mut Context<'_>,
        event: &str,
        participant: Option<&Participant>,
        track: Option<&livekit::TrackInfo>,
    ) {
        if !context.config.notices {
            return;
        }
        let notice = livekit::WebhookEvent {
            participant: participant.map(|participant| self.info(participant)),
            track: track.cloned(),
            ..self.notice(event)
        };
        context.events.push_back(Event::Notice(Box::new(notice)));
    }
}
