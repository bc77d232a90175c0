//! Workers: one thread per core of the machine, each with its own socket, its own media core and its own
//! rooms. Everything else in the process talks to them through bounded queues.
//!
//! Invariant: nothing on the packet path is shared or locked between workers.

mod core;
mod desk;
mod handover;
mod requests;
mod routes;
mod run;
mod watch;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::{Poll, Waker};
use net::UdpSocket;
use protocol::ids::{RoomName, SessionId};
use protocol::livekit::DisconnectReason;
use sfu::command::administration::{Administration, Answer};
use sfu::command::{Join, Resume, SessionCommand};
use tokio::sync::{mpsc, oneshot};

use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::signal::queue::EventSender;
use crate::webhook::Outbox;
use crate::worker::core::Core;
use crate::worker::watch::Watch;

/// Commands that wait for a worker; beyond it senders wait. One is a few hundred bytes, an offer some kB; a
/// session's allowance (`signal::bucket`) is 1.6 MB of them at once and 200 kB/s.
const COMMAND_QUEUE: usize = 1024;

/// What a worker is told.
pub(crate) enum ToWorker {
    /// A participant wants in; what concerns it goes to `events`.
    Join {
        /// Who and where to.
        join: Box<Join>,
        /// Where the session's events go. When it is full, the session is dropped.
        events: EventSender,
    },
    /// The client of a connection that broke is back.
    Resume {
        /// Who and where to.
        resume: Box<Resume>,
        /// As for a join.
        events: EventSender,
    },
    /// A session says something.
    Session(SessionId, SessionCommand),
    /// The server API wants something.
    Administer(Box<Administration>, oneshot::Sender<Answer>),
    /// Every room ends.
    EndAll(DisconnectReason),
    /// The thread ends.
    Stop,
}

/// The worker is gone (the process is stopping).
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the worker has stopped")]
pub(crate) struct WorkerGone;

/// Where a worker is reached.
#[derive(Clone, Debug)]
pub(crate) struct WorkerHandle {
    queue: mpsc::Sender<ToWorker>,
    waker: Arc<Waker>,
}

impl WorkerHandle {
    /// Tells the worker something; waits while its queue is full.
    pub(crate) async fn tell(&self, message: ToWorker) -> Result<(), WorkerGone> {
        self.queue.send(message).await.map_err(|_| WorkerGone)?;
        // A worker that cannot be woken still looks at its queue at its next datagram or deadline.
        let _ = self.waker.wake();
        Ok(())
    }

    /// Asks the worker something for the server API.
    pub(crate) async fn ask(&self, request: Administration) -> Result<Answer, WorkerGone> {
        let (sender, answer) = oneshot::channel();
        self.tell(ToWorker::Administer(Box::new(request), sender)).await?;
        answer.await.map_err(|_| WorkerGone)
    }
}

/// Why the workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The system refused a thread or an event queue.
    #[error("cannot start a worker: {0}")]
    System(#[from] io::Error),
    /// The certificate for DTLS could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] sfu::peer::transport::TransportError),
}

/// All workers.
#[derive(Debug)]
pub(crate) struct Workers {
    handles: Vec<WorkerHandle>,
    hasher: RandomState,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watch: Watch,
}

impl Workers {
    /// Starts one worker per socket. `config` is that of the first; the others differ in the index.
    pub(crate) fn start(
        sockets: Vec<UdpSocket>,
        config: &sfu::config::Config,
        directory: &Arc<Directory>,
        metrics: &Metrics,
        outbox: &Outbox,
    ) -> Result<Self, WorkerError> {
        let shared = core::shared(config)?;
        let mut polls = Vec::new();
        let mut wakers = Vec::new();
        for _ in &sockets {
            let poll = Poll::new()?;
            wakers.push(Arc::new(Waker::new(poll.registry(), run::WAKER)?));
            polls.push(poll);
        }
        let (mailboxes, lines) = handover::switchboard(&wakers);
        let mut handles = Vec::new();
        let mut threads = Vec::new();
        let watch = Watch::new(metrics.clone());
        let parts = sockets.into_iter().zip(polls).zip(wakers).zip(mailboxes.into_iter().zip(lines));
        for (index, (((socket, poll), waker), (mailbox, lines))) in parts.enumerate() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            let (queue, commands) = mpsc::channel(COMMAND_QUEUE);
            let config = sfu::config::Config { worker: index, ..config.clone() };
            let core = Core::new(config, Arc::clone(&shared), crate::random::fill);
            let desk =
                desk::Desk::new(index, core, lines, Arc::clone(directory), metrics.clone(), outbox.clone());
            let worker = run::Worker::new(poll, socket, commands, mailbox, desk)?;
            let watch = watch.clone();
            let thread = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || watch.over(|| worker.run()))?;
            handles.push(WorkerHandle { queue, waker });
            threads.push(thread);
        }
        Ok(Self { handles, hasher: RandomState::new(), threads: Mutex::new(threads), watch })
    }

    /// Returns when a worker has died; as long as all live, never.
    pub(crate) async fn died(&self) {
        self.watch.died().await;
    }

    /// The worker that owns a room. The hash is keyed, so that nobody can aim rooms at one worker.
    pub(crate) fn of_room(&self, room: &RoomName) -> Option<&WorkerHandle> {
        let hash = self.hasher.hash_one(room);
        let count = self.handles.len() as u64;
        let index = hash.checked_rem(count).and_then(|index| usize::try_from(index).ok())?;
        self.handles.get(index)
    }

    /// Every worker.
    pub(crate) fn all(&self) -> &[WorkerHandle] {
        &self.handles
    }

    /// Ends every room.
    pub(crate) async fn end_all(&self, reason: DisconnectReason) {
        for handle in &self.handles {
            let _ = handle.tell(ToWorker::EndAll(reason)).await;
        }
    }

    /// Ends the threads; returns when they are gone.
    pub(crate) fn stop(&self) {
        for handle in &self.handles {
            // A full queue would be emptied by the worker first; trying until it takes the word is enough.
            let mut message = ToWorker::Stop;
            while let Err(mpsc::error::TrySendError::Full(back)) = handle.queue.try_send(message) {
                message = back;
                let _ = handle.waker.wake();
                std::thread::yield_now();
            }
            let _ = handle.waker.wake();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}
