//! Whatever members say: everybody who follows sees the same log without gaps, and memory is bounded.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::channel::{Entry, FromServer, Sequence, Submission, ToServer, Welcome};
use protocol::ids::Identity;

use super::support::blob;
use crate::limits::{TRACKED, TRACKED_INFOS};
use crate::{Delivery, Handle, Limits, Millis, Output, Rate};

const NAMES: [&str; 5] = ["ada", "ben", "cleo", "dora", "emil"];

#[derive(Clone, Debug)]
enum Step {
    Open(usize, bool, i8),
    Break(usize),
    End(usize),
    Submit(usize, i8, Submission, Option<usize>, bool),
    Applied(usize, i8, u8),
    Answer(usize, i8),
    WantBase(usize, bool),
    KeyPackage(usize),
    Restore(usize, u8),
    Leave(usize),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    let kind = prop_oneof![
        1 => Just(Submission::Group),
        1 => Just(Submission::Join),
        4 => Just(Submission::Commit),
        1 => Just(Submission::Statement)
    ];
    let near = prop_oneof![4 => Just(0_i8), 1 => -6_i8..6];
    prop_oneof![
        4 => (who.clone(), any::<bool>(), near.clone()).prop_map(|(a, b, c)| Step::Open(a, b, c)),
        1 => who.clone().prop_map(Step::Break),
        1 => who.clone().prop_map(Step::End),
        8 => (who.clone(), near.clone(), kind, proptest::option::of(who.clone()), any::<bool>())
            .prop_map(|(a, b, c, d, e)| Step::Submit(a, b, c, d, e)),
        6 => (who.clone(), near.clone(), any::<u8>()).prop_map(|(a, b, c)| Step::Applied(a, b, c)),
        2 => (who.clone(), near).prop_map(|(a, b)| Step::Answer(a, b)),
        1 => (who.clone(), any::<bool>()).prop_map(|(a, b)| Step::WantBase(a, b)),
        1 => who.clone().prop_map(Step::KeyPackage),
        1 => (who.clone(), any::<u8>()).prop_map(|(a, b)| Step::Restore(a, b)),
        1 => who.prop_map(Step::Leave),
        4 => any::<u16>().prop_map(Step::Pass),
    ]
}

/// What one channel has been told.
#[derive(Default)]
struct Told {
    /// The next entry that it has to get; `None` before it follows.
    next: Option<Sequence>,
    /// Which log it is in.
    log: String,
}

struct World {
    delivery: Delivery,
    now: Millis,
    open: BTreeMap<usize, Handle>,
    told: BTreeMap<Handle, Told>,
    log: BTreeMap<(String, Sequence), Entry>,
}

impl World {
    fn new(limits: Limits, restoring: Millis) -> Self {
        Self {
            delivery: Delivery::new(limits, 0, "log".into(), restoring),
            now: 0,
            open: BTreeMap::new(),
            told: BTreeMap::new(),
            log: BTreeMap::new(),
        }
    }

    fn near_head(&self, offset: i8) -> Sequence {
        self.delivery.head().saturating_add_signed(offset.into())
    }

