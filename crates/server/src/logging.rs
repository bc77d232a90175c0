//! What the log may hold: events of this project's own crates, never those of libraries, which do not
//! know what is personal. Addresses, names, tokens and query strings never reach it.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Crates whose events are written.
const OWN_CRATES: [&str; 5] = ["konklave", "server", "sfu", "net", "rtp"];

/// The subscriber that writes the log; `verbose` is how often `-v` was given.
pub fn subscriber<W>(verbose: u8, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match verbose {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let targets = Targets::new()
        .with_default(LevelFilter::OFF)
        .with_targets(OWN_CRATES.map(|name| (name, LevelFilter::from_level(level))));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    tracing_subscriber::registry().with(targets).with(layer)
}

/// Makes panics say where they happened and nothing of what they were about: a panic message may quote
/// what was being worked on.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "panicked");
    }));
}
