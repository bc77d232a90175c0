//! Puts the server together, starts it and stops it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::{BindError, BindRequest, Bound};
use protocol::livekit::DisconnectReason;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::channel::Hub;
use crate::config::Settings;
use crate::directory::Directory;
use crate::door::Door;
use crate::http::{self, ConnectionLimits, State};
use crate::keys;
use crate::metrics::Metrics;
use crate::proxies::TrustedProxies;
use crate::webhook;
use crate::worker::{WorkerError, Workers};

/// How often the door forgets addresses.
const SWEEP: Duration = Duration::from_secs(30);

/// How long clients get to hear that the server stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often it is looked whether they have.
const FAREWELL_STEP: Duration = Duration::from_millis(20);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The workers.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The list of interfaces, or a listener.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// The address of the counters.
    #[error("cannot serve the counters on {address}: {source}")]
    Metrics {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A media worker died; only a new process brings its rooms back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a media worker died")]
pub struct WorkerDied;

/// A running server. Dropping it ends it at once; [`Server::shutdown`] says goodbye first.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    metrics_address: SocketAddr,
    metrics: Metrics,
    directory: Arc<Directory>,
    workers: Arc<Workers>,
    hub: Arc<Hub>,
    stop: watch::Sender<bool>,
    /// Listeners and housekeeping; aborted when this is dropped.
    tasks: JoinSet<()>,
    /// Deliveries of webhooks; they end by themselves when the workers have.
    webhooks: JoinSet<()>,
}

impl Server {
    /// Binds everything and starts serving, on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let request = BindRequest {
            http: settings.http.clone(),
            media: settings.media,
            port: settings.port,
            workers: settings.workers,
        };
        let Bound { tcp, udp, port, media_ipv6 } = net::bind(&request)?;
        let listeners = tcp.into_iter().map(TcpListener::from_std).collect::<std::io::Result<Vec<_>>>()?;
        let address = match listeners.first() {
            Some(listener) => listener.local_addr()?,
            None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        };
        let metrics = Metrics::new();
        let (departing, departures) = mpsc::unbounded_channel();
        let directory = Arc::new(Directory::telling(departing));
        let hub = Hub::start(metrics.clone(), settings.patience.restore, departures);
        let core = core_config(&settings, port, media_ipv6)?;
        tracing::debug!(workers = udp.len(), candidates = core.candidates.len(), "media is received");
        let mut keys = settings.keys;
        keys::add_admission_key(&mut keys);
        let keys = Arc::new(keys);
        let (outbox, webhooks) = webhook::start(&settings.webhook, &keys, &metrics);
        let workers = Arc::new(Workers::start(udp, &core, &directory, &metrics, &outbox)?);
        drop(outbox);

        let door = Arc::new(Door::default());
        let state = Arc::new(State {
            keys,
            url: settings.url,
            limits: core.limits.clone(),
            patience: settings.patience,
            workers: Arc::clone(&workers),
            directory: Arc::clone(&directory),
            door: Arc::clone(&door),
            hub: Arc::clone(&hub),
            metrics: metrics.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let limits = ConnectionLimits::new(
            settings.limits.connections,
            settings.limits.connections_per_address,
            settings.patience,
            settings.proxies,
        );
        let router = http::router(state);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(http::serve(
                listener,
                router.clone(),
                Arc::clone(&limits),
                metrics.clone(),
                stopped.clone(),
            ));
        }
        let metrics_listener = metrics_listener(settings.metrics, settings.metrics_anywhere).await?;
        let metrics_address = metrics_listener.local_addr()?;
        tracing::debug!(port = metrics_address.port(), "counters are served");
        tasks.spawn(http::serve(
            metrics_listener,
            http::metrics_router(metrics.clone(), Arc::clone(&directory)),
            ConnectionLimits::new(64, 64, settings.patience, TrustedProxies::default()),
            metrics.clone(),
            stopped.clone(),
        ));
        tasks.spawn(sweep(door, stopped));
        Ok(Self { address, metrics_address, metrics, directory, workers, hub, stop, tasks, webhooks })
    }

    /// Where HTTP is served (the first address, if there are several).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to type into a browser on this machine.
    pub fn url(&self) -> String {
        let ip = self.address.ip();
        if ip.is_unspecified() || ip.is_loopback() {
            format!("http://localhost:{}", self.address.port())
        } else {
            format!("http://{}", self.address)
        }
    }

    /// Where the counters are served, at `/metrics`.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Which rooms run.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns when a worker has died, with what to say about it: part of the rooms is out of reach then, and
    /// the process has to be started anew. As long as all is well it does not return.
    pub async fn broken(&self) -> WorkerDied {
        self.workers.died().await;
        WorkerDied
    }

    /// Tells every client that the server stops, waits until they are gone (3 seconds at most), and ends.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.hub.stop();
        self.workers.end_all(DisconnectReason::ServerShutdown).await;
        let deadline = Instant::now() + FAREWELL;
        while self.metrics.sessions() + self.metrics.channels() > 0 && Instant::now() < deadline {
            tokio::time::sleep(FAREWELL_STEP).await;
        }
        let workers = Arc::clone(&self.workers);
        let _ = tokio::task::spawn_blocking(move || workers.stop()).await;
        // That the rooms have ended is still told, to who listens.
        let webhooks = std::mem::take(&mut self.webhooks);
        let _ = tokio::time::timeout(FAREWELL, webhooks.join_all()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.workers.stop();
    }
}

