//! What the transport says: its state, packets that arrived, key frames to be asked for.

use std::time::{Duration, Instant};

use str0m::IceConnectionState;
use str0m::media::Mid;
use str0m::rtp::RtpPacket;

use super::{Driver, End, wall_nanos};
use crate::negotiation::Kind;
use crate::options::TappedPacket;
use crate::peer::{LOSSY, RELIABLE};
use crate::receive::Arrival;
use crate::state::{Event, MediaConnection};

/// Time between two requests for a first key frame.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(500);

impl Driver {
    pub(super) fn events(&mut self, now: Instant) -> Result<(), End> {
        while let Some(event) = self.peer.next_event() {
            self.dirty = true;
            match event {
                str0m::Event::RtpPacket(packet) => self.received(&packet),
                str0m::Event::Connected => self.media_state(MediaConnection::Connected),
                str0m::Event::IceConnectionStateChange(IceConnectionState::Checking) => {
                    self.media_state(MediaConnection::Connecting);
                }
                str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    self.media_state(MediaConnection::Disconnected);
                }
                str0m::Event::IceConnectionStateChange(_) => {
                    // Back from a disconnection; the first connection is told by `Connected`.
                    let state = self.shared.lock();
                    if state.media == MediaConnection::Disconnected && state.milestones.media.is_some() {
                        drop(state);
                        self.media_state(MediaConnection::Connected);
                    }
                }
                str0m::Event::Closed => self.media_state(MediaConnection::Closed),
                str0m::Event::ChannelOpen(_, label) => {
                    let mut state = self.shared.lock();
                    if !state.channels.contains(&label) {
                        state.channels.push(label.clone());
                    }
                    if [RELIABLE, LOSSY].iter().all(|own| state.channels.iter().any(|open| open == own)) {
                        state.milestones.data.get_or_insert(now);
                    }
                    drop(state);
                    self.shared.emit(Event::ChannelOpen(label));
                }
                str0m::Event::ChannelClose(id) => {
                    if let Some(label) = self.peer.label(id) {
                        self.shared.lock().channels.retain(|open| open != label);
                    }
                }
                str0m::Event::ChannelData(data) => {
                    let reliable = self.peer.label(data.id) == Some(RELIABLE);
                    self.received_data(reliable, &data.data, now);
                }
                str0m::Event::KeyframeRequest(request) => {
                    let rid = request.rid;
                    let Some(publication) =
                        self.publications.iter_mut().find(|known| known.mid() == Some(request.mid))
                    else {
                        continue;
                    };
                    publication.request_key_frame(rid);
                    if let Some(sid) = &publication.sid
                        && let Some(published) = self.shared.lock().published.get_mut(sid)
                    {
                        published.key_frame_requests += 1;
                    }
                    self.shared.emit(Event::KeyFrameRequested {
                        cid: publication.cid.clone(),
                        rid: rid.map(|rid| rid.to_string()),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn media_state(&mut self, media: MediaConnection) {
        let mut state = self.shared.lock();
        if state.media == media {
            return;
        }
        state.media = media;
        if media == MediaConnection::Connected {
            state.milestones.media.get_or_insert(Instant::now());
        }
        drop(state);
        self.shared.emit(Event::Media(media));
    }

    pub(super) fn received(&mut self, packet: &RtpPacket) {
        let codec = self.peer.codec(packet.header.payload_type);
        let mid = self.peer.section_of(packet);
        let mut state = self.shared.lock();
        let Some(sid) = mid.and_then(|mid| self.tracks_by_mid.get(&mid)) else {
            state.counters.stray_packets += 1;
            return;
        };
        let Some(track) = state.subscribed.get_mut(sid) else { return };
        track.receiver.take(
            codec,
            &Arrival {
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                ssrc: *packet.header.ssrc,
                audio_level: packet.header.ext_vals.audio_level,
                payload: &packet.payload,
                at: packet.timestamp,
                wall: wall_nanos(),
            },
        );
        if let Some(tap) = &self.options.packet_tap {
            let tapped = TappedPacket {
                track_sid: sid.clone(),
                codec,
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                audio_level: packet.header.ext_vals.audio_level,
                payload: packet.payload.clone(),
                at: packet.timestamp,
            };
            if tap.try_send(tapped).is_err() {
                state.counters.tap_dropped += 1;
            }
        }
    }

    pub(super) fn ask_for_key_frames(&mut self, now: Instant) -> Result<(), End> {
        if !self.options.request_key_frames {
            return Ok(());
        }
        let missing: Vec<Mid> = {
            let state = self.shared.lock();
            self.tracks_by_mid
                .iter()
                .filter(|(_, sid)| {
                    state.subscribed.get(*sid).is_some_and(|track| {
                        track.kind == Kind::Video && track.packets() > 0 && track.key_frames() == 0
                    })
                })
                .map(|(mid, _)| *mid)
                .filter(|mid| {
                    self.key_frame_requests.get(mid).is_none_or(|last| now >= *last + KEY_FRAME_RETRY)
                })
                .collect()
        };
        for mid in missing {
            self.key_frame_requests.insert(mid, now);
            self.peer.request_key_frame(mid, now)?;
        }
        Ok(())
    }
}
