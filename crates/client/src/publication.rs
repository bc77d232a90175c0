//! A track that we publish: its source, and what of it is numbered and timed for RTP.

use std::time::{Duration, Instant};

use protocol::livekit::{self, TrackSource, TrackType, VideoQuality, video_layer};
use str0m::media::{Mid, Pt, Rid};
use tokio::sync::oneshot;

use crate::error::ClientError;
use crate::media::{Codec, Kind, MediaSource};
use crate::negotiation::Change;
use crate::options::PublishOptions;
use crate::peer::{OutgoingFrame, Peer};

/// Frames that one turn of the loop may send: a source that fell behind catches up without starving the rest.
const BURST: usize = 32;

/// A source further behind than this is moved to now, as if it had been paused.
const MAX_BEHIND: Duration = Duration::from_secs(2);

/// Numbers of one layer.
#[derive(Debug)]
struct LayerNumbers {
    rid: Option<Rid>,
    next_sequence: u64,
    timestamp_offset: u32,
}

/// What one turn sent.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Frames of layers that the server does not take.
    pub(crate) refused: u64,
}

pub(crate) struct Publication {
    pub(crate) cid: String,
    pub(crate) sid: Option<String>,
    pub(crate) deadline: Instant,
    source: Box<dyn MediaSource>,
    layers: Vec<LayerNumbers>,
    section: Option<(Mid, Option<Pt>)>,
    started: Option<Instant>,
    /// Time spent muted.
    paused: Duration,
    muted_since: Option<Instant>,
    muted: bool,
    reply: Option<oneshot::Sender<Result<String, ClientError>>>,
}

impl Publication {
    pub(crate) fn new(
        source: Box<dyn MediaSource>,
        options: &PublishOptions,
        reply: oneshot::Sender<Result<String, ClientError>>,
        deadline: Instant,
    ) -> Self {
        let layers = source
            .layers()
            .iter()
            .map(|layer| LayerNumbers {
                rid: layer.rid.map(Rid::from),
                // In the lower half of the range: the receiver cannot know of rollovers before the first packet.
                next_sequence: fastrand::u64(..0x8000),
                timestamp_offset: fastrand::u32(..),
            })
            .collect();
        Self {
            cid: format!("TRC{:016x}", fastrand::u64(..)),
            sid: None,
            deadline,
            source,
            layers,
            section: None,
            started: None,
            paused: Duration::ZERO,
            muted_since: None,
            muted: options.muted,
            reply: Some(reply),
        }
    }

    /// The request that announces the track.
    pub(crate) fn add_track(&self, options: &PublishOptions) -> livekit::AddTrackRequest {
        let codec = self.source.codec();
        let layers = self.source.layers();
        let (kind, usual_source) = match codec.kind() {
            Kind::Audio => (TrackType::Audio, TrackSource::Microphone),
            Kind::Video => (TrackType::Video, TrackSource::Camera),
        };
        let count = layers.len();
        let described: Vec<livekit::VideoLayer> = layers
            .iter()
            .enumerate()
            .filter(|_| codec.kind() == Kind::Video)
            .map(|(index, layer)| livekit::VideoLayer {
                quality: quality(index, count).into(),
                width: layer.width,
                height: layer.height,
                bitrate: layer.bitrate,
                rid: layer.rid.unwrap_or_default().to_owned(),
                ..livekit::VideoLayer::default()
            })
            .collect();
        let top = layers.last();
        livekit::AddTrackRequest {
            cid: self.cid.clone(),
            name: options.name.clone(),
            r#type: kind.into(),
            width: top.map_or(0, |layer| layer.width),
            height: top.map_or(0, |layer| layer.height),
            muted: options.muted,
            source: options.source.unwrap_or(usual_source).into(),
            simulcast_codecs: if codec.kind() == Kind::Video {
                vec![livekit::SimulcastCodec {
                    codec: codec.mime().trim_start_matches("video/").to_ascii_lowercase(),
                    cid: self.cid.clone(),
                    layers: described.clone(),
                    video_layer_mode: if count > 1 {
                        video_layer::Mode::OneSpatialLayerPerStream.into()
                    } else {
                        video_layer::Mode::Unused.into()
                    },
                }]
            } else {
                Vec::new()
            },
            layers: described,
            disable_red: true,
            stream: options.stream.clone(),
            encryption: if self.source.is_sealed() {
                livekit::encryption::Type::Gcm.into()
            } else {
                livekit::encryption::Type::None.into()
            },
            ..livekit::AddTrackRequest::default()
        }
    }

    /// The section that carries it.
    pub(crate) fn section(&self) -> Change {
        let rids = self.source.layers().iter().filter_map(|layer| layer.rid).collect();
        Change::Send { cid: self.cid.clone(), kind: self.source.codec().kind(), rids }
    }

    /// The answer is there.
    pub(crate) fn set_section(&mut self, mid: Mid, peer: &Peer) {
        self.section = Some((mid, peer.payload_type(mid, self.source.codec())));
    }

    pub(crate) fn mid(&self) -> Option<Mid> {
        self.section.map(|(mid, _)| mid)
    }

    pub(crate) fn codec(&self) -> Codec {
        self.source.codec()
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.muted
    }

    /// Whether whoever published it still waits for the server.
    pub(crate) fn is_waiting(&self) -> bool {
        self.reply.is_some()
    }

