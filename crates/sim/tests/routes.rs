//! What leads to participants: nothing stays behind when they leave, however they came and moved.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use sfu::Sfu;
use sfu::batch::SendBatch;
use sfu::command::{Command, Join, SessionCommand};
use sfu::config::Config;
use sfu::event::{Event, SessionEvent};
use sfu::io::{Input, Output};
use sfu::peer::transport::Shared;
use sim::client::everything_allowed;
use sim::codec::Codec;
use sim::description::{Dialect, Medium, Purpose, Section, write_offer};

/// An offer under ICE credentials of its own.
fn offer(id: u32) -> livekit::SessionDescription {
    let dialect = Dialect::random(&mut Rng::with_seed(1), &Codec::ALL, false);
    let section = Section { mid: "0".to_owned(), medium: Medium::Audio, purpose: Purpose::Receive };
    let sdp =
        write_offer(&dialect, &[section], id).replace("a=ice-ufrag:simu", &format!("a=ice-ufrag:simu{id}"));
    livekit::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() }
}

fn answers(core: &mut Sfu, now: Instant) -> usize {
    let mut batch = SendBatch::new();
    let mut answers = 0;
    while let Output::Event(event) = core.poll(now, &mut batch) {
        answers += usize::from(matches!(event, Event::Session(_, SessionEvent::Answer(_))));
    }
    answers
}

#[test]
fn restarts_that_nobody_completed_leave_no_fragment_behind() {
    let config = Config::default();
    let shared = Arc::new(Shared::new(&config).expect("a certificate"));
    let start = Instant::now();
    let mut random = Rng::with_seed(2);
    let grace = config.room_grace;
    let mut core = Sfu::new(start, config, shared, Box::new(move |bytes: &mut [u8]| random.fill(bytes)));
    let session = SessionId(1);
    let join = Join {
        session,
        room: RoomName::new("r"),
        identity: Identity::new("anna".to_owned()),
        name: String::new(),
        metadata: String::new(),
        attributes: Default::default(),
        permission: everything_allowed(),
        kind: livekit::participant_info::Kind::Standard,
        client: livekit::ClientInfo::default(),
        auto_subscribe: true,
        offer: Some(offer(1)),
        add_tracks: Vec::new(),
        now_unix_ms: 0,
        room_settings: None,
        mode: protocol::api::Mode::Mls,
        two_connections: false,
        keyed: None,
    };
    core.handle(start, Input::Command(Command::Join(Box::new(join))));
    for id in 2..20 {
        let command = Command::Session(session, SessionCommand::Offer(offer(id)));
        core.handle(start, Input::Command(command));
    }
    let leave = SessionCommand::Leave(livekit::DisconnectReason::ClientInitiated);
    core.handle(start, Input::Command(Command::Session(session, leave)));
    assert_eq!(answers(&mut core, start), 19);
    let over = start + grace + Duration::from_secs(1);
    core.handle(over, Input::Timeout);
    answers(&mut core, over);
    assert_eq!((core.room_count(), core.route_count()), (0, 0));
}
