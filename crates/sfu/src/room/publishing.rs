//! Publications: an announcement (`AddTrack`) and a media section of the publisher's offer together make a
//! track; when the section goes, the track goes.

use protocol::ids::TrackSid;
use protocol::livekit;
use rtp::codec::CodecKind;

use super::Context;
use super::links::Target;
use super::negotiation::local;
use super::participant::{Participant, PendingTrack};
use super::receiver::Stream;
use crate::event::{Event, SessionEvent};
use crate::peer::sdp::{MediaKind, OfferSummary, Preferences, ReceiveSection, SectionIndex};
use crate::peer::transport::{Fingerprint, IceCredentials, RemoteParameters, Transport};
use crate::track::backup::{self, Backup};
use crate::track::demand::Demand;
use crate::track::up_track::UpTrack;

impl super::Room {
    /// Takes an offer and answers it. On error nothing of the room has changed but what the transport knows.
    pub(super) fn negotiate(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        offer: &livekit::SessionDescription,
    ) -> Result<(), &'static str> {
        let Some(participant) = self.participants.get_mut(key) else { return Ok(()) };
        let receivable = participant.receivable();
        let summary =
            participant.negotiation.answerer.accept_offer(&offer.sdp).map_err(|error| error.code())?;
        if !participant.is_keyed {
            connect(context, key, participant, &summary)?;
        }
        participant.receiver.renegotiate(&participant.negotiation.answerer);
        self.unpublish_withdrawn(context, key);
        self.publish_offered(context, key);
        let lost: Vec<SectionIndex> = summary.lost.iter().map(|(index, _)| *index).collect();
        self.refresh_down_tracks(key, &lost);
        self.note_offer(key, receivable);
        self.bind_subscriptions(context, key);
        self.answer(context, key, offer.id);
        self.request_sections(context, key);
        Ok(())
    }

    fn answer(&mut self, context: &mut Context<'_>, key: usize, id: u32) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(link) = participant.links.receiving_mut() else { return };
        let answer = participant.negotiation.answerer.answer(&local(context, &link.transport));
        let description = livekit::SessionDescription {
            r#type: "answer".to_owned(),
            sdp: answer.sdp,
            id,
            mid_to_track_id: answer.mid_to_track_id,
        };
        self.tell(context, key, SessionEvent::Answer(description));
    }

    /// Publishes every announced track whose section is offered.
    pub(super) fn publish_offered(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let sections: Vec<ReceiveSection> =
            participant.negotiation.answerer.receiving().filter(|s| s.active).cloned().collect();
        for section in sections {
            if let Some(track_key) = self.track_on(key, &section.mid) {
                let Some(track) = self.tracks.get_mut(track_key) else { continue };
                if track.renegotiate(&section) {
                    self.renegotiate_subscribers(track_key);
                }
                continue;
            }
            self.publish(context, key, &section);
        }
    }

    #[expect(deprecated, reason = "older clients read these fields")]
    fn publish(&mut self, context: &mut Context<'_>, key: usize, section: &ReceiveSection) {
        let Some(participant) = self.participants.get_mut(key) else { return };
        let Some(cid) = section.track_id.clone() else { return };
        let announced = announcement(&participant.pending_tracks, &cid, section.kind);
        let Some(position) = announced else { return }; // its announcement is still on the way
        let pending = participant.pending_tracks.remove(position);
        if let Some(track) = self.by_track_sid.get(&pending.sid).copied() {
            return self.publish_backup(context, key, track, section, &pending.request);
        }
        let announced = backup::announced(&pending.request).0;
        let announced = announced.filter(|it| section.codecs.iter().any(|codec| codec.kind == *it));
        let mut info = track_info(&pending.sid, &pending.request);
        info.mid.clone_from(&section.mid);
        // RED is how Opus travels, no codec of its own.
        let first = || section.codecs.iter().map(|codec| codec.kind).find(|kind| *kind != CodecKind::Red);
        if let Some(codec) = announced.or_else(first) {
            let medium = if codec.is_video() { "video" } else { "audio" };
            info.mime_type = format!("{medium}/{}", codec.name());
        }
        info.simulcast = section.rids.len().max(section.sim_group.len()) > 1;
        info.codecs = vec![livekit::SimulcastCodecInfo {
            mime_type: info.mime_type.clone(),
            mid: info.mid.clone(),
            cid: pending.request.cid.clone(),
            layers: info.layers.clone(),
            ..Default::default()
        }];
        info.disable_red |= section.codecs.iter().all(|codec| codec.kind != CodecKind::Red);
        let preferences = Preferences {
            dtx: !pending.request.disable_dtx,
            stereo: pending.request.stereo,
            red: !info.disable_red,
            codec: announced,
        };
        participant.negotiation.answerer.prefer(section.index, preferences);
        let codec = pending.request.simulcast_codecs.first().map(|codec| codec.codec.clone());
        let mut up_track = UpTrack::new(pending.sid.clone(), key, info, cid, section);
        up_track.demand = Demand::new(codec.unwrap_or_default());
        up_track.announced = announced;
        let track = self.tracks.insert(up_track);
        self.by_track_sid.insert(pending.sid.clone(), track);
        participant.published.push(track);
        participant.version += 1;
        participant.receiver.add_track(&section.mid, track);
        self.declare_streams(key, track, section);
        self.note_backup(key, track, &pending.request);
        let info = self.tracks.get(track).map(|track| &track.info);
        self.notify(context, "track_published", self.participants.get(key), info);
        self.broadcast_participant(context, key);
        self.subscribe_all_to(context, track);
    }

    /// The publisher's payload types changed: whoever gets the track maps them anew.
    pub(super) fn renegotiate_subscribers(&mut self, track: usize) {
        let Some(up_track) = self.tracks.get(track) else { return };
        for subscriber in &up_track.subscribers {
            let Some(participant) = self.participants.get_mut(subscriber.participant) else { continue };
            let Some(down) = participant.down_tracks.get_mut(subscriber.down_track) else { continue };
            if let Some(send) = participant.negotiation.send_section(down.section) {
                down.renegotiate(send, &up_track.codecs);
            }
        }
    }

    /// SSRCs that the offer declares are known before their first packet (RFC 5576).
    pub(super) fn declare_streams(&mut self, key: usize, track: usize, section: &ReceiveSection) {
        let (Some(participant), Some(up_track)) =
            (self.participants.get_mut(key), self.tracks.get_mut(track))
        else {
            return;
        };
        let by_layer: &[u32] = if section.sim_group.is_empty() { &section.ssrcs } else { &section.sim_group };
        if !section.rids.is_empty() {
            return; // told apart by rid
        }
        for (layer, ssrc) in by_layer.iter().take(up_track.layers.len()).enumerate() {
            participant.receiver.declare(*ssrc, Stream { track, layer, is_rtx: false });
            up_track.layers[layer].bind(*ssrc);
            if let Some((_, rtx)) = section.rtx_pairs.iter().find(|(media, _)| media == ssrc) {
                participant.receiver.declare(*rtx, Stream { track, layer, is_rtx: true });
            }
        }
    }

    /// Ends every track whose section the publisher no longer sends on.
    fn unpublish_withdrawn(&mut self, context: &mut Context<'_>, key: usize) {
        let Some(participant) = self.participants.get(key) else { return };
        let is_offered = |track: &UpTrack| {
            participant.negotiation.answerer.receiving().any(|section| {
                section.active
                    && section.mid == track.mid
                    && section.track_id.as_ref().is_none_or(|cid| *cid == track.cid)
            })
        };
        let withdrawn: Vec<usize> = participant
            .sources()
            .filter(|track| {
                self.tracks.get(*track).is_some_and(|track| !track.is_silent() && !is_offered(track))
            })
            .collect();
        if withdrawn.is_empty() {
            return;
        }
        // The publisher knows what it withdrew: `TrackUnpublished` is for what the server ends.
        for track in withdrawn {
            match self.tracks.get(track).map(|track| track.primary) {
                Some(None) => self.remove_track(context, track),
                Some(Some(_)) => self.withdraw_backup(context, track),
                None => {} // it went with its first codec
            }
        }
        self.hush(context, key);
        if let Some(participant) = self.participants.get_mut(key) {
            participant.version += 1;
        }
        self.broadcast_participant(context, key);
        self.request_sections_of_all(context);
    }

    /// Takes a track from the room and from everybody who gets it.
    pub(super) fn remove_track(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(up_track) = self.tracks.try_remove(track) else { return };
        let publisher = self.participants.get(up_track.publisher);
        self.notify(context, "track_unpublished", publisher, Some(&up_track.info));
        self.by_track_sid.remove(&up_track.sid);
        if let Some(publisher) = self.participants.get_mut(up_track.publisher) {
            publisher.published.retain(|published| *published != track);
            publisher.pending_tracks.retain(|pending| pending.sid != up_track.sid); // a backup that was to come
            publisher.receiver.remove_track(track);
        }
        if let Some(Backup { track: spare, .. }) = up_track.backup {
            self.tracks.try_remove(spare);
            if let Some(publisher) = self.participants.get_mut(up_track.publisher) {
                publisher.backups.retain(|backup| *backup != spare);
                publisher.receiver.remove_track(spare);
            }
        }
        for (_, participant) in &mut self.participants {
            let Some(subscription) = participant.subscriptions.remove(&track) else { continue };
            if let Some(down) = subscription.down_track {
                participant.release(down);
            }
        }
    }

    fn track_on(&self, key: usize, mid: &str) -> Option<usize> {
        let participant = self.participants.get(key)?;
        participant.sources().find(|track| self.tracks.get(*track).is_some_and(|t| t.mid == mid))
    }

    /// Tells a publisher that somebody takes its track.
    pub(super) fn tell_subscribed(&mut self, context: &mut Context<'_>, track: usize) {
        let Some(up_track) = self.tracks.get_mut(track) else { return };
        if std::mem::replace(&mut up_track.was_subscribed, true) {
            return;
        }
        let event =
            SessionEvent::TrackSubscribed(livekit::TrackSubscribed { track_sid: up_track.sid.to_string() });
        let publisher = up_track.publisher;
        if let Some(session) = self.participants.get(publisher).and_then(|participant| participant.session) {
            context.events.push_back(Event::Session(session, event));
        }
    }
}

