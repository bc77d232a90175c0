//! LiveKit's signal requests as commands of the core.

use protocol::ids::TrackSid;
use protocol::livekit::signal_request::Message;
use protocol::livekit::{DisconnectReason, Ping, SignalRequest, UpdateParticipantMetadata};
use protocol::token::is_text;
use sfu::command::SessionCommand;

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Something of the core.
    Command(Box<SessionCommand>),
    /// A sign of life, by timestamp.
    Ping(i64),
    /// A sign of life, by message.
    PingReq(Ping),
    /// Metadata that no token can carry.
    Malformed(UpdateParticipantMetadata),
    /// Nothing this server does; counted under this code.
    Ignored(&'static str),
}

/// Reads a request.
pub(super) fn read(request: SignalRequest) -> Request {
    let Some(message) = request.message else { return Request::Ignored("unknown-message") };
    let command = match message {
        Message::Offer(offer) => SessionCommand::Offer(offer),
        Message::Answer(answer) => SessionCommand::Answer(answer),
        Message::Trickle(trickle) => SessionCommand::Trickle(trickle),
        Message::AddTrack(track) => SessionCommand::AddTrack(Box::new(track)),
        Message::Mute(mute) => match TrackSid::parse(&mute.sid) {
            Some(track) => SessionCommand::Mute { track, muted: mute.muted },
            None => return Request::Ignored("mute-of-no-track"),
        },
        Message::Subscription(subscription) => SessionCommand::Subscription(subscription),
        Message::TrackSetting(setting) => SessionCommand::TrackSetting(setting),
        Message::SubscriptionPermission(permission) => SessionCommand::SubscriptionPermission(permission),
        Message::UpdateMetadata(update) if !is_text_only(&update) => return Request::Malformed(update),
        Message::UpdateMetadata(update) => SessionCommand::UpdateMetadata(update),
        Message::UpdateAudioTrack(update) => SessionCommand::UpdateAudioTrack(update),
        Message::UpdateVideoTrack(update) => SessionCommand::UpdateVideoTrack(update),
        Message::Leave(leave) => SessionCommand::Leave(
            DisconnectReason::try_from(leave.reason).unwrap_or(DisconnectReason::ClientInitiated),
        ),
        Message::Ping(timestamp) => return Request::Ping(timestamp),
        Message::PingReq(ping) => return Request::PingReq(ping),
        Message::SyncState(state) => SessionCommand::SyncState(Box::new(state)),
        Message::Simulate(_) => return Request::Ignored("simulate-unsupported"),
        Message::PublishDataTrackRequest(track) => SessionCommand::PublishDataTrack(track),
        Message::UnpublishDataTrackRequest(track) => SessionCommand::UnpublishDataTrack(track),
        Message::UpdateDataSubscription(update) => SessionCommand::DataSubscription(update),
        Message::StoreDataBlobRequest(_) | Message::GetDataBlobRequest(_) => {
            return Request::Ignored("data-blob-unsupported");
        }
        #[allow(deprecated)] // old clients still send it
        Message::UpdateLayers(_) => return Request::Ignored("update-layers-unsupported"),
    };
    Request::Command(Box::new(command))
}

fn is_text_only(update: &UpdateParticipantMetadata) -> bool {
    is_text(&update.name)
        && is_text(&update.metadata)
        && update.attributes.iter().all(|(key, value)| is_text(key) && is_text(value))
}

#[cfg(test)]
mod tests {
    use protocol::livekit::{LeaveRequest, MuteTrackRequest, SessionDescription};

    use super::*;

    fn read_message(message: Message) -> Request {
        read(SignalRequest { message: Some(message) })
    }

    #[test]
    fn an_offer_reaches_the_core_with_its_id() {
        let offer = SessionDescription { id: 7, sdp: "v=0".into(), ..Default::default() };
        let Request::Command(command) = read_message(Message::Offer(offer)) else {
            panic!("it is a command")
        };
        assert!(matches!(*command, SessionCommand::Offer(offer) if offer.id == 7));
    }

    #[test]
    fn a_mute_of_something_that_is_no_track_is_ignored() {
        let mute = MuteTrackRequest { sid: "TR_x".into(), muted: true };
        assert!(matches!(read_message(Message::Mute(mute)), Request::Ignored("mute-of-no-track")));
    }

    #[test]
    fn a_leave_with_a_reason_of_the_future_is_a_leave() {
        let leave = LeaveRequest { reason: 999, ..Default::default() };
        let Request::Command(command) = read_message(Message::Leave(leave)) else {
            panic!("it is a command")
        };
        assert!(matches!(*command, SessionCommand::Leave(DisconnectReason::ClientInitiated)));
    }

    #[test]
    fn a_message_of_the_future_is_ignored() {
        assert!(matches!(read(SignalRequest { message: None }), Request::Ignored("unknown-message")));
    }
}
