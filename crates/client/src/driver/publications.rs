//! What this client publishes, from the request to its confirmation, and its media.

use std::time::Instant;

use protocol::livekit;

use super::{Driver, End, wall_nanos};
use crate::error::ClientError;
use crate::negotiation::Change;
use crate::publication::Publication;
use crate::state::{MediaConnection, Published};

impl Driver {
    pub(super) fn track_published(&mut self, published: livekit::TrackPublishedResponse) {
        let Some(sid) = published.track.map(|track| track.sid) else { return };
        if let Some(publication) = self.publications.iter_mut().find(|known| known.cid == published.cid) {
            publication.sid = Some(sid);
        }
        self.confirm_publications();
    }

    /// Tells those who published what the server has confirmed and answered.
    pub(super) fn confirm_publications(&mut self) {
        let mut failed = Vec::new();
        for publication in &mut self.publications {
            if !publication.is_waiting() {
                continue;
            }
            match publication.confirm() {
                None => {}
                Some(Ok(sid)) => {
                    let published = Published {
                        cid: publication.cid.clone(),
                        mid: publication.mid().map(|mid| mid.to_string()),
                        codec: publication.codec(),
                        muted: publication.is_muted(),
                        packets: 0,
                        bytes: 0,
                        key_frame_requests: 0,
                        refused_frames: 0,
                        ended: false,
                    };
                    self.shared.lock().published.insert(sid, published);
                    self.dirty = true;
                }
                Some(Err(())) => failed.push(publication.cid.clone()),
            }
        }
        for cid in failed {
            let codec = self.publications.iter().find(|known| known.cid == cid).map(Publication::codec);
            let error = ClientError::NoCommonCodec { codec: codec.map_or("", |codec| codec.mime()) };
            self.abandon_publication(&cid, error);
        }
    }

    pub(super) fn abandon_publication(&mut self, cid: &str, error: ClientError) {
        let Some(index) = self.publications.iter().position(|known| known.cid == cid) else { return };
        let mut publication = self.publications.swap_remove(index);
        publication.fail(error);
        if let Some(mid) = publication.mid() {
            self.negotiation.want(Change::Stop { mid: mid.to_string() });
        }
    }

    pub(super) fn forget_publication(&mut self, sid: &str) -> bool {
        let Some(index) = self.publications.iter().position(|known| known.sid.as_deref() == Some(sid)) else {
            return false;
        };
        let publication = self.publications.swap_remove(index);
        if let Some(mid) = publication.mid() {
            self.negotiation.want(Change::Stop { mid: mid.to_string() });
        }
        self.shared.lock().published.remove(sid);
        true
    }

    pub(super) fn expire_publications(&mut self, now: Instant) {
        let late: Vec<String> = self
            .publications
            .iter()
            .filter(|known| known.is_waiting() && now >= known.deadline)
            .map(|known| known.cid.clone())
            .collect();
        for cid in late {
            let state = self.shared.lock().summary();
            let after = self.options.publish_timeout;
            let what = "the server to confirm a track".to_owned();
            self.abandon_publication(&cid, ClientError::Deadline { what, after, state });
        }
    }

    pub(super) fn set_muted(&mut self, sid: &str, muted: bool) -> bool {
        let Some(publication) = self.publications.iter_mut().find(|known| known.sid.as_deref() == Some(sid))
        else {
            return false;
        };
        publication.set_muted(muted, Instant::now());
        if let Some(published) = self.shared.lock().published.get_mut(sid) {
            published.muted = muted;
        }
        self.dirty = true;
        true
    }

    pub(super) fn send_media(&mut self, now: Instant) -> Result<(), End> {
        if self.shared.lock().media != MediaConnection::Connected {
            return Ok(());
        }
        for publication in &mut self.publications {
            publication.start(now);
            let sent = publication.send_due(&mut self.peer, now, wall_nanos)?;
            if sent.frames + sent.refused == 0 {
                continue;
            }
            let Some(sid) = &publication.sid else { continue };
            if let Some(published) = self.shared.lock().published.get_mut(sid) {
                published.packets += sent.packets;
                published.bytes += sent.bytes;
                published.refused_frames += sent.refused;
                published.ended = publication.ended();
            }
            self.dirty = true;
        }
        Ok(())
    }
}
