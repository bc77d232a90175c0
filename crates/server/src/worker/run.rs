//! A worker's thread: waits for its socket, its queues and its core's deadline; hands everything in,
//! drains the core, sends once.

use std::io;
use std::sync::mpsc::Receiver as Mailbox;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use net::{ReceiveBuffers, UdpSocket};
use tokio::sync::mpsc;

use crate::worker::ToWorker;
use crate::worker::desk::Desk;
use crate::worker::handover::Message;

/// Wakes the thread for its queues.
pub(super) const WAKER: Token = Token(0);

/// The socket.
const SOCKET: Token = Token(1);

/// Receive calls per tick: up to 256 buffers, so that commands and deadlines get their turn in a flood.
const RECEIVES: usize = 8;

/// Batches of other workers per tick.
const HANDOVERS: usize = 32;

/// Commands per tick.
const COMMANDS: usize = 64;

/// How long the socket is left alone after it failed, so that a lasting failure does not keep the thread
/// busy.
const RECEIVE_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Worker {
    poll: Poll,
    socket: UdpSocket,
    buffers: ReceiveBuffers,
    commands: mpsc::Receiver<ToWorker>,
    mailbox: Mailbox<Message>,
    desk: Desk,
    readiness: Readiness,
    /// A queue may hold more.
    more: bool,
}

/// Whether the socket may hold something; the system reports it only once.
#[derive(Clone, Copy, Debug)]
struct Readiness {
    readable: bool,
    /// The socket failed and is left alone until then.
    paused: Option<Instant>,
}

impl Readiness {
    /// Whether to receive at `now`.
    fn at(&self, now: Instant) -> bool {
        self.readable && self.paused.is_none_or(|until| until <= now)
    }

    /// When to receive again; `None` is when the system reports something.
    fn next(&self, now: Instant) -> Option<Instant> {
        self.readable.then(|| self.paused.unwrap_or(now))
    }

    /// Notes how receiving at `now` went; returns whether it failed.
    fn note(&mut self, now: Instant, received: Result<(), io::ErrorKind>) -> bool {
        self.paused = None;
        match received {
            Ok(()) | Err(io::ErrorKind::Interrupted) => false,
            Err(io::ErrorKind::WouldBlock) => {
                self.readable = false;
                false
            }
            Err(_) => {
                self.paused = Some(now + RECEIVE_PAUSE);
                true
            }
        }
    }
}

impl Worker {
    pub(super) fn new(
        poll: Poll,
        mut socket: UdpSocket,
        commands: mpsc::Receiver<ToWorker>,
        mailbox: Mailbox<Message>,
        desk: Desk,
    ) -> io::Result<Self> {
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        let buffers = ReceiveBuffers::new();
        let readiness = Readiness { readable: true, paused: None };
        Ok(Self { poll, socket, buffers, commands, mailbox, desk, readiness, more: false })
    }

    /// Runs until told to stop, or until nobody is left who could tell.
    ///
    /// # Errors
    /// What the system said when it could no longer wait.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.patience()) {
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
                continue;
            }
            let now = Instant::now();
            for event in &events {
                if event.token() == SOCKET {
                    self.readiness.readable |= event.is_readable();
                    if event.is_writable() && self.socket.is_blocked() {
                        let counts = self.socket.flush();
                        self.desk.flushed(counts);
                    }
                }
            }
            self.more = false;
            self.desk.timeout(now);
            self.desk.settle(now, &mut self.socket);
            self.receive(now);
            self.take_handovers(now);
            let go_on = self.take_commands(now);
            self.desk.finish(&mut self.socket);
            if !go_on {
                return Ok(());
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        if self.more {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let next = [self.desk.deadline(), self.readiness.next(now)].into_iter().flatten().min();
        next.map(|next| next.saturating_duration_since(now))
    }

    fn receive(&mut self, now: Instant) {
        for _ in 0..RECEIVES {
            if !self.readiness.at(now) {
                return;
            }
            let desk = &mut self.desk;
            let received = self.socket.receive(&mut self.buffers, |datagram| desk.received(now, datagram));
            if self.readiness.note(now, received.map(drop).map_err(|error| error.kind())) {
                self.desk.reject("socket", "receive-failed");
            }
            self.desk.settle(now, &mut self.socket);
        }
    }

    fn take_handovers(&mut self, now: Instant) {
        for _ in 0..HANDOVERS {
            let Ok(message) = self.mailbox.try_recv() else { return };
            self.desk.handed(now, message);
            self.desk.settle(now, &mut self.socket);
        }
        self.more = true;
    }

    /// Returns whether the worker goes on.
    fn take_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS {
            match self.commands.try_recv() {
                Ok(ToWorker::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => return false,
                Ok(message) => {
                    self.desk.command(now, message);
                    self.desk.settle(now, &mut self.socket);
                }
                Err(mpsc::error::TryRecvError::Empty) => return true,
            }
        }
        self.more = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_goes_on_failing_is_left_alone_between_tries() {
        let now = Instant::now();
        let mut readiness = Readiness { readable: true, paused: None };
        assert!(readiness.at(now) && readiness.next(now) == Some(now), "at first it is tried at once");
        assert!(readiness.note(now, Err(io::ErrorKind::Other)));
        assert!(!readiness.at(now));
        let again = readiness.next(now).expect("it is tried again");
        assert!(again >= now + RECEIVE_PAUSE && readiness.at(again));
        assert!(!readiness.note(again, Ok(())));
        assert!(readiness.at(again), "what worked is not paused");
        assert!(!readiness.note(again, Err(io::ErrorKind::WouldBlock)));
        assert_eq!(readiness.next(again), None, "an empty socket is not tried");
    }
}
