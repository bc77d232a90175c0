//! The queue of messages between a room's delivery and one channel, bounded in messages and in bytes: what a member
//! does not read waits here and nowhere else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use protocol::channel::ClosingCode;
use tokio::sync::mpsc;

/// Messages that wait: everything that somebody who comes back may have missed, twice.
const MAX_MESSAGES: usize = 2048;

/// Bytes that wait; texts are shared between members.
const MAX_BYTES: usize = 8 << 20;

/// The delivery's end. Dropping it ends the channel.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Utf8Bytes>,
    shared: Arc<Shared>,
}

/// The channel's end.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: mpsc::Receiver<Utf8Bytes>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    closing: OnceLock<ClosingCode>,
}

/// A queue for one channel.
pub(super) fn outbox() -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let shared = Arc::new(Shared::default());
    (Outbox { queue: sender, shared: Arc::clone(&shared) }, Inbox { queue: receiver, shared })
}

impl Outbox {
    /// Adds a message. `false` if the member reads too slowly.
    pub(super) fn push(&self, text: Utf8Bytes) -> bool {
        let bytes = text.len();
        // Only this end adds, so nothing is added between the look and the sum.
        if self.shared.bytes.load(Ordering::Relaxed).saturating_add(bytes) > MAX_BYTES {
            return false;
        }
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        // A channel that has ended takes nothing, and says so by itself.
        !matches!(self.queue.try_send(text), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// No more messages come, and this is why.
    pub(super) fn close(self, code: ClosingCode) {
        let _ = self.shared.closing.set(code);
    }
}

impl Inbox {
    /// The next message; `None` when no more comes. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Option<Utf8Bytes> {
        if self.closing() == Some(ClosingCode::TooSlow) {
            return None; // what it did not read would keep the reason from it
        }
        let text = self.queue.recv().await?;
        self.shared.bytes.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }

    /// Why no more messages come.
    pub(super) fn closing(&self) -> Option<ClosingCode> {
        self.shared.closing.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_in_number_and_in_bytes() {
        for (bytes, expected) in [(10, MAX_MESSAGES), (100_000, MAX_BYTES / 100_000)] {
            let (outbox, _inbox) = outbox();
            let text = Utf8Bytes::from("m".repeat(bytes));
            let taken = (0..10_000).take_while(|_| outbox.push(text.clone())).count();
            assert_eq!(taken, expected);
        }
    }

    #[tokio::test]
    async fn what_was_read_makes_room() {
        let (outbox, mut inbox) = outbox();
        let large = Utf8Bytes::from("m".repeat(MAX_BYTES));
        assert!(outbox.push(large.clone()) && !outbox.push("more".into()));
        assert!(inbox.recv().await.is_some());
        assert!(outbox.push(large));
    }

    #[tokio::test]
    async fn what_waits_comes_before_the_end_unless_it_is_too_slow() {
        for (code, left) in [(ClosingCode::Ended, 1), (ClosingCode::TooSlow, 0)] {
            let (outbox, mut inbox) = outbox();
            outbox.push("last".into());
            outbox.close(code);
            let mut read = 0;
            while inbox.recv().await.is_some() {
                read += 1;
            }
            assert_eq!((read, inbox.closing()), (left, Some(code)));
        }
    }
}
