//! Submissions: whether one is appended, or why not.

use protocol::channel::{Blob, ClosingCode, FromServer, Kind, Refusal, Sequence, Submission, Welcome};
use protocol::ids::Identity;

use crate::Delivery;
use crate::base::State;
use crate::member::Stage;
use crate::outcome::{Asked, Tracked};
use crate::output::Handle;

pub(crate) struct Submitted {
    pub(crate) id: u32,
    pub(crate) after: Sequence,
    pub(crate) kind: Submission,
    pub(crate) data: Blob,
    pub(crate) welcome: Option<Welcome>,
    pub(crate) group_info: Option<Blob>,
}

type Refused = (Refusal, &'static str);

impl Delivery {
    pub(crate) fn submit(&mut self, handle: Handle, mut submitted: Submitted) {
        if submitted.kind != Submission::Commit {
            submitted.welcome = None; // only a commit of a member adds somebody
        }
        let id = submitted.id;
        if let Err((code, reason)) = self.check(handle, &submitted) {
            self.reject(reason);
            self.send(handle, FromServer::Refused { id, code, head: self.log.head() });
            return;
        }
        let Some(member) = self.members.get_mut(&handle) else { return };
        let from = member.identity.clone();
        let Submitted { kind, data, welcome, group_info, .. } = submitted;
        if kind != Submission::Statement {
            member.obliged = true;
        }
        let seq = self.log.head() + 1;
        self.send(handle, FromServer::Submitted { id, seq });
        for identity in added(welcome.as_ref()) {
            self.unwait(&identity);
        }
        match kind {
            Submission::Group => {
                self.nothing_is_restored();
                self.good = Some(State::new(seq, from.clone(), Some(data.clone())));
                for member in self.members.values_mut().filter(|member| member.stage == Stage::Idle) {
                    member.stage = Stage::Follows;
                }
                self.append(Kind::Group, &from, Some(data), None);
                self.people.trust_nobody();
                self.trust(&from, seq);
                let asked = Asked::new(seq, from, Vec::new(), Vec::new());
                self.track(Tracked::new(asked, kind, self.now, None));
                self.everybody_is_back();
            }
            Submission::Join | Submission::Commit | Submission::Statement => {
                if kind == Submission::Join {
                    self.unwait(&from);
                }
                let (came, gone) = match kind {
                    Submission::Join => (vec![from.clone()], Vec::new()),
                    Submission::Commit => (added(welcome.as_ref()), self.expired()),
                    Submission::Group | Submission::Statement => (Vec::new(), Vec::new()),
                };
                self.append(entry_kind(kind), &from, Some(data), welcome);
                let asked = Asked::new(seq, from, came, gone);
                self.track(Tracked::new(asked, kind, self.now, group_info));
            }
        }
    }

    fn check(&mut self, handle: Handle, submitted: &Submitted) -> Result<(), Refused> {
        let limits = &self.limits;
        let data_limit = match submitted.kind {
            Submission::Group => limits.group_info_bytes,
            Submission::Statement => limits.statement_bytes,
            Submission::Join | Submission::Commit => limits.data_bytes,
        };
        let is_large = |blob: Option<&Blob>, limit| blob.is_some_and(|blob| blob.0.len() > limit);
        let welcome = submitted.welcome.as_ref();
        if submitted.data.0.len() > data_limit
            || is_large(submitted.group_info.as_ref(), limits.group_info_bytes)
            || is_large(welcome.map(|welcome| &welcome.data), limits.welcome_bytes)
            || welcome.is_some_and(|welcome| {
                welcome.to.len() > limits.members
                    || welcome.to.iter().any(|to| to.len() > limits.identity_bytes)
            })
        {
            return Err((Refusal::TooLarge, "submission-too-large"));
        }
        let (rates, now) = (limits, self.now);
        let Some(member) = self.members.get(&handle) else {
            return Err((Refusal::OutOfPlace, "submission-out-of-place"));
        };
        let Some(person) = self.people.get_mut(&member.identity) else {
            return Err((Refusal::OutOfPlace, "submission-out-of-place"));
        };
        if person.barred_until > now {
            return Err((Refusal::TooOften, "submitter-barred"));
        }
        if !person.submissions.take(rates.submissions, now) {
            return Err((Refusal::TooOften, "submission-too-often"));
        }
        let is_in_place = match submitted.kind {
            Submission::Group => !self.log.is_running() && !self.is_restoring(),
            _ => self.log.is_running() && self.members.get(&handle).is_some_and(|member| member.follows()),
        };
        if !is_in_place {
            return Err((Refusal::OutOfPlace, "submission-out-of-place"));
        }
        // Statements count for ever, so strangers could use up the hosts' number of them.
        let is_trusted = self.members.get(&handle).is_some_and(|member| member.trusted.is_some());
        if submitted.kind == Submission::Statement && !is_trusted {
            return Err((Refusal::OutOfPlace, "statement-of-a-stranger"));
        }
        if submitted.after != self.log.head() {
            return Err((Refusal::Stale, "submission-stale"));
        }
        match submitted.kind {
            Submission::Statement if !self.log.takes_statement(&self.limits) => {
                Err((Refusal::TooOften, "too-many-statements"))
            }
            Submission::Join => self.take_join(handle),
            _ => Ok(()),
        }
    }

    /// A join counts for its submitter and for the room, once it is appended.
    fn take_join(&mut self, handle: Handle) -> Result<(), Refused> {
        let (rates, now) = (&self.limits, self.now);
        let person = self.members.get(&handle).and_then(|member| self.people.get_mut(&member.identity));
        let Some(person) = person else { return Err((Refusal::OutOfPlace, "submission-out-of-place")) };
        if !self.joins.has(rates.room_joins, now) || !person.joins.take(rates.joins, now) {
            return Err((Refusal::TooOften, "join-too-often"));
        }
        self.joins.take(rates.room_joins, now);
        Ok(())
    }

    /// Closes the channel of somebody whose entries most refuse.
    pub(crate) fn entries_refused(&mut self, identity: &Identity) {
        let now = self.now;
        let too_often = self.people.get_mut(identity).is_some_and(|person| person.refused(now));
        if too_often && let Some(handle) = self.channels.get(identity).copied() {
            self.hang_up(handle, ClosingCode::EntriesRefused, "entries-refused");
        }
    }
}

/// Whom a commit says to add.
fn added(welcome: Option<&Welcome>) -> Vec<Identity> {
    let to = welcome.into_iter().flat_map(|welcome| &welcome.to);
    to.map(|identity| Identity::new(identity.as_str())).collect()
}

fn entry_kind(kind: Submission) -> Kind {
    match kind {
        Submission::Group => Kind::Group,
        Submission::Join => Kind::Join,
        Submission::Commit => Kind::Commit,
        Submission::Statement => Kind::Statement,
    }
}