    fn say(&mut self, who: usize, message: ToServer) {
        if let Some(handle) = self.open.get(&who) {
            self.delivery.handle(self.now, *handle, message);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Open(who, knows, offset) => {
                let handle = self.delivery.opened(self.now, Identity::new(NAMES[who]));
                self.open.insert(who, handle);
                self.told.insert(handle, Told::default());
                let after = self.near_head(offset);
                let log = knows.then(|| if offset == 5 { "other".into() } else { "log".into() });
                self.delivery.handle(self.now, handle, ToServer::Hello { log, after });
            }
            Step::Break(who) => {
                if let Some(handle) = self.open.remove(&who) {
                    self.delivery.closed(self.now, handle);
                }
            }
            Step::End(who) => self.delivery.ended(self.now, &Identity::new(NAMES[who])),
            Step::Submit(who, offset, kind, added, info) => {
                let welcome = added.map(|added| Welcome {
                    to: vec![NAMES[added].into()],
                    data: blob("a welcome of some bytes"),
                });
                let group_info = info.then(|| blob("info"));
                let after = if kind == Submission::Group { 0 } else { self.near_head(offset) };
                self.say(
                    who,
                    ToServer::Submit { id: 1, after, kind, data: blob("data"), welcome, group_info },
                );
            }
            Step::Applied(who, offset, bits) => {
                let seq = self.near_head(offset);
                let refused =
                    (0..8).filter(|bit| bits & (1 << bit) != 0).map(|bit| seq.saturating_sub(bit)).collect();
                let state = blob(if bits > 200 { "another" } else { "the same" });
                self.say(who, ToServer::Applied { seq, refused, state });
            }
            Step::Answer(who, offset) => {
                let seq = self.near_head(offset);
                self.say(who, ToServer::GroupInfo { seq, group_info: blob("answer") });
            }
            Step::WantBase(who, bad) => self.say(who, ToServer::WantBase { bad: bad.then_some(1) }),
            Step::KeyPackage(who) => self.say(who, ToServer::KeyPackage { data: blob("package") }),
            Step::Restore(who, epoch) => self.say(
                who,
                ToServer::Restore {
                    epoch: epoch.into(),
                    state: blob(if epoch > 128 { "one" } else { "another" }),
                    group_info: blob("restored"),
                    statements: vec![blob("s"); usize::from(epoch % 4)],
                    members: NAMES.iter().map(|name| (*name).to_owned()).collect(),
                },
            ),
            Step::Leave(who) => self.say(who, ToServer::Leave),
            Step::Pass(millis) => {
                let end = self.now + Millis::from(millis);
                while let Some(next) = self.delivery.poll_timeout().filter(|next| *next <= end) {
                    self.now = self.now.max(next);
                    self.delivery.timeout(self.now);
                    let again = self.delivery.poll_timeout();
                    assert!(again.is_none_or(|again| again > self.now), "it would spin");
                    self.settle();
                }
                self.now = end;
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.delivery.poll() {
            match output {
                Output::Send { to, message } => {
                    for handle in to {
                        self.hear(handle, &message);
                    }
                }
                Output::Close { handle, .. } => {
                    self.told.remove(&handle);
                    self.open.retain(|_, open| *open != handle);
                }
                Output::Appended | Output::Rejected(_) => {}
            }
        }
    }

    fn hear(&mut self, handle: Handle, message: &FromServer) {
        let told = self.told.get_mut(&handle).expect("nothing is said to who is closed");
        match message {
            FromServer::Opened { resumed: true, log, .. } => told.log = log.clone(),
            FromServer::Opened { log, head: 0, .. } => {
                told.next = Some(1);
                told.log = log.clone();
            }
            FromServer::Opened { log, .. } => {
                told.next = None;
                told.log = log.clone();
            }
            FromServer::Base { seq, past, .. } => {
                assert!(*seq <= self.delivery.head());
                assert!(past.iter().all(|entry| entry.seq <= *seq));
                assert!(past.is_sorted_by_key(|entry| entry.seq));
                told.next = Some(seq + 1);
            }
            FromServer::Entry(entry) => {
                // Who resumed says by its first entry where it stood.
                assert_eq!(told.next.unwrap_or(entry.seq), entry.seq, "a gap, or twice");
                told.next = Some(entry.seq + 1);
                let same = Entry { welcome: None, ..entry.clone() };
                let place = (told.log.clone(), entry.seq);
                assert!(*self.log.entry(place).or_insert_with(|| same.clone()) == same, "another log");
            }
            _ => {}
        }
    }

    fn check(&self, limits: &Limits) {
        let (entries, bytes, statements, fallen) = self.delivery.log.held();
        assert!(entries <= limits.log_entries && (bytes <= limits.log_bytes || entries == 1));
        assert!(statements <= limits.statements && fallen <= limits.people);
        assert!(self.delivery.people.len() <= limits.people && self.delivery.members() <= limits.members);
        assert!(self.delivery.welcomes.bytes() <= limits.kept_welcome_bytes);
        assert!(self.delivery.tracked.len() <= TRACKED);
        let with_infos = self.delivery.tracked.iter().filter(|tracked| tracked.state.has_infos()).count();
        assert!(with_infos <= TRACKED_INFOS);
        assert!(self.delivery.packages.len() <= self.delivery.members());
        assert_eq!(self.delivery.channels.len(), self.delivery.members.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn everybody_sees_one_log_without_gaps(
        steps in proptest::collection::vec(step(), 1..120),
        restoring in prop_oneof![Just(0), Just(5_000)],
        small in any::<bool>(),
    ) {
        let plenty = Rate { burst: 10_000, per_minute: 10_000 };
        let generous =
            Limits { messages: plenty, submissions: plenty, joins: plenty, room_joins: plenty, ..Limits::default() };
        let limits = if small {
            Limits {
                members: 3, people: 4, log_entries: 6, log_bytes: 500, statements: 3, kept_welcome_bytes: 50,
                ..generous
            }
        } else {
            generous
        };
        let mut world = World::new(limits.clone(), restoring);
        for step in steps {
            world.run(step);
            world.check(&limits);
        }
    }
}
