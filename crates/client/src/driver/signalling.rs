//! What the server says over signalling: answers, sections, pings and refusals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::livekit::{self, signal_request, signal_response};
use serde::Deserialize;
use str0m::media::Mid;

use super::{Driver, End, Pings, end, wall_nanos};
use crate::error::ClientError;
use crate::negotiation::{Change, Kind};
use crate::publication::Publication;
use crate::sdp;
use crate::signal::Incoming;
use crate::state::{CloseCause, Connection, Event, Subscribed};

/// Sections that a server may ask for in one message, and in all.
const MAX_SECTIONS: u64 = 2000;

impl Driver {
    pub(super) fn joined(&mut self, join: livekit::JoinResponse) {
        let now = Instant::now();
        if join.ping_interval > 0 && join.ping_timeout > 0 {
            let interval = Duration::from_secs(join.ping_interval.unsigned_abs().into());
            self.pings = Some(Pings {
                interval,
                timeout: Duration::from_secs(join.ping_timeout.unsigned_abs().into()),
                next: now + interval,
                last_pong: now,
                rtt: Duration::ZERO,
            });
        }
        let mut state = self.shared.lock();
        state.connection = Connection::Joined;
        state.milestones.joined = Some(now);
        state.counters.signals += 1;
        state.room = join.room.unwrap_or_default();
        state.local = join.participant.unwrap_or_default();
        let events = state.update_participants(join.other_participants);
        drop(state);
        self.shared.emit(Event::Joined);
        events.into_iter().for_each(|event| self.shared.emit(event));
    }

