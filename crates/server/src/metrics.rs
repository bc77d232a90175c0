//! Counters for the operator: how much, how often, what was refused. Nothing about whom.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::directory::Directory;

/// Where and why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    layer: &'static str,
    code: &'static str,
}

/// Every counter of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    rejected: Family<RejectionLabels, Counter>,
    rooms: Gauge,
    participants: Gauge,
    /// Signalling connections open now.
    sessions: Gauge,
    /// Channels open now.
    channels: Gauge,
    channel_entries: Counter,
    joins: Counter,
    datagrams_received: Counter,
    datagrams_sent: Counter,
    datagrams_refused: Counter,
    datagrams_overflowed: Counter,
    datagrams_handed_over: Counter,
    handover_dropped: Counter,
    send_calls: Counter,
    core_panics: Counter,
    worker_deaths: Counter,
}

/// Traffic of one worker since it last reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Datagrams that came in at this worker's socket.
    pub received: u64,
    /// Datagrams given to the kernel, refused by it, dropped with a full backlog; system calls.
    pub send: net::SendCounts,
    /// Datagrams handed to another worker.
    pub handed_over: u64,
    /// Datagrams dropped because another worker's queue was full.
    pub handover_dropped: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("konklave");
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::<u64, AtomicU64>::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let rejected = Family::<RejectionLabels, Counter>::default();
        registry.register("rejected", "Input refused, by layer and reason", rejected.clone());
        let registry = &mut registry;
        let inner = Inner {
            rejected,
            rooms: gauge(registry, "rooms", "Rooms with somebody in them"),
            participants: gauge(registry, "participants", "Participants in all rooms"),
            sessions: gauge(registry, "signal_sessions", "Signalling connections"),
            channels: gauge(registry, "channel_members", "Channels over which members share a log"),
            channel_entries: counter(registry, "channel_entries", "Entries appended to logs of rooms"),
            joins: counter(registry, "joins", "Participants that joined"),
            datagrams_received: counter(registry, "datagrams_received", "UDP datagrams received"),
            datagrams_sent: counter(registry, "datagrams_sent", "UDP datagrams sent"),
            datagrams_refused: counter(
                registry,
                "datagrams_refused",
                "UDP datagrams the system refused to send",
            ),
            datagrams_overflowed: counter(
                registry,
                "datagrams_overflowed",
                "UDP datagrams dropped because the system could not send fast enough",
            ),
            datagrams_handed_over: counter(
                registry,
                "datagrams_handed_over",
                "UDP datagrams handed to the worker that owns them",
            ),
            handover_dropped: counter(
                registry,
                "handover_dropped_datagrams",
                "UDP datagrams dropped because their worker's queue was full",
            ),
            send_calls: counter(registry, "send_calls", "System calls made to send datagrams"),
            core_panics: counter(
                registry,
                "core_panics",
                "Times a worker had to start over with an empty core",
            ),
            worker_deaths: counter(
                registry,
                "worker_deaths",
                "Workers that died, after which the process ends",
            ),
            registry: Registry::default(),
        };
        let registry = std::mem::take(registry);
        Self { inner: Arc::new(Inner { registry, ..inner }) }
    }

    /// Something was refused.
    pub fn reject(&self, layer: &'static str, code: &'static str) {
        self.reject_many(layer, code, 1);
    }

    /// Something was refused several times.
    pub fn reject_many(&self, layer: &'static str, code: &'static str, times: u64) {
        self.inner.rejected.get_or_create(&RejectionLabels { layer, code }).inc_by(times);
    }

    /// How often something was refused.
    pub fn rejected(&self, layer: &'static str, code: &'static str) -> u64 {
        self.inner.rejected.get_or_create(&RejectionLabels { layer, code }).get()
    }

    /// A participant joined.
    pub fn joined(&self) {
        self.inner.joins.inc();
    }

    /// A core was lost.
    pub fn core_panicked(&self) {
        self.inner.core_panics.inc();
    }

    /// A worker died.
    pub fn worker_died(&self) {
        self.inner.worker_deaths.inc();
    }

    /// A signalling connection opened; it closes when the value is dropped.
    pub fn session(&self) -> SessionCount {
        self.inner.sessions.inc();
        SessionCount(self.clone())
    }

    /// Signalling connections open now.
    pub fn sessions(&self) -> i64 {
        self.inner.sessions.get()
    }

    /// A channel opened; it closes when the value is dropped.
    pub fn channel(&self) -> ChannelCount {
        self.inner.channels.inc();
        ChannelCount(self.clone())
    }

    /// Channels open now.
    pub fn channels(&self) -> i64 {
        self.inner.channels.get()
    }

    /// An entry was appended to the log of a room.
    pub fn channel_entry(&self) {
        self.inner.channel_entries.inc();
    }

    /// Adds a worker's traffic.
    pub fn traffic(&self, traffic: &Traffic) {
        let inner = &*self.inner;
        inner.datagrams_received.inc_by(traffic.received);
        inner.datagrams_sent.inc_by(traffic.send.sent);
        inner.datagrams_refused.inc_by(traffic.send.refused);
        inner.datagrams_overflowed.inc_by(traffic.send.overflowed);
        inner.send_calls.inc_by(traffic.send.calls);
        inner.datagrams_handed_over.inc_by(traffic.handed_over);
        inner.handover_dropped.inc_by(traffic.handover_dropped);
    }

    /// Everything as OpenMetrics text.
    pub fn render(&self, directory: &Directory) -> String {
        let census = directory.census();
        self.inner.rooms.set(i64::try_from(census.rooms).unwrap_or(i64::MAX));
        self.inner.participants.set(i64::try_from(census.participants).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.inner.registry);
        text
    }
}

/// Counts one open signalling connection for as long as it lives.
#[derive(Debug)]
pub struct SessionCount(Metrics);

impl Drop for SessionCount {
    fn drop(&mut self) {
        self.0.inner.sessions.dec();
    }
}

/// Counts one open channel for as long as it lives.
#[derive(Debug)]
pub struct ChannelCount(Metrics);

impl Drop for ChannelCount {
    fn drop(&mut self) {
        self.0.inner.channels.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_rendered_with_layer_and_code() {
        let metrics = Metrics::new();
        metrics.reject("stun", "bad-integrity");
        metrics.reject_many("stun", "bad-integrity", 2);
        let text = metrics.render(&Directory::default());
        assert!(text.contains("konklave_rejected_total{layer=\"stun\",code=\"bad-integrity\"} 3"), "{text}");
    }

    #[test]
    fn sessions_are_counted_while_they_live() {
        let metrics = Metrics::new();
        let one = metrics.session();
        assert!(metrics.render(&Directory::default()).contains("konklave_signal_sessions 1"));
        drop(one);
        assert_eq!(metrics.sessions(), 0);
    }
}
