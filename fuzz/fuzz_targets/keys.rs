//! What the server and strangers may hand to a member: entries of the log, bases, key packages, data packets, statements.
//! The member stays in its meeting, whatever they are.
#![no_main]

use std::cell::RefCell;

use channel::{Blob, Entry, FromServer, Kind, LogState, ToServer};
use e2ee::keys::RoomKeys;
use e2ee::link::LinkSecret;
use e2ee::session::{Config, Input, Output, Session};
use e2ee::signer::LeafKey;
use libfuzzer_sys::fuzz_target;

struct Member {
    session: Session,
    seq: u64,
    now: u64,
}

impl Member {
    /// Alone in a meeting that it started.
    fn new() -> Self {
        let config = Config {
            origin: "https://meet.example".into(),
            keys: RoomKeys::new(LinkSecret::from_random([1; 20]), "a"),
            password: None,
            name: "Ann".to_owned().into(),
            key: LeafKey::from_seed(&[1; 32]),
        };
        let mut member = Self { session: Session::new(config, [2; 32]), seq: 0, now: 1_000_000 };
        member.give(Input::Connected);
        let opened =
            FromServer::Opened { log: "log".into(), head: 0, state: LogState::Empty, resumed: false };
        let submitted = member.give(Input::Channel { message: opened });
        let Some(ToServer::Submit { data, .. }) = submitted else { panic!("it starts the group") };
        member.entry(Kind::Group, member.session.identity().to_owned(), data.0);
        member.give(Input::Path { open: true });
        member
    }

    fn entry(&mut self, kind: Kind, from: String, data: Vec<u8>) {
        self.seq += 1;
        let entry =
            Entry { seq: self.seq, kind, from, data: Some(Blob(data)), welcome: None, adds: Vec::new() };
        self.give(Input::Channel { message: FromServer::Entry(entry) });
    }

    /// Gives an input, and takes the last message for the server.
    fn give(&mut self, input: Input) -> Option<ToServer> {
        self.now += 1;
        self.session.handle(self.now, input);
        let mut last = None;
        while let Some(output) = self.session.poll() {
            if let Output::Channel { message } = output {
                last = Some(message);
            }
        }
        last
    }
}

thread_local! {
    static MEMBER: RefCell<Member> = RefCell::new(Member::new());
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else { return };
    let bytes = data.to_vec();
    MEMBER.with_borrow_mut(|member| {
        let from = "0123456789abcdefghjkmnpqrs".to_owned();
        match kind % 7 {
            0 => member.entry(Kind::Join, from, bytes),
            1 => member.entry(Kind::Commit, from, bytes),
            2 => member.entry(Kind::Statement, from, bytes),
            3 => drop(member.give(Input::Message { data: Blob(bytes) })),
            4 => {
                let message = FromServer::Waiting { from, data: Blob(bytes) };
                member.give(Input::Channel { message });
            }
            5 => {
                let base =
                    FromServer::Base { seq: 1, group_info: Blob(bytes), state: None, past: Vec::new() };
                member.give(Input::Channel { message: base });
            }
            _ => {
                if let Ok(message) = serde_json::from_slice(&bytes) {
                    *member = Member::new();
                    member.give(Input::Channel { message });
                    *member = Member::new();
                }
            }
        }
        if kind % 7 < 6 {
            let roster = e2ee::session::State::Member { confirmed: true };
            assert!(*member.session.state() == roster, "it is still in its meeting");
        }
    });
});
