//! Accepts TCP connections and serves HTTP/1.1 on them, within bounds: connections in all and per
//! address, and how long a request's head may take.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pii::Pii;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::Peer;
use crate::metrics::Metrics;

/// Bytes of a request's head: the largest token and the largest join request, percent-encoded, with room.
const HEAD_BYTES: usize = 512 << 10;

/// Pause after the system refused to accept (no files left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds on connections, shared by all listeners.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    total: usize,
    per_address: usize,
    /// For the head of a request, also the first one and also on an idle connection.
    head: Duration,
    open: Mutex<HashMap<Pii<IpAddr>, usize>>,
}

impl ConnectionLimits {
    pub(crate) fn new(total: usize, per_address: usize, head: Duration) -> Arc<Self> {
        Arc::new(Self { total, per_address, head, open: Mutex::new(HashMap::new()) })
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let mut open = self.lock();
        let all: usize = open.values().sum();
        let own = open.get(&Pii::new(address)).copied().unwrap_or(0);
        if all >= self.total || own >= self.per_address {
            return None;
        }
        open.insert(Pii::new(address), own + 1);
        Some(Slot { limits: Arc::clone(self), address: Pii::new(address) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Pii<IpAddr>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
struct Slot {
    limits: Arc<ConnectionLimits>,
    address: Pii<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
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
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, address: IpAddr, slot: Slot, router: Router, metrics: &Metrics) {
    let _ = stream.set_nodelay(true); // signalling is small and waited for
    // An upgraded connection outlives this function, so the slot travels with the requests too.
    let head = slot.limits.head;
    let slot = Arc::new(slot);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, slot) = (router.clone(), Arc::clone(&slot));
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(Pii::new(address)));
            request.extensions_mut().insert(KeepSlot(slot));
            tower_call(router, request).await
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        let code = if error.is_timeout() {
            "head-timeout"
        } else if error.is_parse() {
            "malformed-http"
        } else {
            return; // the client went away
        };
        metrics.reject("http", code);
    }
}

/// Keeps the connection's slot taken for as long as it lives: a WebSocket outlives the request it came from.
#[derive(Clone)]
pub(super) struct KeepSlot(#[allow(dead_code, reason = "held for its drop")] Arc<Slot>);

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

    #[test]
    fn connections_are_bounded_in_all_and_per_address() {
        let limits = ConnectionLimits::new(3, 2, Duration::from_secs(1));
        let at = |last: u8| limits.admit([192, 0, 2, last].into());
        let (first, _second) = (at(1).expect("room"), at(1).expect("room"));
        assert!(at(1).is_none(), "two from one address");
        let _third = at(2).expect("room");
        assert!(at(3).is_none(), "three in all");
        drop(first);
        assert!(at(3).is_some());
    }
}