    /// Replies if announcement and answer are there. `Err` if the server takes no codec of ours.
    pub(crate) fn confirm(&mut self) -> Option<Result<String, ()>> {
        let (sid, (_, pt)) = (self.sid.clone()?, self.section?);
        if pt.is_none() {
            return Some(Err(()));
        }
        if let Some(reply) = self.reply.take() {
            // Whoever published it may have stopped waiting; it is published all the same.
            let _ = reply.send(Ok(sid.clone()));
        }
        Some(Ok(sid))
    }

    pub(crate) fn fail(&mut self, error: ClientError) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }

    /// Starts the source's clock, once, when everything is there.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.started.is_none() && self.reply.is_none() && self.sid.is_some() {
            self.started = Some(now);
            self.muted_since = self.muted.then_some(now);
        }
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.muted {
            return None;
        }
        Some(self.started? + self.paused + self.source.next_due()?)
    }

    pub(crate) fn ended(&self) -> bool {
        self.started.is_some() && self.source.next_due().is_none()
    }

    pub(crate) fn set_muted(&mut self, muted: bool, now: Instant) {
        if muted == self.muted {
            return;
        }
        self.muted = muted;
        if muted {
            self.muted_since = self.started.map(|_| now);
        } else if let Some(since) = self.muted_since.take() {
            self.paused += now.saturating_duration_since(since);
            (0..self.layers.len()).for_each(|layer| self.source.request_key_frame(layer));
        }
    }

    pub(crate) fn request_key_frame(&mut self, rid: Option<Rid>) {
        let layer = self.layers.iter().position(|layer| layer.rid == rid);
        // A request that names no layer of ours means all.
        match layer {
            Some(layer) => self.source.request_key_frame(layer),
            None => (0..self.layers.len()).for_each(|layer| self.source.request_key_frame(layer)),
        }
    }

    /// Sends what is due.
    pub(crate) fn send_due(
        &mut self,
        peer: &mut Peer,
        now: Instant,
        wall_nanos: fn() -> u64,
    ) -> Result<Sent, ClientError> {
        let mut sent = Sent::default();
        let Some((mid, Some(pt))) = self.section else { return Ok(sent) };
        for _ in 0..BURST {
            let Some(due) = self.due().filter(|due| *due <= now) else { break };
            let behind = now.saturating_duration_since(due);
            if behind > MAX_BEHIND {
                self.paused += behind;
            }
            let Some(frame) = self.source.produce(wall_nanos()) else { continue };
            let Some(layer) = self.layers.get_mut(frame.layer) else { continue };
            let rate = u128::from(self.source.codec().clock_rate());
            let paused = (self.paused.as_nanos() * rate / 1_000_000_000) as u32;
            let count = frame.payloads.len() as u64;
            let bytes: u64 = frame.payloads.iter().map(|payload| payload.bytes.len() as u64).sum();
            let accepted = peer.send_frame(
                OutgoingFrame {
                    mid,
                    rid: layer.rid,
                    pt,
                    first_sequence: layer.next_sequence,
                    timestamp: layer
                        .timestamp_offset
                        .wrapping_add(frame.media_time as u32)
                        .wrapping_add(paused),
                    sampled_at: due.min(now),
                    audio_level: frame.audio_level,
                    payloads: frame.payloads,
                },
                now,
            )?;
            if accepted {
                layer.next_sequence += count;
                sent.frames += 1;
                sent.packets += count;
                sent.bytes += bytes;
            } else {
                sent.refused += 1;
            }
        }
        Ok(sent)
    }
}

/// The quality that a layer counts as: the last is the highest.
fn quality(index: usize, count: usize) -> VideoQuality {
    match count - index {
        1 => VideoQuality::High,
        2 => VideoQuality::Medium,
        _ => VideoQuality::Low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{SyntheticAudio, SyntheticVideo, VideoLayerSpec};

    fn publication(source: impl MediaSource) -> Publication {
        let (reply, _) = oneshot::channel();
        Publication::new(Box::new(source), &PublishOptions::named("cam"), reply, Instant::now())
    }

    #[test]
    fn three_layers_are_announced_from_low_to_high() {
        let publication = publication(SyntheticVideo::vp8(VideoLayerSpec::simulcast()));
        let request = publication.add_track(&PublishOptions::named("cam"));
        assert_eq!((request.width, request.height, request.source()), (1280, 720, TrackSource::Camera));
        let layers: Vec<(VideoQuality, &str)> =
            request.layers.iter().map(|layer| (layer.quality(), layer.rid.as_str())).collect();
        assert_eq!(
            layers,
            [(VideoQuality::Low, "q"), (VideoQuality::Medium, "h"), (VideoQuality::High, "f")]
        );
        assert_eq!(request.simulcast_codecs[0].codec, "vp8");
        let Change::Send { rids, kind, cid } = publication.section() else { panic!() };
        assert_eq!((rids, kind, cid), (vec!["q", "h", "f"], Kind::Video, publication.cid.clone()));
    }

    #[test]
    fn a_muted_track_has_nothing_due_and_goes_on_later_where_it_was() {
        let mut publication = publication(SyntheticAudio::new(60));
        let start = Instant::now();
        publication.start(start);
        assert_eq!(publication.due(), None, "not confirmed yet");
        publication.sid = Some("TR_1".into());
        publication.reply = None;
        publication.start(start);
        assert_eq!(publication.due(), Some(start));
        publication.set_muted(true, start + Duration::from_secs(1));
        assert_eq!(publication.due(), None);
        publication.set_muted(false, start + Duration::from_secs(4));
        assert_eq!(publication.due(), Some(start + Duration::from_secs(3)));
    }
}