    pub(super) fn signalled(&mut self, incoming: Incoming) -> Result<(), End> {
        self.dirty = true;
        let message = match incoming {
            Incoming::Message(message) => *message,
            Incoming::Garbage => {
                self.shared.lock().counters.bad_signals += 1;
                return Ok(());
            }
            Incoming::End(reason) => return Err(end(CloseCause::Socket(reason), true)),
        };
        self.shared.lock().counters.signals += 1;
        use signal_response::Message;
        match message {
            Message::Answer(answer) => self.answered(answer)?,
            Message::Trickle(trickle) => self.trickled(&trickle)?,
            Message::Update(update) => {
                let events = self.shared.lock().update_participants(update.participants);
                events.into_iter().for_each(|event| self.shared.emit(event));
            }
            Message::TrackPublished(published) => self.track_published(published),
            Message::TrackUnpublished(unpublished) => {
                self.forget_publication(&unpublished.track_sid);
                self.shared.emit(Event::UnpublishedByServer { track_sid: unpublished.track_sid });
            }
            Message::MediaSectionsRequirement(wanted) => {
                let count = u64::from(wanted.num_audios) + u64::from(wanted.num_videos);
                let mut state = self.shared.lock();
                if state.counters.requested_sections + count > MAX_SECTIONS {
                    drop(state);
                    return Err(end(CloseCause::Socket("too many sections asked for".into()), true));
                }
                state.counters.requested_sections += count;
                drop(state);
                // Measured with LiveKit's server: with no sections in it, it asks for an offer all the same.
                self.negotiation.want(Change::Renew);
                for _ in 0..wanted.num_audios {
                    self.negotiation.want(Change::Receive(Kind::Audio));
                }
                for _ in 0..wanted.num_videos {
                    self.negotiation.want(Change::Receive(Kind::Video));
                }
            }
            Message::Mute(mute) => {
                self.set_muted(&mute.sid, mute.muted);
                self.shared.emit(Event::MutedByServer { track_sid: mute.sid, muted: mute.muted });
            }
            Message::SpeakersChanged(changed) => {
                self.shared.lock().update_speakers(changed.speakers.clone());
                self.shared.emit(Event::SpeakersChanged(changed.speakers));
            }
            Message::RoomUpdate(update) => {
                self.shared.lock().room = update.room.unwrap_or_default();
                self.shared.emit(Event::RoomUpdated);
            }
            Message::ConnectionQuality(quality) => {
                let mut state = self.shared.lock();
                for update in quality.updates {
                    state.quality.insert(update.participant_sid, update.quality);
                }
                drop(state);
                self.shared.emit(Event::QualityChanged);
            }
            Message::StreamStateUpdate(update) => {
                let mut state = self.shared.lock();
                for stream in &update.stream_states {
                    if let Some(track) = state.subscribed.get_mut(&stream.track_sid) {
                        track.paused = stream.state() == livekit::StreamState::Paused;
                    }
                }
                drop(state);
                self.shared.emit(Event::Other(Box::new(Message::StreamStateUpdate(update))));
            }
            Message::SubscribedQualityUpdate(update) => {
                self.shared.lock().wanted_qualities.insert(update.track_sid.clone(), update);
            }
            Message::RefreshToken(token) => self.shared.lock().refreshed_token = Some(token),
            Message::Pong(_) => self.pong(),
            Message::PongResp(pong) => {
                let sent = u64::try_from(pong.last_ping_timestamp).unwrap_or(0);
                let rtt = Duration::from_millis((wall_nanos() / 1_000_000).saturating_sub(sent));
                self.shared.lock().counters.rtt = rtt;
                if let Some(pings) = &mut self.pings {
                    pings.rtt = rtt;
                }
                self.pong();
            }
            Message::RequestResponse(response) => self.refused(response),
            Message::Leave(leave) => {
                let cause = CloseCause::ServerLeave { reason: leave.reason(), action: leave.action() };
                return Err(end(cause, true));
            }
            other => self.shared.emit(Event::Other(Box::new(other))),
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, answer: livekit::SessionDescription) -> Result<(), End> {
        let Ok(offer) = self.negotiation.answered(answer.id) else {
            self.shared.lock().counters.ignored_answers += 1;
            return Ok(());
        };
        let now = Instant::now();
        let sends = offer.sends.clone();
        self.peer.accept(offer, &answer.sdp, now)?;
        {
            let mut state = self.shared.lock();
            state.counters.answers += 1;
            state.milestones.answered.get_or_insert(now);
        }
        for (cid, mid) in sends {
            if let Some(publication) = self.publications.iter_mut().find(|publication| publication.cid == cid)
            {
                publication.set_section(mid, &self.peer);
            }
        }
        self.confirm_publications();
        self.map_sections(&answer);
        Ok(())
    }

    /// Which of our receiving sections carries which track.
    pub(super) fn map_sections(&mut self, answer: &livekit::SessionDescription) {
        let own: Vec<Mid> = self.publications.iter().filter_map(Publication::mid).collect();
        let mut mapped = BTreeMap::new();
        for (name, section) in sdp::sections(&answer.sdp) {
            let mid = Mid::from(name.as_str());
            if section.rejected || !section.sending || own.contains(&mid) {
                continue;
            }
            let sid = answer.mid_to_track_id.get(&name).map(String::as_str).or_else(|| section.track_sid());
            if let (Some(sid), Some(_)) = (sid, self.peer.kind(mid)) {
                mapped.insert(mid, sid.to_owned());
            }
        }
        let mut state = self.shared.lock();
        for (mid, sid) in &self.tracks_by_mid {
            if mapped.get(mid) != Some(sid) {
                if let Some(track) = state.subscribed.get_mut(sid) {
                    track.mid = None;
                }
                if !mapped.values().any(|other| other == sid) {
                    self.shared.emit(Event::TrackUnsubscribed { track_sid: sid.clone() });
                }
                self.key_frame_requests.remove(mid);
            }
        }
        for (mid, sid) in &mapped {
            if self.tracks_by_mid.get(mid) != Some(sid) {
                let kind = self.peer.kind(*mid).unwrap_or(Kind::Video);
                let track = state.subscribed.entry(sid.clone()).or_insert_with(|| Subscribed {
                    mid: None,
                    kind,
                    paused: false,
                    packets_after_end: 0,
                    receiver: crate::receive::Receiver::default(),
                });
                track.mid = Some(mid.to_string());
                self.shared.emit(Event::TrackSubscribed { track_sid: sid.clone(), mid: mid.to_string() });
            }
        }
        drop(state);
        self.tracks_by_mid = mapped;
    }

    pub(super) fn trickled(&mut self, trickle: &livekit::TrickleRequest) -> Result<(), End> {
        #[derive(Deserialize)]
        struct CandidateInit {
            #[serde(default)]
            candidate: String,
        }
        let used = match serde_json::from_str::<CandidateInit>(&trickle.candidate_init) {
            Ok(init) => self.peer.trickle(&init.candidate, Instant::now())?,
            Err(_) => false,
        };
        self.shared.lock().counters.ignored_candidates += u64::from(!used);
        Ok(())
    }

    pub(super) fn ping(&mut self, now: Instant) -> Result<(), End> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if self.options.send_pings && now >= pings.last_pong + pings.timeout && self.reading {
            return Err(end(CloseCause::PingTimeout, true));
        }
        if now < pings.next {
            return Ok(());
        }
        pings.next = now + pings.interval;
        if !self.options.send_pings {
            // Without pings there are no pongs to miss.
            pings.last_pong = now;
            return Ok(());
        }
        let timestamp = i64::try_from(wall_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let rtt = i64::try_from(pings.rtt.as_millis()).unwrap_or(i64::MAX);
        self.request(signal_request::Message::PingReq(livekit::Ping { timestamp, rtt }))?;
        self.request(signal_request::Message::Ping(timestamp))
    }

    pub(super) fn pong(&mut self) {
        self.shared.lock().counters.pongs += 1;
        if let Some(pings) = &mut self.pings {
            pings.last_pong = Instant::now();
        }
    }

    pub(super) fn refused(&mut self, response: livekit::RequestResponse) {
        use livekit::request_response::{Reason, Request};
        let harmless = matches!(response.reason(), Reason::Ok | Reason::Queued);
        if let (false, Some(Request::AddTrack(request))) = (harmless, &response.request) {
            let error =
                ClientError::PublishRefused { reason: response.reason, message: response.message.clone() };
            self.abandon_publication(&request.cid.clone(), error);
        }
        if !harmless {
            self.shared.lock().refusals.push(response);
        }
    }
}
