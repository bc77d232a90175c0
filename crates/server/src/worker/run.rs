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

pub(super) struct Worker {
    poll: Poll,
    socket: UdpSocket,
    buffers: ReceiveBuffers,
    commands: mpsc::Receiver<ToWorker>,
    mailbox: Mailbox<Message>,
    desk: Desk,
    /// The socket may hold more; readiness is only reported once.
    readable: bool,
    /// A queue may hold more.
    more: bool,
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
        Ok(Self { poll, socket, buffers, commands, mailbox, desk, readable: true, more: false })
    }

    /// Runs until told to stop, or until nobody is left who could tell.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(8);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.patience()) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "a worker cannot wait for its socket any more");
                    return;
                }
                continue;
            }
            let now = Instant::now();
            for event in &events {
                if event.token() == SOCKET {
                    self.readable |= event.is_readable();
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
                return;
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        if self.readable || self.more {
            return Some(Duration::ZERO);
        }
        self.desk.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn receive(&mut self, now: Instant) {
        for _ in 0..RECEIVES {
            if !self.readable {
                return;
            }
            let desk = &mut self.desk;
            match self.socket.receive(&mut self.buffers, |datagram| desk.received(now, datagram)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => {
                    tracing::debug!(%error, "receiving failed");
                    self.desk.reject("socket", "receive-failed");
                }
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
