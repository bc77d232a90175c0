//! A room whose members say anything: everybody who follows the log is sent one log without gaps, nobody who is closed
//! is spoken to, what one message leads to is bounded, and time does not stand still.
//!
//! The input is a list of turns, one a line: a digit of whose turn it is, a letter of what happens, and what belongs to
//! it (a message as JSON for `m`, milliseconds for `t`).
#![no_main]

use std::collections::BTreeMap;

use delivery::{Delivery, Handle, Limits, Output};
use libfuzzer_sys::fuzz_target;
use protocol::channel::{FromServer, ToServer};
use protocol::ids::Identity;

/// Turns of one input.
const MAX_TURNS: usize = 512;

/// What one turn may lead to: a few messages for each member, and what somebody who comes back has missed.
const MAX_OUTPUT: usize = 4096;

/// Deadlines that may pass in one turn.
const MAX_DEADLINES: usize = 4096;

struct Room {
    delivery: Delivery,
    now: u64,
    /// The newest channel of each member.
    newest: BTreeMap<u8, Handle>,
    /// The next entry that each open channel has to be sent, once it follows.
    next: BTreeMap<Handle, Option<u64>>,
}

fuzz_target!(|data: &[u8]| {
    let restoring = data.first().map_or(0, |byte| u64::from(byte & 1) * 10_000);
    let mut room = Room {
        delivery: Delivery::new(Limits::default(), 0, "log".into(), restoring),
        now: 0,
        newest: BTreeMap::new(),
        next: BTreeMap::new(),
    };
    for line in data.split(|byte| *byte == b'\n').take(MAX_TURNS) {
        room.turn(line);
        room.drain();
    }
});

impl Room {
    fn turn(&mut self, line: &[u8]) {
        let [who, what, rest @ ..] = line else { return };
        let who = who % 8;
        let handle = self.newest.get(&who).copied();
        match what {
            b'o' => {
                let handle = self.delivery.opened(self.now, identity(who));
                self.newest.insert(who, handle);
                self.next.insert(handle, None);
            }
            b'b' => {
                if let Some(handle) = handle {
                    self.next.remove(&handle);
                    self.delivery.closed(self.now, handle);
                }
            }
            b'e' => self.delivery.ended(self.now, &identity(who)),
            b't' => {
                let millis = std::str::from_utf8(rest).ok().and_then(|text| text.trim().parse::<u32>().ok());
                let end = self.now + u64::from(millis.unwrap_or(1_000));
                for _ in 0..MAX_DEADLINES {
                    let Some(next) = self.delivery.poll_timeout().filter(|next| *next <= end) else { break };
                    self.now = self.now.max(next);
                    self.delivery.timeout(self.now);
                    let again = self.delivery.poll_timeout();
                    assert!(again.is_none_or(|again| again > self.now), "the room wakes without end");
                    self.drain();
                }
                self.now = end;
            }
            b'm' => {
                if let (Some(handle), Ok(message)) = (handle, serde_json::from_slice::<ToServer>(rest)) {
                    self.delivery.handle(self.now, handle, message);
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.delivery.poll() {
            outputs += 1;
            assert!(outputs <= MAX_OUTPUT, "one turn leads to too much");
            match output {
                Output::Send { to, message } => to.into_iter().for_each(|handle| self.hear(handle, &message)),
                Output::Close { handle, .. } => {
                    self.next.remove(&handle);
                }
                Output::Appended | Output::Rejected(_) => {}
            }
        }
        assert!(self.delivery.members() <= 8);
    }

    fn hear(&mut self, handle: Handle, message: &FromServer) {
        let next = self.next.get_mut(&handle).expect("nobody who is closed is spoken to");
        match message {
            FromServer::Opened { head: 0, .. } => *next = Some(1),
            FromServer::Opened { .. } => *next = None,
            FromServer::Base { seq, past, .. } => {
                assert!(past.iter().all(|entry| entry.seq <= *seq));
                *next = Some(seq + 1);
            }
            FromServer::Entry(entry) => {
                assert_eq!(next.unwrap_or(entry.seq), entry.seq, "a gap, or twice");
                *next = Some(entry.seq + 1);
            }
            _ => {}
        }
    }
}

fn identity(who: u8) -> Identity {
    Identity::new(who.to_string())
}
