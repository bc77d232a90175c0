//! Requests of the server API that the core has not answered yet.

use std::collections::HashMap;

use sfu::command::administration::{Answer, RequestId};
use tokio::sync::oneshot;

/// Requests after which it is looked whether anybody still waits for the older ones. The core answers every
/// request, unless its room fails in the meantime.
const SWEEP_AT: usize = 1024;

/// Who waits for which answer.
#[derive(Default)]
pub(super) struct Requests {
    next: u64,
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
}

impl Requests {
    /// A number for a request.
    pub(super) fn begin(&mut self, answer: oneshot::Sender<Answer>) -> RequestId {
        if self.waiting.len() >= SWEEP_AT {
            self.waiting.retain(|_, waiting| !waiting.is_closed());
        }
        self.next += 1;
        self.waiting.insert(RequestId(self.next), answer);
        RequestId(self.next)
    }

    /// Hands an answer to who asked.
    pub(super) fn answer(&mut self, id: RequestId, answer: Answer) {
        if let Some(waiting) = self.waiting.remove(&id) {
            let _ = waiting.send(answer); // who asked may be gone
        }
    }

    /// Nothing will be answered any more; who asked hears that.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use sfu::command::administration::{Answered, Refusal};

    use super::*;

    #[test]
    fn an_answer_reaches_who_asked() {
        let mut requests = Requests::default();
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        let (one, two) = (requests.begin(one), requests.begin(two));
        requests.answer(two, Err(Refusal::UnknownRoom));
        requests.answer(one, Ok(Answered::Done));
        assert!(matches!(first.try_recv(), Ok(Ok(Answered::Done))));
        assert!(matches!(second.try_recv(), Ok(Err(Refusal::UnknownRoom))));
    }

    #[test]
    fn requests_that_nobody_waits_for_are_forgotten() {
        let mut requests = Requests::default();
        for _ in 0..10 * SWEEP_AT {
            requests.begin(oneshot::channel().0);
        }
        assert!(requests.waiting.len() <= SWEEP_AT);
    }
}
