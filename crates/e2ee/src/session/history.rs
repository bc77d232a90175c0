//! The chat so far, for those who come later: they ask the lowest leaf, and the next one if that does not answer.

use std::collections::{BTreeMap, VecDeque};

use channel::Blob;

use super::{Event, Session};
use crate::keys::Key;
use crate::message::{Content, Line, Message};
use crate::signer::PublicKey;

/// Lines that are kept, and their size in bytes.
const LINES: usize = 500;
const BYTES: usize = 256 << 10;

/// One message holds so many bytes of lines: data packets have a bound.
const PART_BYTES: usize = 8 << 10;

/// Between two questions, in milliseconds, and how many there are.
const ASK_MS: u64 = 3000;
const QUESTIONS: usize = 5;

/// The same member is given it once in so many milliseconds. Who loads the page again and again has to ask more than once,
/// and does: the questions take longer than this.
const GIVE_MS: u64 = 10_000;

/// Lines are taken for so long after we came, in milliseconds: later ones would stand beside what people say themselves.
const TAKE_MS: u64 = 30_000;

/// Keys of names that are kept.
pub(super) const NAME_KEYS: usize = 64;

/// The chat so far.
#[derive(Default)]
pub(super) struct History {
    lines: VecDeque<Line>,
    bytes: usize,
    /// When we came into the group.
    came: u64,
    /// When we ask next; `None` once there was an answer, or nobody is left to ask.
    ask_at: Option<u64>,
    /// Whom we asked, in this order: everybody once before anybody is asked again.
    asked: Vec<PublicKey>,
    /// When somebody was given it last.
    given: BTreeMap<String, u64>,
}

impl History {
    pub(super) fn next(&self) -> Option<u64> {
        self.ask_at
    }

    /// We came into the group: those inside know more.
    pub(super) fn entered(&mut self, now: u64) {
        self.came = now;
        self.ask_at = Some(now);
        self.asked.clear();
    }

    /// Keeps what was said.
    pub(super) fn keep(&mut self, now: u64, from: &str, name: &str, content: &Content) {
        if let Content::Chat { id, text } = content {
            let line =
                Line { id: id.clone(), from: from.into(), name: name.into(), text: text.clone(), at: now };
            self.push(line);
        }
    }

    fn push(&mut self, line: Line) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            if let Some(oldest) = self.lines.pop_front() {
                self.bytes -= size(&oldest);
            }
        }
    }

    fn has(&self, line: &Line) -> bool {
        self.lines.iter().any(|known| known.id == line.id && known.from == line.from)
    }
}

fn size(line: &Line) -> usize {
    line.id.len() + line.from.len() + line.name.len() + line.text.len() + 64
}

impl Session {
    pub(super) fn history_due(&mut self, now: u64) {
        if self.history.ask_at.is_none_or(|at| at > now) {
            return;
        }
        if !self.path || self.group.is_none() {
            // Asked again once there is a way.
            self.history.ask_at = Some(now + ASK_MS);
            return;
        }
        let own = self.own.key.public();
        let times = |key: &PublicKey| self.history.asked.iter().filter(|asked| *asked == key).count();
        let next = self
            .members
            .others_here(&own)
            .min_by_key(|member| times(&member.key))
            .map(|member| (member.key, member.identity.clone()));
        let Some((key, identity)) = next.filter(|_| self.history.asked.len() < QUESTIONS) else {
            self.history.ask_at = None;
            return;
        };
        if self.tell(vec![identity], &Message::WantHistory) {
            self.history.asked.push(key);
        }
        self.history.ask_at = Some(now + ASK_MS);
    }

    /// Hands the chat so far to a member that asks.
    pub(super) fn give_history(&mut self, now: u64, to: String) {
        self.history.given.retain(|_, at| *at + GIVE_MS > now);
        if self.history.given.contains_key(&to) {
            return;
        }
        self.history.given.insert(to.clone(), now);
        let name_keys: Vec<Blob> = self.old_name_keys.iter().map(|key| Blob(key.to_vec())).collect();
        let mut parts: Vec<Vec<Line>> = vec![Vec::new()];
        let mut bytes = 0;
        for line in &self.history.lines {
            if bytes + size(line) > PART_BYTES && bytes > 0 {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += size(line);
            if let Some(part) = parts.last_mut() {
                part.push(line.clone());
            }
        }
        let count = parts.len();
        for (index, lines) in parts.into_iter().enumerate() {
            let name_keys = if index == 0 { name_keys.clone() } else { Vec::new() };
            let part = Message::History { lines, name_keys, last: index + 1 == count };
            self.tell(vec![to.clone()], &part);
        }
    }

    /// Takes the chat so far, of those only whom we asked. Nothing of it is from later than we came.
    pub(super) fn take_history(
        &mut self,
        now: u64,
        from: PublicKey,
        lines: Vec<Line>,
        name_keys: Vec<Blob>,
        last: bool,
    ) {
        let came = self.history.came;
        if !self.history.asked.contains(&from) || now > came + TAKE_MS {
            return;
        }
        let keys: Vec<Key> =
            name_keys.into_iter().filter_map(|key| <[u8; 32]>::try_from(key.0).ok().map(Key::new)).collect();
        if !keys.is_empty() {
            self.more_name_keys(keys);
        }
        let fresh = lines.into_iter().filter(|line| !self.history.has(line));
        let fresh: Vec<Line> = fresh.map(|line| Line { at: line.at.min(came), ..line }).collect();
        for line in &fresh {
            self.history.push(line.clone());
        }
        if last {
            self.history.ask_at = None;
            self.history.asked.clear();
        }
        if !fresh.is_empty() {
            self.event(Event::History { lines: fresh });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::RoomKeys;
    use crate::link::LinkSecret;
    use crate::session::{Config, Output};
    use crate::signer::LeafKey;

    const CAME: u64 = 1_000_000;
    const GIVER: PublicKey = [2; 32];

    /// Somebody who came and asked.
    fn asking() -> Session {
        let config = Config {
            origin: "https://meet.example".into(),
            keys: RoomKeys::new(LinkSecret::from_random([1; 20]), "r"),
            password: None,
            name: "late".to_owned().into(),
            key: LeafKey::from_seed(&[1; 32]),
        };
        let mut session = Session::new(config, [3; 32]);
        session.history.entered(CAME);
        session.history.asked.push(GIVER);
        session
    }

    fn line(at: u64) -> Line {
        Line { id: at.to_string(), from: "a".into(), name: "Ada".into(), text: "hello".into(), at }
    }

    fn taken(session: &mut Session) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(output) = session.poll() {
            if let Output::Event { event: Event::History { lines } } = output {
                times.extend(lines.iter().map(|line| line.at));
            }
        }
        times
    }

    #[test]
    fn what_is_handed_on_is_older_than_all_that_one_heard_oneself() {
        let mut session = asking();
        session.take_history(CAME, GIVER, vec![line(5), line(u64::MAX)], Vec::new(), false);
        assert_eq!(taken(&mut session), [5, CAME]);
        session.take_history(CAME, [9; 32], vec![line(6)], Vec::new(), false);
        assert!(taken(&mut session).is_empty(), "was not asked");
    }

    #[test]
    fn nothing_is_handed_on_in_the_middle_of_a_meeting() {
        let mut session = asking();
        session.take_history(CAME + TAKE_MS, GIVER, vec![line(5)], Vec::new(), false);
        assert_eq!(taken(&mut session), [5]);
        session.take_history(CAME + TAKE_MS + 1, GIVER, vec![line(6)], Vec::new(), false);
        assert!(taken(&mut session).is_empty());
    }
}
