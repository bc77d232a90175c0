//! Welcomes that are kept for those who could not be sent them yet.

use std::sync::Arc;

use protocol::channel::{Blob, Sequence};
use protocol::ids::Identity;

use crate::Millis;
use crate::limits::WELCOME_KEPT;

#[derive(Debug)]
struct Kept {
    seq: Sequence,
    to: Vec<Identity>,
    data: Arc<Blob>,
    until: Millis,
}

#[derive(Debug, Default)]
pub(crate) struct Welcomes(Vec<Kept>);

impl Welcomes {
    pub(crate) fn keep(&mut self, now: Millis, seq: Sequence, to: Vec<Identity>, data: Blob, limit: usize) {
        if to.is_empty() {
            return;
        }
        self.0.push(Kept { seq, to, data: Arc::new(data), until: now.saturating_add(WELCOME_KEPT) });
        while self.bytes() > limit {
            self.0.remove(0);
        }
    }

    /// The Welcome of an entry for somebody, who is sent it now.
    pub(crate) fn take(&mut self, seq: Sequence, identity: &Identity) -> Option<Arc<Blob>> {
        let index = self.0.iter().position(|kept| kept.seq == seq)?;
        let kept = &mut self.0[index];
        let place = kept.to.iter().position(|to| to == identity)?;
        kept.to.swap_remove(place);
        let data = Arc::clone(&kept.data);
        if kept.to.is_empty() {
            self.0.remove(index);
        }
        Some(data)
    }

    /// The newest entry with a Welcome for somebody.
    pub(crate) fn newest_for(&self, identity: &Identity) -> Option<Sequence> {
        self.0.iter().rev().find(|kept| kept.to.contains(identity)).map(|kept| kept.seq)
    }

    pub(crate) fn expire(&mut self, now: Millis) {
        self.0.retain(|kept| kept.until > now);
    }

    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.0.iter().map(|kept| kept.until).min()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|kept| kept.data.0.len()).sum()
    }
}
