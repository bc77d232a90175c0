//! How much everybody is told of one participant. A newcomer is told of all in one message, and whoever comes back too:
//! what nobody bounded for each of them would be too large for anybody's signalling connection, and shut the room.

use prost::Message;
use protocol::livekit;
use rtp::extension::MAX_STREAM_NAME;

use super::participant::PendingTrack;
use super::publishing::track_info;
use crate::command::Join;
use crate::config::Limits;
use crate::track::backup::{self, codec_info};

/// Bytes around a message within another: its field's number and its length.
pub(super) const FRAMING: usize = 4;

/// Bytes by which a track's features and size may grow what is told of it.
const CHANGE: usize = 200;

/// Bytes that will be told of an announced track at most, once it is published: the ids of its sections and the names of
/// its codecs are not known yet.
fn of_pending(pending: &PendingTrack) -> usize {
    let PendingTrack { sid, request } = pending;
    if !request.sid.is_empty() {
        // The backup codec of a track that is there.
        let layers = request.simulcast_codecs.first().map_or(&request.layers, |codec| &codec.layers);
        return of_codec(&request.cid, if layers.is_empty() { &request.layers } else { layers });
    }
    let codecs = of_codec(&request.cid, &request.layers)
        + backup::announced_layers(request).map_or(0, |layers| of_codec("", layers));
    let info = livekit::TrackInfo {
        mid: longest_mid(),
        mime_type: codec_info(rtp::codec::CodecKind::H264, "", &[]).mime_type,
        ..track_info(sid, request)
    };
    info.encoded_len() + codecs + 2 * FRAMING
}

fn of_codec(cid: &str, layers: &[livekit::VideoLayer]) -> usize {
    let info = livekit::SimulcastCodecInfo {
        mid: longest_mid(),
        ..codec_info(rtp::codec::CodecKind::H264, cid, layers)
    };
    info.encoded_len() + FRAMING
}

fn longest_mid() -> String {
    "m".repeat(MAX_STREAM_NAME)
}

impl super::Room {
    /// Whether somebody who joins is described in so few words that everybody can be told of it.
    pub(super) fn may_be_told(limits: &Limits, join: &Join) -> bool {
        limits.admits(&livekit::ParticipantInfo {
            identity: join.identity.expose().to_owned(),
            name: join.name.clone(),
            metadata: join.metadata.clone(),
            attributes: join.attributes.clone(),
            permission: Some(join.permission.clone()),
            ..Default::default()
        })
    }

    /// Whether so many bytes more may be told of a participant.
    pub(super) fn has_room_for(&self, limits: &Limits, key: usize, bytes: usize) -> bool {
        self.announced_bytes(key, "").saturating_add(bytes) <= limits.announced_bytes()
    }

    /// Whether a track may be announced; an earlier announcement of the same track is replaced.
    pub(super) fn may_announce(&self, limits: &Limits, key: usize, pending: &PendingTrack) -> bool {
        let others = self.announced_bytes(key, pending.sid.as_str());
        others.saturating_add(of_pending(pending)) <= limits.announced_bytes()
    }

    /// Whether the size or the features of a track may change.
    pub(super) fn may_change_track(&self, limits: &Limits, key: usize) -> bool {
        self.has_room_for(limits, key, CHANGE)
    }

    /// Whether a participant may say this of itself instead of what it says now.
    pub(super) fn may_describe(
        &self,
        limits: &Limits,
        key: usize,
        texts: &livekit::UpdateParticipantMetadata,
    ) -> bool {
        let Some(participant) = self.participants.get(key) else { return false };
        let bytes = |name: &String, metadata: &String, attributes: &_| {
            let info = livekit::ParticipantInfo {
                name: name.clone(),
                metadata: metadata.clone(),
                attributes: std::collections::HashMap::clone(attributes),
                ..Default::default()
            };
            info.encoded_len()
        };
        let now = bytes(&participant.name, &participant.metadata, &participant.attributes);
        let then = bytes(&texts.name, &texts.metadata, &texts.attributes);
        // Fewer words are always heard.
        then <= now || self.has_room_for(limits, key, then - now)
    }

