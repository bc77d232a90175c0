//! Webhooks: the operator's programs are told of rooms, participants and tracks, as LiveKit's server tells
//! them. Off unless addresses are configured, because they carry identities out of the process.
//!
//! A worker hands a notice over and goes on. Each address has some lanes; a room always takes the same one,
//! and a lane delivers one notice after the other, so that a room's notices keep their order while one slow
//! answer holds up few other rooms.

mod post;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use protocol::livekit::WebhookEvent;
use protocol::token::ApiKeys;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::post::{Outcome, Poster};
use crate::config::WebhookConfig;
use crate::keys::hex;
use crate::metrics::Metrics;
use crate::signal::unix_seconds;

/// Layer of the counter of what was not delivered.
const LAYER: &str = "webhook";

/// Lanes of one address: as many requests are under way at a time. More would be quicker with slow receivers
/// and cost them as many connections.
const LANES: usize = 8;

/// Notices that wait in a lane, of some kB each; further ones are dropped. At 50 ms per delivery it takes 13 s
/// to catch up from a full lane.
const LANE_CAPACITY: usize = 256;

/// Pauses before further tries; then the notice is given up. A receiver may restart in between.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];

/// Where workers leave notices. Without addresses it takes none.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    lanes: Arc<Vec<Vec<mpsc::Sender<Arc<WebhookEvent>>>>>,
    hasher: RandomState,
    metrics: Metrics,
}

impl Outbox {
    /// Takes a notice; drops and counts it if too many wait.
    pub(crate) fn post(&self, mut notice: WebhookEvent) {
        notice.id = format!("EV_{}", hex(&crate::random::array::<8>()));
        notice.created_at = i64::try_from(unix_seconds()).unwrap_or(i64::MAX);
        let room = notice.room.as_ref().map(|room| room.name.as_str()).unwrap_or_default();
        let lane = usize::try_from(self.hasher.hash_one(room) % LANES as u64).unwrap_or_default();
        let notice = Arc::new(notice);
        for lanes in self.lanes.iter() {
            let taken = lanes.get(lane).map(|lane| lane.try_send(Arc::clone(&notice)));
            if matches!(taken, Some(Err(mpsc::error::TrySendError::Full(_)))) {
                self.metrics.reject(LAYER, "queue-full");
            }
        }
    }
}

/// Whether this is an address that notices can be sent to.
pub(crate) fn is_address(text: &str) -> bool {
    let uri = text.parse::<Uri>();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Starts the deliveries; they end when every outbox is dropped and nothing waits.
pub(crate) fn start(config: &WebhookConfig, keys: &Arc<ApiKeys>, metrics: &Metrics) -> (Outbox, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let uris: Vec<Uri> = config.urls.iter().filter_map(|url| url.parse().ok()).collect();
    if uris.is_empty() {
        return (Outbox::default(), tasks);
    }
    let poster = Arc::new(Poster::new(Arc::clone(keys), config.api_key.clone()));
    let mut lane = |uri: &Uri| {
        let (sender, queue) = mpsc::channel(LANE_CAPACITY);
        tasks.spawn(deliver(queue, uri.clone(), Arc::clone(&poster), metrics.clone()));
        sender
    };
    let lanes = uris.iter().map(|uri| (0..LANES).map(|_| lane(uri)).collect()).collect();
    (Outbox { lanes: Arc::new(lanes), hasher: RandomState::new(), metrics: metrics.clone() }, tasks)
}

/// Delivers what comes into a lane, in order.
async fn deliver(
    mut queue: mpsc::Receiver<Arc<WebhookEvent>>,
    uri: Uri,
    poster: Arc<Poster>,
    metrics: Metrics,
) {
    while let Some(notice) = queue.recv().await {
        let mut pauses = PAUSES.iter();
        loop {
            match poster.post(&uri, &notice).await {
                Outcome::Delivered => break,
                Outcome::Refused => {
                    metrics.reject(LAYER, "refused");
                    break;
                }
                Outcome::Unreachable => {
                    let Some(pause) = pauses.next() else {
                        metrics.reject(LAYER, "undelivered");
                        break;
                    };
                    tokio::time::sleep(*pause).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_addresses() {
        for (text, good) in [
            ("https://example.org/hook", true),
            ("http://127.0.0.1:8080/", true),
            ("ftp://example.org", false),
            ("example.org/hook", false),
            ("/hook", false),
            ("", false),
        ] {
            assert_eq!(is_address(text), good, "{text}");
        }
    }

    #[test]
    fn notices_that_nobody_fetches_are_dropped_and_counted() {
        let metrics = Metrics::new();
        let (sender, _queue) = mpsc::channel(LANE_CAPACITY);
        let lanes = Arc::new(vec![vec![sender; LANES]]);
        let outbox = Outbox { lanes, hasher: RandomState::new(), metrics: metrics.clone() };
        for _ in 0..LANE_CAPACITY + 3 {
            outbox.post(WebhookEvent::default());
        }
        assert_eq!(metrics.rejected(LAYER, "queue-full"), 3);
    }
}
