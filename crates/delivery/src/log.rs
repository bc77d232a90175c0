//! The log: its newest entries, and of what fell off the front what newcomers need.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::channel::{Entry, Kind, Sequence};
use protocol::ids::Identity;

use crate::limits::Limits;

/// Bytes that an entry costs beyond its content and its name.
const OVERHEAD: usize = 64;

pub(crate) struct Log {
    pub(crate) id: String,
    /// The retained entries, without gaps.
    entries: VecDeque<Arc<Entry>>,
    /// Place of the first of them.
    first: Sequence,
    bytes: usize,
    statements: Vec<Statement>,
    /// The last presence of each identity among the entries that are not retained.
    fallen: BTreeMap<Identity, Arc<Entry>>,
}

struct Statement {
    entry: Arc<Entry>,
    /// Most members skipped it.
    refused: bool,
}

impl Log {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            entries: VecDeque::new(),
            first: 1,
            bytes: 0,
            statements: Vec::new(),
            fallen: BTreeMap::new(),
        }
    }

    /// The last entry; 0 if there is none.
    pub(crate) fn head(&self) -> Sequence {
        self.first + self.entries.len() as Sequence - 1
    }

    pub(crate) fn is_running(&self) -> bool {
        self.head() > 0
    }

    /// Whether all entries after this one are retained.
    pub(crate) fn reaches(&self, after: Sequence) -> bool {
        after <= self.head() && after + 1 >= self.first
    }

    /// The entries after one that is [reached](Self::reaches).
    pub(crate) fn after(&self, after: Sequence) -> impl Iterator<Item = &Arc<Entry>> {
        let skipped = after.saturating_add(1).saturating_sub(self.first);
        self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }

    /// Whether somebody who has folded the log up to here may be sent the rest.
    pub(crate) fn resumes(&self, after: Sequence, limits: &Limits) -> bool {
        self.reaches(after)
            && self.head() - after <= limits.resume_entries as Sequence
            && self.after(after).map(|entry| size(entry)).sum::<usize>() <= limits.resume_bytes
    }

    /// Whether another statement may be appended.
    pub(crate) fn takes_statement(&self, limits: &Limits) -> bool {
        self.statements.iter().filter(|statement| !statement.refused).count() < limits.statements
    }

    /// Appends; the place has to be the next.
    pub(crate) fn push(&mut self, entry: Arc<Entry>, limits: &Limits) {
        debug_assert_eq!(entry.seq, self.head() + 1);
        if entry.kind == Kind::Statement {
            // Those that most refuse make way first.
            if self.statements.len() >= limits.statements
                && let Some(refused) = self.statements.iter().position(|statement| statement.refused)
            {
                self.statements.remove(refused);
            }
            self.statements.push(Statement { entry: Arc::clone(&entry), refused: false });
        }
        self.bytes += size(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > limits.log_entries.max(1)
            || (self.bytes > limits.log_bytes && self.entries.len() > 1)
        {
            self.drop_first(limits);
        }
    }

    fn drop_first(&mut self, limits: &Limits) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.first += 1;
        self.bytes -= size(&entry);
        if !is_presence(entry.kind) {
            return;
        }
        self.fallen.insert(Identity::new(entry.from.as_str()), entry);
        if self.fallen.len() > limits.people {
            // Who left longest ago is in no group any more; else whoever was heard of longest ago.
            let oldest = self
                .fallen
                .iter()
                .min_by_key(|(_, entry)| (!matches!(entry.kind, Kind::Left | Kind::Expired), entry.seq))
                .map(|(identity, _)| identity.clone());
            oldest.and_then(|identity| self.fallen.remove(&identity));
        }
    }

    /// Most members skipped it.
    pub(crate) fn statement_refused(&mut self, seq: Sequence) {
        if let Some(statement) = self.statements.iter_mut().find(|statement| statement.entry.seq == seq) {
            statement.refused = true;
        }
    }

    /// What the policy needs of the entries up to one that is [reached](Self::reaches): every statement and the last
    /// presence of each identity.
    pub(crate) fn past(&self, upto: Sequence) -> Vec<Entry> {
        let mut presence: BTreeMap<&str, &Arc<Entry>> =
            self.fallen.iter().map(|(identity, entry)| (identity.expose(), entry)).collect();
        for entry in self.entries.iter().take_while(|entry| entry.seq <= upto) {
            if is_presence(entry.kind) {
                presence.insert(&entry.from, entry);
            }
        }
        let statements = self.statements.iter().map(|statement| &statement.entry);
        let mut past: Vec<Entry> = statements
            .filter(|entry| entry.seq <= upto)
            .chain(presence.into_values())
            .map(|entry| Entry::clone(entry))
            .collect();
        past.sort_by_key(|entry| entry.seq);
        past
    }

    /// Entries and bytes that are held, for tests of bounds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize, usize, usize) {
        (self.entries.len(), self.bytes, self.statements.len(), self.fallen.len())
    }
}

pub(crate) fn is_presence(kind: Kind) -> bool {
    matches!(kind, Kind::Left | Kind::Gone | Kind::Back | Kind::Expired)
}

fn size(entry: &Entry) -> usize {
    let adds: usize = entry.adds.iter().map(|added| size_of::<String>() + added.len()).sum();
    OVERHEAD + entry.from.len() + adds + entry.data.as_ref().map_or(0, |data| data.0.len())
}
