//! A room and what its channels were told.

use std::collections::BTreeMap;

use protocol::channel::{
    Blob, ClosingCode, Entry, FromServer, Kind, LogState, Refusal, Sequence, Submission, ToServer, Welcome,
};
use protocol::ids::Identity;

use crate::{Delivery, Handle, Limits, Millis, Output};

/// A base in short: its place, its GroupInfo, the entries of its past.
type Base = (Sequence, String, Vec<(Sequence, Kind)>);

pub(super) struct Room {
    pub(super) delivery: Delivery,
    pub(super) now: Millis,
    told: BTreeMap<Handle, Vec<FromServer>>,
    closed: BTreeMap<Handle, ClosingCode>,
    pub(super) rejected: Vec<&'static str>,
    pub(super) appended: u64,
    id: u32,
}

pub(super) fn blob(text: &str) -> Blob {
    Blob(text.as_bytes().to_vec())
}

impl Room {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), 0)
    }

    pub(super) fn with(limits: Limits, restoring_until: Millis) -> Self {
        Self {
            delivery: Delivery::new(limits, 0, "log".into(), restoring_until),
            now: 0,
            told: BTreeMap::new(),
            closed: BTreeMap::new(),
            rejected: Vec::new(),
            appended: 0,
            id: 0,
        }
    }

    /// A room whose group ada has started, with whoever joined after her and reports.
    pub(super) fn running(others: &[&str]) -> (Self, Handle, Vec<Handle>) {
        let mut room = Self::new();
        let ada = room.enter("ada");
        room.submit(ada, 0, Submission::Group, "group").expect("the first entry");
        let others: Vec<Handle> = others
            .iter()
            .map(|name| {
                let handle = room.enter(name);
                room.delivery.trust(&Identity::new(*name), 1);
                handle
            })
            .collect();
        room.report_all(&others);
        room.report_all(&[ada]);
        for handle in others.iter().chain([&ada]) {
            room.take(*handle);
        }
        (room, ada, others)
    }

    pub(super) fn settle(&mut self) {
        while let Some(output) = self.delivery.poll() {
            match output {
                Output::Send { to, message } => {
                    assert!(!to.is_empty());
                    for handle in to {
                        assert!(!self.closed.contains_key(&handle), "said after closing");
                        self.told.entry(handle).or_default().push(message.clone());
                    }
                }
                Output::Close { handle, code } => assert!(self.closed.insert(handle, code).is_none()),
                Output::Appended => self.appended += 1,
                Output::Rejected(code) => self.rejected.push(code),
            }
        }
    }

    pub(super) fn open(&mut self, name: &str) -> Handle {
        let handle = self.delivery.opened(self.now, Identity::new(name));
        self.settle();
        handle
    }

    pub(super) fn say(&mut self, handle: Handle, message: ToServer) {
        self.delivery.handle(self.now, handle, message);
        self.settle();
    }

    pub(super) fn hello(&mut self, handle: Handle, log: Option<&str>, after: Sequence) {
        self.say(handle, ToServer::Hello { log: log.map(Into::into), after });
    }

    /// Opens a channel of somebody who knows nothing.
    pub(super) fn enter(&mut self, name: &str) -> Handle {
        let handle = self.open(name);
        self.hello(handle, None, 0);
        handle
    }

    pub(super) fn come_back(&mut self, name: &str, after: Sequence) -> Handle {
        let handle = self.open(name);
        self.hello(handle, Some("log"), after);
        handle
    }

    pub(super) fn break_off(&mut self, handle: Handle) {
        self.delivery.closed(self.now, handle);
        self.settle();
    }

    /// Lets time pass, as a run loop does.
    pub(super) fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        while let Some(next) = self.delivery.poll_timeout().filter(|next| *next <= end) {
            assert!(next > self.now || next == 0 || self.now == end, "it would spin");
            self.now = self.now.max(next);
            self.delivery.timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Submits; the answer.
    pub(super) fn submit(
        &mut self,
        handle: Handle,
        after: Sequence,
        kind: Submission,
        content: &str,
    ) -> Result<Sequence, Refusal> {
        let group_info = matches!(kind, Submission::Join | Submission::Commit)
            .then(|| blob(&format!("info of {content}")));
        self.submit_whole(handle, after, kind, blob(content), None, group_info)
    }

    pub(super) fn submit_whole(
        &mut self,
        handle: Handle,
        after: Sequence,
        kind: Submission,
        data: Blob,
        welcome: Option<Welcome>,
        group_info: Option<Blob>,
    ) -> Result<Sequence, Refusal> {
        self.id += 1;
        let id = self.id;
        self.say(handle, ToServer::Submit { id, after, kind, data, welcome, group_info });
        let told = self.told.get_mut(&handle).expect("an answer");
        let index = told
            .iter()
            .position(|message| match message {
                FromServer::Submitted { id: of, .. } | FromServer::Refused { id: of, .. } => *of == id,
                _ => false,
            })
            .expect("an answer");
        match told.remove(index) {
            FromServer::Submitted { seq, .. } => Ok(seq),
            FromServer::Refused { code, .. } => Err(code),
            _ => unreachable!(),
        }
    }

    /// Submits at the end of the log.
    pub(super) fn append(
        &mut self,
        handle: Handle,
        kind: Submission,
        content: &str,
    ) -> Result<Sequence, Refusal> {
        self.submit(handle, self.delivery.head(), kind, content)
    }

    pub(super) fn report(&mut self, handle: Handle, seq: Sequence, refused: &[Sequence]) {
        self.say(handle, ToServer::Applied { seq, refused: refused.to_vec(), state: blob("the same") });
    }

    /// Reports to have folded the whole log, and what came of it.
    pub(super) fn call(&mut self, handle: Handle, state: &str) {
        let seq = self.delivery.head();
        self.say(handle, ToServer::Applied { seq, refused: Vec::new(), state: blob(state) });
    }

    pub(super) fn report_all(&mut self, handles: &[Handle]) {
        for handle in handles {
            self.report(*handle, self.delivery.head(), &[]);
        }
    }

    /// What a channel was told since the last look.
    pub(super) fn take(&mut self, handle: Handle) -> Vec<FromServer> {
        self.told.remove(&handle).unwrap_or_default()
    }

    /// The entries among it.
    pub(super) fn entries(&mut self, handle: Handle) -> Vec<Entry> {
        let entry = |message| match message {
            FromServer::Entry(entry) => Some(entry),
            _ => None,
        };
        self.take(handle).into_iter().filter_map(entry).collect()
    }

    /// The same in short.
    pub(super) fn kinds(&mut self, handle: Handle) -> Vec<(Sequence, Kind, String)> {
        self.entries(handle).into_iter().map(|entry| (entry.seq, entry.kind, entry.from)).collect()
    }

    /// The base that a channel was told, with the entries of its past in short.
    pub(super) fn base(&mut self, handle: Handle) -> Option<Base> {
        self.take(handle).into_iter().find_map(|message| match message {
            FromServer::Base { seq, group_info, past, .. } => Some((
                seq,
                String::from_utf8(group_info.0).expect("text"),
                past.into_iter().map(|entry| (entry.seq, entry.kind)).collect(),
            )),
            _ => None,
        })
    }

    /// How the log stood when a channel was told last, and whether it was resumed.
    pub(super) fn opened(&mut self, handle: Handle) -> Option<(LogState, bool, Sequence)> {
        self.take(handle).into_iter().rev().find_map(|message| match message {
            FromServer::Opened { state, resumed, head, .. } => Some((state, resumed, head)),
            _ => None,
        })
    }

    pub(super) fn outcomes(&mut self, handle: Handle) -> Vec<(Sequence, bool)> {
        let outcome = |message| match message {
            FromServer::Outcome { seq, applied } => Some((seq, applied)),
            _ => None,
        };
        self.take(handle).into_iter().filter_map(outcome).collect()
    }

    pub(super) fn is_told(&mut self, handle: Handle, what: &FromServer) -> bool {
        self.take(handle).contains(what)
    }

    pub(super) fn closed(&self, handle: Handle) -> Option<ClosingCode> {
        self.closed.get(&handle).copied()
    }
}
