//! Accepts TCP connections and serves HTTP/1.1 on them, within bounds: connections in all and per
//! address, how long a request's head may take and how long an answer may wait to be read.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pii::Pii;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::config::Patience;
use crate::door;
use crate::http::Peer;
use crate::http::patient::Patient;
use crate::metrics::Metrics;
use crate::proxies::TrustedProxies;

/// Bytes of a request's head: the longest target that `hyper` takes (64 KiB) and the largest token as a
/// header, with room.
const HEAD_BYTES: usize = 128 << 10;

/// Pause after the system refused to accept (no files left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the log says that the system refuses.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// Bounds on connections, shared by all listeners.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    total: usize,
    per_address: usize,
    patience: Patience,
    /// They bring everybody's connections, so only the total counts for them.
    proxies: TrustedProxies,
    open: Mutex<Open>,
}

/// Connections open now.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// For IPv6 by network, as at the [door](crate::door).
    by_network: HashMap<Pii<IpAddr>, usize>,
}

impl ConnectionLimits {
    pub(crate) fn new(
        total: usize,
        per_address: usize,
        patience: Patience,
        proxies: TrustedProxies,
    ) -> Arc<Self> {
        Arc::new(Self { total, per_address, patience, proxies, open: Mutex::default() })
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let network = Pii::new(door::network(address));
        let mut open = self.lock();
        let own = open.by_network.get(&network).copied().unwrap_or(0);
        if open.total >= self.total || (own >= self.per_address && !self.proxies.contains(address)) {
            return None;
        }
        open.total += 1;
        open.by_network.insert(network, own + 1);
        Some(Slot { limits: Arc::clone(self), network })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
struct Slot {
    limits: Arc<ConnectionLimits>,
    network: Pii<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        open.total -= 1;
        if let Some(count) = open.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.by_network.remove(&self.network);
            }
        }
    }
}

/// Keeps the log from being flooded with the same complaint.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    /// Whether to complain at `now`.
    fn due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAINT_PAUSE);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Serves a listener until `stop` turns true; connections that are open then are left to their ends.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Arc<ConnectionLimits>,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) {
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let address = address.ip().to_canonical();
                let Some(slot) = limits.admit(address) else {
                    metrics.reject("tcp", "too-many-connections");
                    continue; // closes it
                };
                let (router, metrics) = (router.clone(), metrics.clone());
                tokio::spawn(async move { connection(stream, address, slot, router, &metrics).await });
            }
            Err(error) => {
                // The connection's own failures are gone with it; a lack of files is not.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                {
                    metrics.reject("tcp", "accept-failed");
                    if complaints.due(Instant::now()) {
                        tracing::warn!(%error, "cannot accept connections; said once a minute");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, address: IpAddr, slot: Slot, router: Router, metrics: &Metrics) {
    let _ = stream.set_nodelay(true); // signalling is small and waited for
    // An upgraded connection outlives this function, so the slot travels with the requests too.
    let Patience { head, write, .. } = slot.limits.patience;
    let slot = Arc::new(slot);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, slot) = (router.clone(), Arc::clone(&slot));
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            let client = slot.limits.proxies.client(address, request.headers());
            request.extensions_mut().insert(Peer(Pii::new(client)));
            request.extensions_mut().insert(KeepSlot(slot));
            tower_call(router, request).await
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, write)), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        let code = if error.is_timeout() {
            "head-timeout"
        } else if error.is_parse_too_large() {
            "head-too-large"
        } else if error.is_parse() {
            "malformed-http"
        } else if timed_out(&error) {
            "write-timeout"
        } else {
            return; // the client went away
        };
        metrics.reject("http", code);
    }
}

/// Whether [`Patient`] gave the connection up.
fn timed_out(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// Keeps the connection's slot taken for as long as it lives: a WebSocket outlives the request it came from.
#[derive(Clone)]
pub(crate) struct KeepSlot(#[allow(dead_code, reason = "held for its drop")] Arc<Slot>);

async fn tower_call(
    router: Router,
    request: Request,
) -> Result<axum::response::Response, std::convert::Infallible> {
    use hyper::service::Service as _;
    hyper_util::service::TowerToHyperService::new(router).call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_address: usize, proxies: &[&str]) -> Arc<ConnectionLimits> {
        let proxies = proxies.iter().map(|text| text.parse().expect("a network")).collect();
        ConnectionLimits::new(total, per_address, Patience::default(), TrustedProxies::new(proxies))
    }

    #[test]
    fn connections_are_bounded_in_all_and_per_address() {
        let limits = limits(3, 2, &[]);
        let at = |last: u8| limits.admit([192, 0, 2, last].into());
        let (first, _second) = (at(1).expect("room"), at(1).expect("room"));
        assert!(at(1).is_none(), "two from one address");
        let _third = at(2).expect("room");
        assert!(at(3).is_none(), "three in all");
        drop(first);
        assert!(at(3).is_some());
    }

    #[test]
    fn a_lasting_complaint_is_made_once_a_minute() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let made = (0..2_400).filter(|n| complaints.due(start + ACCEPT_PAUSE * *n)).count();
        assert_eq!(made, 2, "in two minutes");
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_their_connections() {
        let limits = limits(100, 2, &[]);
        let inside = |n: u128| limits.admit(IpAddr::V6(((0x2001_0db8_u128 << 96) + n).into()));
        let _held = (inside(1).expect("room"), inside(2).expect("room"));
        assert!(inside(3).is_none());
        assert!(inside(1 << 64).is_some(), "the next network is another");
    }

    #[test]
    fn a_trusted_proxy_brings_connections_up_to_the_total() {
        let limits = limits(3, 1, &["192.0.2.0/24"]);
        let held: Vec<_> = (0..4).filter_map(|_| limits.admit([192, 0, 2, 1].into())).collect();
        assert_eq!(held.len(), 3);
    }
}
