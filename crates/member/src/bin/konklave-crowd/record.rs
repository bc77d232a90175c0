//! Packets as the server sees them: those that it hands on to a program without keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use client::media::Kind;
use client::{Client, ClientError, Options};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Packets that may wait to be written down.
const WAITING: usize = 4096;

/// Packets come all the time while somebody sends; after so long something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes down so many packets of each kind: a line each, with the codec's MIME type, a tab, and the payload in
/// hexadecimal digits.
///
/// # Errors
/// As [`Client::connect`]; [`ClientError::Media`] if too few packets come or the file cannot be written.
pub(crate) async fn record(url: &str, token: &str, file: &Path, packets: usize) -> Result<(), ClientError> {
    let (tap, mut tapped) = mpsc::channel(WAITING);
    let mut options = Options::default();
    options.packet_tap = Some(tap);
    let client = Client::connect(url, token, options).await?;
    let mut lines = String::new();
    let mut counts = BTreeMap::from([(Kind::Audio, 0), (Kind::Video, 0)]);
    while counts.values().any(|count| *count < packets) {
        let packet = timeout(PATIENCE, tapped.recv()).await.ok().flatten();
        let packet = packet.ok_or_else(|| ClientError::Media("too few packets".into()))?;
        let Some(codec) = packet.codec else { continue };
        let count = counts.entry(codec.kind()).or_default();
        if *count == packets {
            continue;
        }
        *count += 1;
        lines.push_str(codec.mime());
        lines.push('\t');
        for byte in packet.payload.iter() {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push('\n');
    }
    client.leave().await;
    std::fs::write(file, lines).map_err(|error| ClientError::Media(error.to_string()))
}
