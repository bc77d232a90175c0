//! Requests of the server API: which room they are for, and the answer to each.

use std::time::Instant;

use protocol::api::Mode;
use protocol::ids::{RoomName, RoomSid};
use protocol::livekit;

use super::Sfu;
use crate::command::administration::{Administration, Answer, Answered, Refusal, RequestId, RoomSettings};
use crate::event::Event;
use crate::room::Room;

/// Rooms that may wait for their first participant on one core. Each takes some kB; a program that creates
/// rooms in a loop runs into this before it fills the memory.
const MAX_WAITING_ROOMS: usize = 10_000;

impl Sfu {
    /// Takes a request; its answer comes as [`Event::Answer`], for a call of a participant's method later.
    pub(super) fn administer(&mut self, now: Instant, id: RequestId, request: Administration) {
        let answer = match request {
            Administration::CreateRoom { name, settings, now_unix_ms } => {
                Some(self.create_room(now, &name, *settings, now_unix_ms))
            }
            Administration::ListRooms(names) => Some(Ok(Answered::Rooms(self.list_rooms(&names)))),
            Administration::DeleteRoom(name) => Some(self.delete_room(now, &name)),
            Administration::Room(name, command) => match self.by_name.get(&name).copied() {
                None => Some(Err(Refusal::UnknownRoom)),
                Some(room) => self
                    .with_room(now, room, |room, context| room.administer(context, id, command))
                    .unwrap_or(Some(Err(Refusal::Failed))),
            },
        };
        if let Some(answer) = answer {
            self.events.push_back(Event::Answer(id, answer));
        }
    }

    /// Key of the room of this name, which starts if it does not run. `settings` and `mode` are for a room that starts.
    pub(super) fn room(
        &mut self,
        now: Instant,
        name: &RoomName,
        settings: Option<&RoomSettings>,
        mode: Mode,
        now_unix_ms: i64,
    ) -> usize {
        if let Some(room) = self.by_name.get(name) {
            return *room;
        }
        let mut bytes = [0; 12];
        self.random.fill(&mut bytes);
        let sid = RoomSid::from_random(bytes);
        self.events.push_back(Event::RoomStarted { room: name.clone(), sid: sid.clone(), mode });
        let mut room = Room::new(name.clone(), sid, now_unix_ms, now);
        if let Some(settings) = settings {
            room.configure(settings);
        }
        if self.config.notices {
            self.events.push_back(Event::Notice(Box::new(room.notice("room_started"))));
        }
        let key = self.rooms.insert(room);
        self.by_name.insert(name.clone(), key);
        key
    }

    fn create_room(
        &mut self,
        now: Instant,
        name: &RoomName,
        settings: RoomSettings,
        now_unix_ms: i64,
    ) -> Answer {
        if settings.metadata.as_ref().is_some_and(|text| text.len() > self.config.limits.metadata_bytes) {
            return Err(Refusal::TextTooLarge);
        }
        let runs = self.by_name.contains_key(name);
        let waiting = || self.rooms.iter().filter(|(_, room)| room.is_waiting()).count();
        if !runs && waiting() >= MAX_WAITING_ROOMS {
            return Err(Refusal::TooManyRooms);
        }
        let key = self.room(now, name, Some(&settings), Mode::Clear, now_unix_ms);
        let info = self.with_room(now, key, |room, context| {
            if runs {
                room.reconfigure(context, &settings);
            }
            room.room_info()
        });
        info.map(|info| Answered::Room(Box::new(info))).ok_or(Refusal::Failed)
    }

    fn list_rooms(&self, names: &[RoomName]) -> Vec<livekit::Room> {
        if names.is_empty() {
            return self.rooms.iter().map(|(_, room)| room.room_info()).collect();
        }
        let keys = names.iter().filter_map(|name| self.by_name.get(name));
        keys.filter_map(|key| Some(self.rooms.get(*key)?.room_info())).collect()
    }

    fn delete_room(&mut self, now: Instant, name: &RoomName) -> Answer {
        let room = self.by_name.get(name).copied().ok_or(Refusal::UnknownRoom)?;
        self.end_room(
            now,
            room,
            livekit::DisconnectReason::RoomDeleted,
            livekit::leave_request::Action::Disconnect,
        );
        Ok(Answered::Done)
    }
}