/// Starts the transport with the first offer, and restarts ICE when a later one has new credentials.
fn connect(
    context: &mut Context<'_>,
    key: usize,
    participant: &mut Participant,
    summary: &OfferSummary,
) -> Result<(), &'static str> {
    let parameters = (summary.ice_ufrag.clone(), summary.ice_pwd.clone());
    if participant.ice_parameters.as_ref() == Some(&parameters) {
        return Ok(());
    }
    // Otherwise the transport was made with the participant.
    if participant.ice_parameters.is_some() || participant.links.receiving_mut().is_none() {
        let credentials = IceCredentials::generate(context.config.worker, context.random);
        let route = (key, Target::Publisher);
        context.routes.push(super::RouteChange::AddUfrag(credentials.ufrag.clone(), route));
        match participant.links.receiving_mut() {
            Some(link) => link.transport.restart_ice(credentials),
            None => {
                participant.links.add_publisher(Transport::new(context.shared, credentials, context.now));
                participant.hold_data(participant.is_held()); // also what comes on this one
            }
        }
    }
    let remote = RemoteParameters {
        ufrag: summary.ice_ufrag.clone(),
        pwd: summary.ice_pwd.clone(),
        fingerprint: Fingerprint::new(summary.fingerprint.0, summary.fingerprint.1.clone()),
        setup: summary.setup,
    };
    if let Some(link) = participant.links.receiving_mut() {
        link.transport.set_remote(context.now, remote).map_err(|error| error.code())?;
    }
    participant.ice_parameters = Some(parameters);
    Ok(())
}

