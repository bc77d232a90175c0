//! The queue of events between a worker and one signalling connection, bounded in events and in bytes: what
//! a client does not read waits here and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::prost::Message;
use sfu::event::SessionEvent;
use tokio::sync::mpsc;

/// Events that wait for a client to read them; a client that falls further behind is dropped. A room of
/// 200 that fills within a second is about as many.
const MAX_EVENTS: usize = 512;

/// Bytes of events that wait, as they go over the wire: some updates about everybody in a large room.
const MAX_BYTES: usize = 4 << 20;

/// Being told of everybody fits, with room for the room's own description and who left lately.
const _: () = assert!(sfu::config::EVERYBODY_BYTES + (512 << 10) <= MAX_BYTES);

/// The worker's end. Dropping it ends the connection.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    queue: mpsc::Sender<(SessionEvent, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct EventReceiver {
    queue: mpsc::Receiver<(SessionEvent, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// As many events wait as may.
    Events,
    /// As many bytes wait as may.
    Bytes,
    /// The connection has ended.
    Closed,
}

impl NotTaken {
    /// The code under which a client that does not read is counted; `None` if nothing is wrong with it.
    pub(crate) fn code(self) -> Option<&'static str> {
        match self {
            Self::Events => Some("slow-client"),
            Self::Bytes => Some("slow-client-bytes"),
            Self::Closed => None,
        }
    }
}

/// A queue for one connection.
pub(crate) fn channel() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(MAX_EVENTS);
    let bytes = Arc::new(AtomicUsize::new(0));
    (EventSender { queue: sender, bytes: Arc::clone(&bytes) }, EventReceiver { queue: receiver, bytes })
}

impl EventSender {
    /// Adds an event.
    pub(crate) fn try_send(&self, event: SessionEvent) -> Result<(), NotTaken> {
        let size = size(&event);
        // Only this end adds, so nothing is added between the look and the sum.
        if self.bytes.load(Ordering::Relaxed).saturating_add(size) > MAX_BYTES {
            return Err(if self.queue.is_closed() { NotTaken::Closed } else { NotTaken::Bytes });
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send((event, size)).map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => NotTaken::Events,
                mpsc::error::TrySendError::Closed(_) => NotTaken::Closed,
            }
        })
    }
}

impl EventReceiver {
    /// The next event; `None` when the worker has dropped the session. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<SessionEvent> {
        let (event, size) = self.queue.recv().await?;
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Some(event)
    }

    /// The next event, if one waits.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Option<SessionEvent> {
        let (event, size) = self.queue.try_recv().ok()?;
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Some(event)
    }

    /// Whether the worker has dropped the session.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

/// Bytes of an event as it goes over the wire, about.
fn size(event: &SessionEvent) -> usize {
    fn all(messages: &[impl Message]) -> usize {
        messages.iter().map(Message::encoded_len).sum()
    }
    match event {
        SessionEvent::Joined(joined) => {
            joined.room.encoded_len() + joined.participant.encoded_len() + all(&joined.others)
        }
        SessionEvent::Answer(description) | SessionEvent::Offer(description) => description.encoded_len(),
        SessionEvent::ParticipantUpdate(updates) => all(updates),
        SessionEvent::TrackPublished(published) => published.encoded_len(),
        SessionEvent::SpeakersChanged(speakers) => all(speakers),
        SessionEvent::StreamStateUpdate(update) => update.encoded_len(),
        SessionEvent::SubscribedQualityUpdate(update) => update.encoded_len(),
        SessionEvent::ConnectionQuality(updates) => all(updates),
        SessionEvent::Reconnected(_)
        | SessionEvent::MediaSectionsRequirement { .. }
        | SessionEvent::Superseded => 0,
        SessionEvent::TrackSubscribed(subscribed) => subscribed.encoded_len(),
        SessionEvent::SubscriptionPermissionUpdate(update) => update.encoded_len(),
        SessionEvent::SubscriptionResponse(response) => response.encoded_len(),
        SessionEvent::RequestResponse(response) => response.encoded_len(),
        SessionEvent::RoomUpdate(room) => room.encoded_len(),
        SessionEvent::TrackUnpublished(ended) => ended.encoded_len(),
        SessionEvent::DataTrackPublished(published) => published.encoded_len(),
        SessionEvent::DataTrackUnpublished(ended) => ended.encoded_len(),
        SessionEvent::DataTrackHandles(handles) => handles.encoded_len(),
        SessionEvent::Mute(mute) => mute.encoded_len(),
        SessionEvent::Moved(moved) => moved.encoded_len(),
        SessionEvent::Leave(leave) => leave.encoded_len(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::livekit;

    use super::*;

    fn update(bytes: usize) -> SessionEvent {
        let metadata = "m".repeat(bytes);
        SessionEvent::ParticipantUpdate(vec![livekit::ParticipantInfo { metadata, ..Default::default() }])
    }

    #[test]
    fn small_events_are_bounded_in_number() {
        let (sender, mut receiver) = channel();
        let taken = (0..MAX_EVENTS * 2).take_while(|_| sender.try_send(update(10)).is_ok()).count();
        assert_eq!(taken, MAX_EVENTS);
        assert_eq!(sender.try_send(update(10)), Err(NotTaken::Events));
        assert!(receiver.try_recv().is_some());
        assert_eq!(sender.try_send(update(10)), Ok(()));
    }

    #[test]
    fn large_events_are_bounded_in_bytes() {
        let (sender, mut receiver) = channel();
        let taken = (0..MAX_EVENTS).take_while(|_| sender.try_send(update(100_000)).is_ok()).count();
        assert!((35..=41).contains(&taken), "{taken} of 100 kB");
        assert_eq!(sender.try_send(update(100_000)), Err(NotTaken::Bytes));
        while receiver.try_recv().is_some() {}
        assert_eq!(sender.try_send(update(100_000)), Ok(()), "what was read makes room");
    }

    #[test]
    fn a_closed_connection_is_not_a_slow_one() {
        let (sender, receiver) = channel();
        drop(receiver);
        assert_eq!(sender.try_send(update(1)), Err(NotTaken::Closed));
        assert_eq!(sender.try_send(update(MAX_BYTES)), Err(NotTaken::Closed));
    }
}
