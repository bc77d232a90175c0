//! Appending to the log, and telling those who follow it.

use std::sync::Arc;

use protocol::channel::{Blob, Entry, FromServer, Kind, Sequence, Welcome};
use protocol::ids::Identity;

use crate::Delivery;
use crate::member::Stage;
use crate::output::{Handle, Output};
use crate::person::Presence;

impl Delivery {
    /// Appends an entry and sends it to everybody who follows the log.
    pub(crate) fn append(
        &mut self,
        kind: Kind,
        from: &Identity,
        data: Option<Blob>,
        welcome: Option<Welcome>,
    ) -> Sequence {
        let seq = self.log.head() + 1;
        let adds = welcome.as_ref().map_or_else(Vec::new, |welcome| welcome.to.clone());
        let entry = Arc::new(Entry { seq, kind, from: from.expose().to_owned(), data, welcome: None, adds });
        self.log.push(Arc::clone(&entry), &self.limits);
        self.output.push_back(Output::Appended);
        let mut waiting: Vec<Identity> = welcome
            .iter()
            .flat_map(|welcome| welcome.to.iter().map(|to| Identity::new(to.as_str())))
            .collect();
        waiting.sort();
        waiting.dedup();
        let (mut others, mut added) = (Vec::new(), Vec::new());
        for (handle, member) in &mut self.members {
            if !member.follows() {
                continue;
            }
            if member.obliged && entry.data.is_some() {
                member.owes = seq;
                member.owes_since.get_or_insert(self.now);
            }
            match waiting.iter().position(|identity| *identity == member.identity) {
                Some(index) => {
                    waiting.swap_remove(index);
                    added.push(*handle);
                }
                None => others.push(*handle),
            }
        }
        if let Some(welcome) = welcome {
            let copy = Entry { welcome: Some(welcome.data.clone()), ..Entry::clone(&entry) };
            self.send_all(added, FromServer::Entry(copy));
            self.welcomes.keep(self.now, seq, waiting, welcome.data, self.limits.kept_welcome_bytes);
        }
        self.send_all(others, FromServer::Entry(Entry::clone(&entry)));
        seq
    }

    /// Sends somebody the entries after one that the log reaches; from then on it follows.
    pub(crate) fn follow(&mut self, handle: Handle, after: Sequence) {
        let Some(member) = self.members.get_mut(&handle) else { return };
        member.stage = Stage::Follows;
        member.folded = after;
        let missed: Vec<Arc<Entry>> = self.log.after(after).cloned().collect();
        if let Some(newest) = missed.iter().rfind(|entry| entry.data.is_some())
            && member.obliged
        {
            member.owes = newest.seq;
            member.owes_since.get_or_insert(self.now);
        }
        let identity = member.identity.clone();
        for entry in missed {
            let welcome = self.welcomes.take(entry.seq, &identity).map(|welcome| Blob::clone(&welcome));
            self.send(handle, FromServer::Entry(Entry { welcome, ..Entry::clone(&entry) }));
        }
    }

    /// Notes the presence of somebody and writes it into the log. Without a group there is nothing to write for.
    pub(crate) fn presence(&mut self, identity: &Identity, presence: Presence) {
        let kind = match presence {
            Presence::Back => Kind::Back,
            Presence::Gone(_) => Kind::Gone,
            Presence::Expired => Kind::Expired,
            Presence::Left => Kind::Left,
            Presence::Unknown => return,
        };
        if !self.log.is_running() {
            return;
        }
        if let Some(person) = self.people.get_mut(identity) {
            person.presence = presence;
        }
        // Who comes back after that has to come into the group again; who expired may be in it yet.
        if presence == Presence::Left {
            self.distrust(identity, self.log.head());
        }
        self.append(kind, identity, None, None);
    }

    /// Writes that those are there who have said hello, once the log has its first entry.
    pub(crate) fn everybody_is_back(&mut self) {
        let there: Vec<Identity> = self
            .members
            .values()
            .filter(|member| member.stage != Stage::Opening)
            .map(|member| member.identity.clone())
            .collect();
        for identity in there {
            if self.people.presence(&identity) != Presence::Back {
                self.presence(&identity, Presence::Back);
            }
        }
    }
}