/// Which announcement belongs to a section with this track id in its `a=msid`.
///
/// Firefox writes an id of its own there, in braces, and announces the `MediaStreamTrack`'s (measured with ESR 153);
/// livekit-client announces before it offers, so there the oldest announcement of the section's kind is meant.
fn announcement(pending: &[PendingTrack], track_id: &str, kind: MediaKind) -> Option<usize> {
    let wanted = match kind {
        MediaKind::Audio => livekit::TrackType::Audio,
        _ => livekit::TrackType::Video,
    };
    let is_wanted = |pending: &PendingTrack| pending.request.r#type() == wanted;
    let is_named = |request: &livekit::AddTrackRequest| {
        request.cid == track_id || request.simulcast_codecs.iter().any(|codec| codec.cid == track_id)
    };
    let named = pending.iter().position(|pending| is_wanted(pending) && is_named(&pending.request));
    named.or_else(|| track_id.starts_with('{').then(|| pending.iter().position(is_wanted)).flatten())
}

/// What is told of an announced track.
#[expect(deprecated, reason = "older clients read and write these fields")]
pub(super) fn track_info(sid: &TrackSid, request: &livekit::AddTrackRequest) -> livekit::TrackInfo {
    livekit::TrackInfo {
        sid: sid.to_string(),
        r#type: request.r#type,
        name: request.name.clone(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: request.layers.len() > 1,
        disable_dtx: request.disable_dtx,
        source: request.source,
        layers: request.layers.clone(),
        stereo: request.stereo,
        // Where frames are sealed, so are the block headers by which RED is taken apart for those who cannot read it.
        disable_red: request.disable_red || request.encryption() != livekit::encryption::Type::None,
        encryption: request.encryption,
        stream: request.stream.clone(),
        backup_codec_policy: request.backup_codec_policy,
        audio_features: request.audio_features.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(cid: &str, kind: livekit::TrackType) -> PendingTrack {
        let request =
            livekit::AddTrackRequest { cid: cid.to_owned(), r#type: kind.into(), ..Default::default() };
        PendingTrack { sid: TrackSid::from_random([0; 12]), request }
    }

    #[test]
    fn a_section_belongs_to_the_announcement_of_its_track() {
        let announced = [pending("a", livekit::TrackType::Video), pending("b", livekit::TrackType::Video)];
        assert_eq!(announcement(&announced, "b", MediaKind::Video), Some(1));
        assert_eq!(announcement(&announced, "c", MediaKind::Video), None, "it is still on the way");
    }

    #[test]
    fn firefox_names_tracks_differently_in_its_offer() {
        let announced =
            [pending("{1}", livekit::TrackType::Audio), pending("{2}", livekit::TrackType::Video)];
        assert_eq!(announcement(&announced, "{3}", MediaKind::Video), Some(1));
        assert_eq!(announcement(&announced, "{4}", MediaKind::Audio), Some(0));
        assert_eq!(announcement(&announced[..1], "{3}", MediaKind::Video), None);
    }

    #[test]
    fn sealed_frames_are_not_made_redundant() {
        let sid = TrackSid::from_random([0; 12]);
        let request =
            livekit::AddTrackRequest { r#type: livekit::TrackType::Audio.into(), ..Default::default() };
        assert!(!track_info(&sid, &request).disable_red);
        let sealed =
            livekit::AddTrackRequest { encryption: livekit::encryption::Type::Gcm.into(), ..request.clone() };
        assert!(track_info(&sid, &sealed).disable_red);
        assert!(track_info(&sid, &livekit::AddTrackRequest { disable_red: true, ..request }).disable_red);
    }
}