    /// Bytes that are told of a participant, and will be of what it announced, but for the announcement of this track.
    fn announced_bytes(&self, key: usize, except: &str) -> usize {
        let Some(participant) = self.participants.get(key) else { return 0 };
        let pending = participant.pending_tracks.iter().filter(|pending| pending.sid.as_str() != except);
        self.info(participant).encoded_len() + pending.map(of_pending).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::command::SessionCommand;
    use crate::command::administration::{Answered, RoomCommand};
    use crate::config::EVERYBODY_BYTES;
    use crate::event::SessionEvent;
    use crate::room::test_world::{Section, World};

    /// What no bound counts: tracks that are muted, a version and a state that grow.
    const SLACK: usize = 100;

    fn text(bytes: usize) -> String {
        "t".repeat(bytes)
    }

    fn layers(count: usize) -> Vec<livekit::VideoLayer> {
        let layer = livekit::VideoLayer {
            quality: livekit::VideoQuality::High.into(),
            width: 1280,
            height: 720,
            bitrate: 1_700_000,
            ssrc: u32::MAX,
            rid: "f".to_owned(),
            ..Default::default()
        };
        vec![layer; count]
    }

    fn camera(cid: &str, name: usize, layer_count: usize) -> livekit::AddTrackRequest {
        let codec = |codec: &str, cid: &str| livekit::SimulcastCodec {
            codec: codec.to_owned(),
            cid: cid.to_owned(),
            layers: layers(layer_count),
            ..Default::default()
        };
        livekit::AddTrackRequest {
            cid: cid.to_owned(),
            name: text(name),
            r#type: livekit::TrackType::Video.into(),
            source: livekit::TrackSource::Camera.into(),
            layers: layers(layer_count),
            simulcast_codecs: vec![codec("vp8", cid), codec("h264", "")],
            ..Default::default()
        }
    }

    fn data_track(handle: u32, name: usize) -> SessionCommand {
        let name = format!("{handle}{}", text(name));
        let request = livekit::PublishDataTrackRequest { pub_handle: handle, name, ..Default::default() };
        SessionCommand::PublishDataTrack(request)
    }

    fn describe(metadata: usize, attributes: usize) -> livekit::UpdateParticipantMetadata {
        let attributes = (0..attributes).map(|number| (number.to_string(), "v".to_owned()));
        livekit::UpdateParticipantMetadata {
            metadata: text(metadata),
            attributes: attributes.collect(),
            ..Default::default()
        }
    }

    fn told_of(world: &mut World, identity: &str) -> usize {
        let identity = protocol::ids::Identity::new(identity.to_owned());
        match world.ask(RoomCommand::GetParticipant(identity)) {
            Ok(Answered::Participant(info)) => info.encoded_len(),
            other => panic!("{:?}", other.is_ok()),
        }
    }

    /// Joins, and announces whatever is taken: texts, tracks, data tracks.
    fn overdo(world: &mut World, session: u64) -> usize {
        let identity = format!("{session}{}", text(250));
        let mut join = crate::test_join(session, "r", &identity);
        (join.metadata, join.auto_subscribe) = (text(8000), false);
        let cids: Vec<String> = (0..32).map(|number| format!("camera-{number}")).collect();
        join.add_tracks = cids.iter().map(|cid| camera(cid, 200, 3)).collect();
        world.enter(join);
        let sections: Vec<Section<'_>> = cids.iter().map(|cid| Section::Camera(cid)).collect();
        world.offer(session, &sections);
        for handle in 1..=32 {
            world.say(session, data_track(handle, 240));
        }
        // Who is away is told nothing meanwhile: the test would mostly copy what nobody looks at.
        world.say(session, SessionCommand::Disconnected);
        told_of(world, &identity)
    }

    #[test]
    fn the_last_of_two_hundred_who_overdo_it_can_be_told_of_all_the_others() {
        let mut world = World::new();
        for session in 1..=199 {
            world.told.clear();
            let bytes = overdo(&mut world, session);
            assert!((16_000..=17_100).contains(&bytes), "{bytes} bytes of one");
        }
        assert!(world.refused.contains(&"announcements-too-large"));
        world.told.clear();
        world.join(1000, "last");
        let joined = world.events(1000).find_map(|event| match event {
            SessionEvent::Joined(joined) => Some(joined),
            _ => None,
        });
        let joined = joined.expect("joined");
        let bytes: usize = joined.others.iter().map(Message::encoded_len).sum();
        assert_eq!(joined.others.len(), 199);
        assert!((3_000_000..EVERYBODY_BYTES + 200 * SLACK).contains(&bytes), "{bytes} bytes of 199");
    }

    #[test]
    fn who_comes_with_more_than_everybody_can_be_told_does_not_get_in() {
        let mut world = World::new();
        world.join(1, "anna");
        let mut join = crate::test_join(2, "r", "ben");
        join.attributes = describe(0, 2700).attributes; // 8 KB that are told in 28 KB
        world.handle(crate::io::Input::Command(crate::command::Command::Join(Box::new(join))));
        assert!(matches!(world.events(2).next(), Some(SessionEvent::Leave(_))));
        assert_eq!(world.refused, ["announcements-too-large"]);
        assert!(!world.news(1).iter().any(|(identity, _)| *identity == "ben"));
    }

    #[test]
    fn thirty_two_cameras_as_browsers_announce_them_are_taken() {
        let mut world = World::new();
        world.join(1, "anna");
        let cids: Vec<String> =
            (0..32).map(|number| format!("0b26e23c-7bf3-4f2a-9f9e-{number:012}")).collect();
        for cid in &cids {
            world.say(1, SessionCommand::AddTrack(Box::new(camera(cid, 0, 3))));
        }
        let sections: Vec<Section<'_>> = cids.iter().map(|cid| Section::Camera(cid)).collect();
        world.offer(1, &sections);
        assert_eq!(world.refused, [""; 0]);
        let bytes = told_of(&mut world, "anna");
        assert!((5_000..17_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn who_told_all_it_may_can_say_less_and_then_more_again() {
        let mut world = World::new();
        let mut join = crate::test_join(1, "r", "anna");
        join.permission.can_update_metadata = true;
        world.enter(join);
        let say = |world: &mut World, update| {
            world.refused.clear();
            world.say(1, SessionCommand::UpdateMetadata(update));
            world.refused.is_empty()
        };
        assert!(say(&mut world, describe(8000, 0)));
        for handle in 1..=32 {
            world.say(1, data_track(handle, 256 - 2));
        }
        let attributes = |count| describe(0, count);
        assert!(!say(&mut world, attributes(190)), "190 of 3 bytes are told in 2 KB");
        assert!(say(&mut world, describe(10, 0)));
        assert!(say(&mut world, attributes(190)));
        let by_the_server = RoomCommand::UpdateParticipant {
            identity: protocol::ids::Identity::new("anna".to_owned()),
            texts: Box::new(describe(8000 - 1000, 190)),
            permission: None,
        };
        assert_eq!(
            world.ask(by_the_server).err(),
            Some(crate::command::administration::Refusal::TextTooLarge)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever a participant announces, publishes, takes back and says of itself, in whatever order: what is told of
        /// it stays within its bound, and so does what it will be when its announced tracks are published.
        #[test]
        fn no_order_of_announcements_tells_more_than_may_be_told(
            steps in prop::collection::vec((0u8..7, 0usize..32, 0usize..300, 0usize..6), 1..60),
        ) {
            let mut world = World::new();
            let mut join = crate::test_join(1, "r", "anna");
            join.permission.can_update_metadata = true;
            world.enter(join);
            let limit = Limits::default().announced_bytes();
            let cids: Vec<String> = (0..32).map(|number| format!("{number}{}", text(100))).collect();
            let mut sids: HashMap<String, String> = HashMap::new();
            for (what, which, size, count) in steps {
                let cid = &cids[which];
                world.told.clear();
                match what {
                    0 | 1 => world.say(1, SessionCommand::AddTrack(Box::new(camera(cid, size.min(256), count)))),
                    2 => {
                        // The first of them are sent, what was sent on the others is withdrawn.
                        let section = |(number, cid)| match number <= which {
                            true => Section::Camera(cid),
                            false => Section::Picture,
                        };
                        let sections: Vec<Section<'_>> =
                            cids.iter().map(String::as_str).enumerate().map(section).collect();
                        world.offer(1, &sections);
                    }
                    3 => {
                        let sid = sids.get(cid).cloned().unwrap_or_default();
                        let codec = livekit::SimulcastCodec { codec: "h264".to_owned(), ..Default::default() };
                        let request = livekit::AddTrackRequest {
                            sid,
                            simulcast_codecs: vec![codec],
                            ..camera(&text(size.clamp(1, 256)), 0, count)
                        };
                        world.say(1, SessionCommand::AddTrack(Box::new(request)));
                    }
                    4 => world.say(1, data_track(which as u32 + 1, size.min(250))),
                    5 => world.say(1, SessionCommand::UpdateMetadata(describe(size * 25, count * 100))),
                    _ => {
                        let track_sid = sids.get(cid).cloned().unwrap_or_default();
                        let features = vec![livekit::AudioTrackFeature::TfAutoGainControl.into(); 16];
                        let update = livekit::UpdateLocalAudioTrack { track_sid, features };
                        world.say(1, SessionCommand::UpdateAudioTrack(update));
                    }
                }
                for (_, event) in &world.told {
                    if let SessionEvent::TrackPublished(published) = event
                        && let Some(track) = &published.track
                    {
                        sids.insert(published.cid.clone(), track.sid.clone());
                    }
                }
                let bytes = told_of(&mut world, "anna");
                prop_assert!(bytes <= limit + SLACK, "{} bytes", bytes);
            }
        }
    }
}
