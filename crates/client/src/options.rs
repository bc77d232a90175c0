//! How a client joins and behaves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::media::Codec;

/// Where the access token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPlace {
    /// `Authorization: Bearer`, as the Python and Node SDKs do.
    #[default]
    Header,
    /// Query parameter `access_token`, as browsers must.
    Query,
}

/// A packet of a subscribed track as it arrived, in order of arrival.
#[derive(Debug, Clone)]
pub struct TappedPacket {
    /// Id of the track.
    pub track_sid: String,
    /// Codec, if the payload type is one that was negotiated.
    pub codec: Option<Codec>,
    /// RTP sequence number with rollovers added.
    pub sequence: u64,
    /// RTP time.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// Loudness in dBov from the header extension.
    pub audio_level: Option<i8>,
    /// RTP payload.
    pub payload: Arc<[u8]>,
    /// When it arrived.
    pub at: Instant,
}

/// Settings of a client. The default behaves like a well-behaved SDK.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Subscribe to every track of others as it appears.
    pub auto_subscribe: bool,
    /// Tell the server that the client will say what it shows (`UpdateTrackSettings`).
    pub adaptive_stream: bool,
    /// Where the token travels.
    pub token_place: TokenPlace,
    /// Compress the join request.
    pub gzip: bool,
    /// Send the first offer inside the join request; otherwise right after `join`, as Firefox does.
    pub offer_in_join: bool,
    /// `recvonly` sections of the first offer: audio, video.
    pub receive_sections: (usize, usize),
    /// Codecs offered; a server can only send and take these.
    pub codecs: Vec<Codec>,
    /// Addresses to gather candidates on; empty means every interface that is up, loopback included.
    pub addresses: Vec<IpAddr>,
    /// Metadata sent with the join request.
    pub metadata: String,
    /// Time for the WebSocket, and again for `join`.
    pub join_timeout: Duration,
    /// Time for the server to confirm a published track.
    pub publish_timeout: Duration,
    /// Send pings as the server asked for in `join`. A server ends clients that do not.
    pub send_pings: bool,
    /// Ask for a key frame while a video track has packets but none yet.
    pub request_key_frames: bool,
    /// Estimate the bandwidth to the server from its feedback and pace what is sent, starting at this rate in
    /// bit/s. `None` sends everything at once.
    pub bandwidth_estimation: Option<u64>,
    /// Gets a copy of every received media packet; packets are dropped (and counted) when it is full.
    pub packet_tap: Option<mpsc::Sender<TappedPacket>>,
    /// SDK name announced in the join request (`ClientInfo.Sdk` of the protocol).
    pub sdk: i32,
    /// Version announced in the join request.
    pub version: String,
    /// Protocol number announced in the join request.
    pub protocol: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auto_subscribe: true,
            adaptive_stream: false,
            token_place: TokenPlace::default(),
            gzip: true,
            offer_in_join: true,
            receive_sections: (3, 3),
            codecs: vec![Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1],
            addresses: Vec::new(),
            metadata: String::new(),
            join_timeout: Duration::from_secs(10),
            publish_timeout: Duration::from_secs(10),
            send_pings: true,
            request_key_frames: true,
            bandwidth_estimation: None,
            packet_tap: None,
            sdk: protocol::livekit::client_info::Sdk::Rust.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: crate::join::PROTOCOL,
        }
    }
}

/// What a track is published as.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PublishOptions {
    /// Name shown to others; the protocol allows any text.
    pub name: String,
    /// Camera or microphone by default, by the codec's kind.
    pub source: Option<protocol::livekit::TrackSource>,
    /// Published muted.
    pub muted: bool,
    /// Stream that the track belongs to, for tracks to be kept in step.
    pub stream: String,
}

impl PublishOptions {
    /// As a shared screen.
    pub fn screen_share() -> Self {
        Self { source: Some(protocol::livekit::TrackSource::ScreenShare), ..Self::default() }
    }

    /// Under a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Published muted.
    pub fn muted(mut self) -> Self {
        self.muted = true;
        self
    }
}

/// Bad behaviour on purpose, for tests of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Nothing more is sent over UDP and what comes is ignored, as if the cable were cut; `false` mends it.
    CutMedia(bool),
    /// The WebSocket is no longer read, so that the server's messages pile up.
    StopReadingSignals,
    /// No more pings from now on.
    StopPings,
    /// The connection's task ends without a word on either path.
    Vanish,
    /// These bytes go as a binary frame over the WebSocket.
    SignalBytes(Vec<u8>),
    /// This text goes as a text frame over the WebSocket.
    SignalText(String),
    /// These bytes go as a datagram over the path that media takes.
    Datagram(Vec<u8>),
    /// These bytes go over the `_reliable` data channel as they are.
    DataChannelBytes(Vec<u8>),
}
