//! The client's side of offer and answer: one offer at a time, changes collected meanwhile (RFC 9429
//! section 3.2). It knows no WebRTC stack; `P` is whatever that stack needs back when the answer comes.

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

/// A change to the session that needs an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new `recvonly` section.
    Receive(Kind),
    /// A new `sendonly` section for a track.
    Send {
        /// The track's client-side id, signalled as its `msid`.
        cid: String,
        kind: Kind,
        /// Simulcast restriction ids, lowest layer first; empty for a single encoding.
        rids: Vec<&'static str>,
    },
    /// The section stops carrying anything.
    Stop { mid: String },
    /// New ICE credentials.
    IceRestart,
    /// Nothing new, but the server wants an offer: it has something to put into the sections that are there.
    Renew,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerIgnored {
    /// No offer is waiting for one.
    Unexpected,
    /// It names another offer.
    Stale,
}

/// The state of the exchange.
#[derive(Debug)]
pub(crate) struct Negotiation<P> {
    next_id: u32,
    waiting: Option<(u32, P)>,
    wanted: Vec<Change>,
}

impl<P> Negotiation<P> {
    /// Counting starts at 1: 0 is what clients without ids send.
    pub(crate) fn new() -> Self {
        Self { next_id: 1, waiting: None, wanted: Vec::new() }
    }

    /// Remembers a change for the next offer.
    pub(crate) fn want(&mut self, change: Change) {
        self.wanted.push(change);
    }

    /// The changes to offer now: none while an offer waits for its answer.
    pub(crate) fn take_changes(&mut self) -> Option<Vec<Change>> {
        (self.waiting.is_none() && !self.wanted.is_empty()).then(|| std::mem::take(&mut self.wanted))
    }

    /// An offer was made; returns its id.
    pub(crate) fn offered(&mut self, pending: P) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.waiting = Some((id, pending));
        id
    }

    /// An answer came. An id of 0 answers whatever is open, as with the LiveKit clients.
    pub(crate) fn answered(&mut self, id: u32) -> Result<P, AnswerIgnored> {
        match self.waiting.take() {
            None => Err(AnswerIgnored::Unexpected),
            Some((open, pending)) if id != 0 && id != open => {
                self.waiting = Some((open, pending));
                Err(AnswerIgnored::Stale)
            }
            Some((_, pending)) => Ok(pending),
        }
    }

    /// Whether nothing is open and nothing wanted.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_none() && self.wanted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(mid: &str) -> Change {
        Change::Stop { mid: mid.to_owned() }
    }

    #[test]
    fn changes_wanted_while_an_offer_is_open_go_into_the_next_one() {
        let mut negotiation = Negotiation::new();
        negotiation.want(Change::Receive(Kind::Audio));
        assert_eq!(negotiation.take_changes(), Some(vec![Change::Receive(Kind::Audio)]));
        assert_eq!(negotiation.offered("first"), 1);
        negotiation.want(stop("4"));
        negotiation.want(Change::IceRestart);
        assert_eq!(negotiation.take_changes(), None);
        assert_eq!(negotiation.answered(1), Ok("first"));
        assert_eq!(negotiation.take_changes(), Some(vec![stop("4"), Change::IceRestart]));
        assert_eq!(negotiation.offered("second"), 2);
        assert!(!negotiation.is_settled());
        assert_eq!(negotiation.answered(2), Ok("second"));
        assert!(negotiation.is_settled());
    }

    #[test]
    fn an_answer_to_another_offer_leaves_the_open_one_open() {
        let mut negotiation = Negotiation::new();
        assert_eq!(negotiation.answered(1), Err(AnswerIgnored::Unexpected));
        negotiation.offered("first");
        assert_eq!(negotiation.answered(7), Err(AnswerIgnored::Stale));
        assert_eq!(negotiation.answered(1), Ok("first"));
        assert_eq!(negotiation.answered(1), Err(AnswerIgnored::Unexpected));
    }

    #[test]
    fn an_answer_without_id_answers_the_open_offer() {
        let mut negotiation = Negotiation::new();
        negotiation.offered("first");
        assert_eq!(negotiation.answered(0), Ok("first"));
    }
}