fn core_config(settings: &Settings, port: u16, media_ipv6: bool) -> std::io::Result<sfu::config::Config> {
    let addresses: Vec<IpAddr> = if !settings.candidates.is_empty() {
        settings.candidates.clone()
    } else if settings.media.is_unspecified() {
        let all = net::candidate_addresses()?;
        all.into_iter().filter(|address| media_ipv6 || address.is_ipv4()).collect()
    } else {
        vec![settings.media]
    };
    Ok(sfu::config::Config {
        candidates: addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        limits: sfu::config::Limits {
            participants: settings.limits.participants,
            tracks: settings.limits.tracks,
            ..Default::default()
        },
        remote_unmute: settings.room.remote_unmute,
        notices: !settings.webhook.urls.is_empty(),
        ..Default::default()
    })
}

async fn metrics_listener(address: SocketAddr, anywhere: bool) -> Result<TcpListener, StartError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if anywhere && error.kind() == std::io::ErrorKind::AddrInUse => {
            let any = SocketAddr::new(address.ip(), 0);
            let other = TcpListener::bind(any)
                .await
                .and_then(|listener| Ok((listener.local_addr()?.port(), listener)))
                .map_err(|source| StartError::Metrics { address: any, source });
            let (port, listener) = other?;
            tracing::warn!(taken = address.port(), port, "the counters are served on another port");
            Ok(listener)
        }
        Err(source) => Err(StartError::Metrics { address, source }),
    }
}

async fn sweep(door: Arc<Door>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => door.sweep(Instant::now()),
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What the log holds after `serve` has run on this thread, at the default level.
    async fn logged(serve: impl Future<Output = ()>) -> String {
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber = crate::logging::subscriber(0, move || Log(Arc::clone(&writer)));
        let guard = tracing::subscriber::set_default(subscriber);
        serve.await;
        drop(guard);
        String::from_utf8(log.lock().expect("nobody panicked").clone()).expect("text")
    }

    #[tokio::test(flavor = "current_thread")]
    async fn counters_on_another_port_than_usual_are_announced() {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let holder = TcpListener::bind(loopback).await.expect("loopback");
        let taken = holder.local_addr().expect("it is bound");
        assert!(metrics_listener(taken, false).await.is_err(), "a configured port has to be free");
        let log = logged(async {
            let other = metrics_listener(taken, true).await.expect("any port will do");
            assert_ne!(other.local_addr().expect("it is bound"), taken);
        })
        .await;
        assert!(log.contains("WARN") && log.contains("another port"), "{log}");
    }
}
