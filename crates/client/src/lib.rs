//! A headless client for servers that speak the LiveKit protocol: it joins a room over `/rtc/v1` with a single
//! peer connection, publishes media from files or made of verifiable stamps, subscribes, and reports what
//! arrived. Tests, the load generator and the recorder are built on it.
//!
//! It shares no code with the server's media path (its transport is `str0m`), so that each checks the other.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::ClientError> {
//! use std::time::Duration;
//! use client::{Client, Options, media::{Kind, SyntheticVideo, VideoLayerSpec}, token};
//!
//! let url = "ws://127.0.0.1:7880";
//! let ada = Client::connect(url, &token::join("devkey", "secret", "blue", "ada"), Options::default()).await?;
//! let bob = Client::connect(url, &token::join("devkey", "secret", "blue", "bob"), Options::default()).await?;
//! ada.publish_video(SyntheticVideo::vp8(VideoLayerSpec::simulcast())).await?;
//! let report = bob
//!     .wait_for("300 packets of Ada's camera", Duration::from_secs(10), |state| {
//!         state.subscription_to("ada", Kind::Video).filter(|track| track.packets() >= 300).map(|track| track.report())
//!     })
//!     .await?;
//! assert!(report.is_verified(), "{report:?}");
//! ada.leave().await;
//! # Ok(()) }
//! ```

mod client;
mod driver;
mod error;
mod histogram;
mod join;
pub mod media;
mod negotiation;
mod options;
mod peer;
mod publication;
mod receive;
mod sdp;
mod signal;
mod state;
mod tls;
pub mod token;

pub use client::{Client, DataOptions, MAX_DATA};
pub use error::ClientError;
pub use histogram::Histogram;
pub use join::escape;
pub use options::{Misbehaviour, Options, PublishOptions, TappedPacket, TokenPlace};
pub use protocol::livekit;
pub use receive::{Latency, StampReport, TrackReport};
pub use state::{
    ClientState, CloseCause, Connection, Counters, Event, MediaConnection, Milestones, Published,
    ReceivedData, Subscribed,
};
