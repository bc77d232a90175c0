//! The core's session events as LiveKit's signal responses, with what belongs to the connection itself.

use protocol::livekit;
use protocol::livekit::SignalResponse;
use protocol::livekit::signal_response::Message;
use sfu::event::{Joined, Reconnected, SessionEvent};

use crate::signal::{PING_INTERVAL, PING_TIMEOUT};

/// The LiveKit server whose behaviour clients may expect; they look at the version to decide what they
/// may use. livekit-client 2.23 was measured against this one; from 1.13.6 on it would send VP9 and AV1 as
/// simulcast instead of one scalable stream.
const COMPATIBLE_VERSION: &str = "1.13.5";

/// The protocol number of that server.
const PROTOCOL: i32 = 17;

/// An event as the client gets it; `None` if it is not for the client.
pub(super) fn response(event: SessionEvent) -> Option<SignalResponse> {
    let message = match event {
        SessionEvent::Joined(joined) => Message::Join(join(*joined)),
        SessionEvent::Reconnected(reconnected) => Message::Reconnect(reconnect(reconnected)),
        SessionEvent::Answer(answer) => Message::Answer(answer),
        SessionEvent::Offer(offer) => Message::Offer(offer),
        SessionEvent::ParticipantUpdate(participants) => {
            Message::Update(livekit::ParticipantUpdate { participants })
        }
        SessionEvent::TrackPublished(published) => Message::TrackPublished(published),
        SessionEvent::StreamStateUpdate(update) => Message::StreamStateUpdate(update),
        SessionEvent::SubscribedQualityUpdate(update) => Message::SubscribedQualityUpdate(update),
        SessionEvent::SpeakersChanged(speakers) => {
            Message::SpeakersChanged(livekit::SpeakersChanged { speakers })
        }
        SessionEvent::ConnectionQuality(updates) => {
            Message::ConnectionQuality(livekit::ConnectionQualityUpdate { updates })
        }
        SessionEvent::MediaSectionsRequirement { audios, videos } => {
            Message::MediaSectionsRequirement(livekit::MediaSectionsRequirement {
                num_audios: audios,
                num_videos: videos,
            })
        }
        SessionEvent::TrackSubscribed(subscribed) => Message::TrackSubscribed(subscribed),
        SessionEvent::SubscriptionPermissionUpdate(update) => Message::SubscriptionPermissionUpdate(update),
        SessionEvent::SubscriptionResponse(response) => Message::SubscriptionResponse(response),
        SessionEvent::RequestResponse(response) => Message::RequestResponse(response),
        SessionEvent::RoomUpdate(room) => Message::RoomUpdate(livekit::RoomUpdate { room: Some(*room) }),
        SessionEvent::TrackUnpublished(ended) => Message::TrackUnpublished(ended),
        SessionEvent::DataTrackPublished(published) => Message::PublishDataTrackResponse(published),
        SessionEvent::DataTrackUnpublished(ended) => Message::UnpublishDataTrackResponse(ended),
        SessionEvent::DataTrackHandles(handles) => Message::DataTrackSubscriberHandles(handles),
        SessionEvent::Mute(mute) => Message::Mute(mute),
        SessionEvent::Moved(moved) => Message::RoomMoved(*moved),
        SessionEvent::Leave(leave) => Message::Leave(leave),
        SessionEvent::Superseded => return None,
    };
    Some(wrap(message))
}

/// The answer to a ping by timestamp.
pub(super) fn pong(_timestamp: i64, now_ms: i64) -> SignalResponse {
    wrap(Message::Pong(now_ms))
}

/// The answer to a ping by message.
pub(super) fn pong_resp(ping: &livekit::Ping, now_ms: i64) -> SignalResponse {
    wrap(Message::PongResp(livekit::Pong { last_ping_timestamp: ping.timestamp, timestamp: now_ms }))
}

/// The refusal of metadata that no token can carry.
pub(super) fn malformed(update: livekit::UpdateParticipantMetadata) -> SignalResponse {
    wrap(Message::RequestResponse(livekit::RequestResponse {
        request_id: update.request_id,
        reason: livekit::request_response::Reason::InvalidRequest.into(),
        request: Some(livekit::request_response::Request::UpdateMetadata(update)),
        ..Default::default()
    }))
}

/// A fresh token.
pub(super) fn refresh_token(token: String) -> SignalResponse {
    wrap(Message::RefreshToken(token))
}

fn wrap(message: Message) -> SignalResponse {
    SignalResponse { message: Some(message) }
}

fn join(joined: Joined) -> livekit::JoinResponse {
    let seconds = |duration: std::time::Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    livekit::JoinResponse {
        room: Some(joined.room),
        participant: Some(joined.participant),
        other_participants: joined.others,
        server_version: COMPATIBLE_VERSION.into(),
        ice_servers: Vec::new(), // ICE-lite: the server's own address is all a client needs
        subscriber_primary: joined.subscriber_primary,
        client_configuration: Some(client_configuration()),
        ping_timeout: seconds(PING_TIMEOUT),
        ping_interval: seconds(PING_INTERVAL),
        server_info: Some(server_info()),
        enabled_publish_codecs: joined.enabled_publish_codecs,
        fast_publish: true,
        ..Default::default()
    }
}

fn reconnect(reconnected: Reconnected) -> livekit::ReconnectResponse {
    livekit::ReconnectResponse {
        ice_servers: Vec::new(), // as in a join
        client_configuration: Some(client_configuration()),
        server_info: Some(server_info()),
        last_message_seq: reconnected.last_message_seq,
    }
}

fn client_configuration() -> livekit::ClientConfiguration {
    livekit::ClientConfiguration {
        resume_connection: livekit::ClientConfigSetting::Enabled.into(),
        ..Default::default()
    }
}

fn server_info() -> livekit::ServerInfo {
    livekit::ServerInfo {
        edition: livekit::server_info::Edition::Standard.into(),
        version: COMPATIBLE_VERSION.into(),
        protocol: PROTOCOL,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_response_keeps_the_connection_alive_and_names_the_server() {
        let joined = Joined {
            room: livekit::Room::default(),
            participant: livekit::ParticipantInfo { sid: "PA_x".into(), ..Default::default() },
            others: vec![livekit::ParticipantInfo::default()],
            enabled_publish_codecs: vec![livekit::Codec { mime: "audio/opus".into(), ..Default::default() }],
            subscriber_primary: false,
        };
        let response = response(SessionEvent::Joined(Box::new(joined)));
        let Some(Message::Join(join)) = response.and_then(|response| response.message) else {
            panic!("it is a join response")
        };
        assert_eq!((join.ping_interval, join.ping_timeout), (2, 6));
        assert!(!join.subscriber_primary && join.ice_servers.is_empty());
        assert!(!join.server_info.expect("clients refuse without").version.is_empty());
        let configuration = join.client_configuration.expect("it says how to come back");
        assert_eq!(configuration.resume_connection(), livekit::ClientConfigSetting::Enabled);
        assert_eq!(join.enabled_publish_codecs.len(), 1);
        assert_eq!(join.other_participants.len(), 1);
    }

    #[test]
    fn a_pong_echoes_the_ping() {
        let Some(Message::PongResp(pong)) = pong_resp(&livekit::Ping { timestamp: 42, rtt: 3 }, 50).message
        else {
            panic!("it is a pong")
        };
        assert_eq!((pong.last_ping_timestamp, pong.timestamp), (42, 50));
    }
}
