//! A core for the tests of rooms, what it told each session, and session descriptions for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;

use crate::Sfu;
use crate::batch::SendBatch;
use crate::command::administration::{Administration, Answer, RequestId, RoomCommand};
use crate::command::{Command, Join, Resume, SessionCommand};
use crate::config::Config;
use crate::event::{Event, SessionEvent};
use crate::io::{Input, Output};
use crate::peer::transport::Shared;
use crate::room::Context;

/// A media section of an offer.
#[derive(Clone, Copy)]
pub(super) enum Section<'a> {
    /// Sends the sound announced under this id.
    Microphone(&'a str),
    /// Sends the picture announced under this id.
    Camera(&'a str),
    /// Receives sound.
    Sound,
    /// Receives a picture.
    Picture,
}

/// An offer in the manner of browsers.
fn describe(sections: &[Section<'_>]) -> String {
    let mids: Vec<String> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut sdp =
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for (section, mid) in sections.iter().zip(mids) {
        let (medium, codec, direction) = match section {
            Section::Microphone(cid) => ("audio", "opus/48000/2", format!("sendonly\r\na=msid:stream {cid}")),
            Section::Camera(cid) => ("video", "VP8/90000", format!("sendonly\r\na=msid:stream {cid}")),
            Section::Sound => ("audio", "opus/48000/2", "recvonly".to_owned()),
            Section::Picture => ("video", "VP8/90000", "recvonly".to_owned()),
        };
        let fingerprint = ["5A"; 32].join(":");
        let _ = write!(
            sdp,
            "m={medium} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:test\r\n\
             a=ice-pwd:testtesttesttesttesttest\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
             a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:96 {codec}\r\n"
        );
    }
    sdp
}

/// Does something in rooms without a core.
pub(super) fn turn(now: Instant, action: impl FnOnce(&mut Context<'_>)) {
    let config = Config::default();
    let shared = Arc::new(Shared::new(&config).unwrap());
    let mut counter: u8 = 0;
    let mut random = move |bytes: &mut [u8]| {
        counter = counter.wrapping_add(1);
        bytes.fill(counter);
    };
    let (mut events, mut routes) = (VecDeque::new(), Vec::new());
    action(&mut Context {
        now,
        config: &config,
        shared: &shared,
        random: &mut random,
        events: &mut events,
        routes: &mut routes,
        epoch: now,
    });
}

/// A core and what it told each session.
pub(super) struct World {
    pub(super) core: Sfu,
    pub(super) now: Instant,
    pub(super) told: Vec<(u64, SessionEvent)>,
    pub(super) refused: Vec<&'static str>,
    answers: Vec<Answer>,
}

impl World {
    pub(super) fn new() -> Self {
        let (now, config) = (crate::test_start(), Config::default());
        let shared = Arc::new(Shared::new(&config).unwrap());
        let mut counter: u8 = 0;
        let random = Box::new(move |bytes: &mut [u8]| {
            counter = counter.wrapping_add(1);
            bytes.fill(counter);
        });
        Self {
            core: Sfu::new(now, config, shared, random),
            now,
            told: Vec::new(),
            refused: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
        let mut batch = SendBatch::new();
        while let Output::Event(event) = self.core.poll(self.now, &mut batch) {
            match event {
                Event::Session(SessionId(session), event) => self.told.push((session, event)),
                Event::Rejected(rejection) => self.refused.push(rejection.code),
                Event::Answer(_, answer) => self.answers.push(answer),
                _ => {}
            }
        }
    }

    /// Joins; returns the participant's id.
    pub(super) fn join(&mut self, session: u64, identity: &str) -> String {
        self.enter(crate::test_join(session, "r", identity))
    }

    /// The same of a join that is somehow special.
    pub(super) fn enter(&mut self, join: Join) -> String {
        let session = join.session.0;
        self.handle(Input::Command(Command::Join(Box::new(join))));
        let joined = self.events(session).find_map(|event| match event {
            SessionEvent::Joined(joined) => Some(joined.participant.sid.clone()),
            _ => None,
        });
        joined.expect("joined")
    }

    pub(super) fn say(&mut self, session: u64, command: SessionCommand) {
        self.handle(Input::Command(Command::Session(SessionId(session), command)));
    }

    /// Asks for something over the server API.
    pub(super) fn administer(&mut self, request: Administration) -> Answer {
        self.handle(Input::Command(Command::Administer(RequestId(1), request)));
        self.answers.pop().expect("each request is answered")
    }

    /// The same in the room.
    pub(super) fn ask(&mut self, command: RoomCommand) -> Answer {
        self.administer(Administration::Room(RoomName::new("r"), command))
    }

    /// Replaces what a participant may do.
    pub(super) fn permit(&mut self, identity: &str, permission: livekit::ParticipantPermission) {
        let changed = self.ask(RoomCommand::UpdateParticipant {
            identity: Identity::new(identity.to_owned()),
            texts: Box::default(),
            permission: Some(Box::new(permission)),
        });
        assert!(changed.is_ok(), "{identity} is here");
    }

    /// Offers these sections, whose ids are their positions.
    pub(super) fn offer(&mut self, session: u64, sections: &[Section<'_>]) {
        let sdp = describe(sections);
        self.say(session, SessionCommand::Offer(livekit::SessionDescription { sdp, ..Default::default() }));
    }

    /// Publishes a track as the only section of an offer; returns its id.
    pub(super) fn publish(&mut self, session: u64, section: Section<'_>) -> String {
        let (Section::Microphone(cid) | Section::Camera(cid)) = section else { panic!("it sends nothing") };
        let (kind, source) = match section {
            Section::Camera(_) => (livekit::TrackType::Video, livekit::TrackSource::Camera),
            _ => (livekit::TrackType::Audio, livekit::TrackSource::Microphone),
        };
        let request = livekit::AddTrackRequest {
            cid: cid.to_owned(),
            r#type: kind.into(),
            source: source.into(),
            ..Default::default()
        };
        self.say(session, SessionCommand::AddTrack(Box::new(request)));
        self.offer(session, &[section]);
        let published = self.events(session).filter_map(|event| match event {
            SessionEvent::TrackPublished(published) => Some(published),
            _ => None,
        });
        published.last().and_then(|published| published.track.clone()).expect("published").sid
    }

    pub(super) fn resume(&mut self, session: u64, identity: &str, sid: &str) {
        let resume = Resume {
            session: SessionId(session),
            room: RoomName::new("r"),
            identity: Identity::new(identity.to_owned()),
            participant_sid: sid.to_owned(),
            sync_state: None,
            offer: None,
        };
        self.handle(Input::Command(Command::Resume(Box::new(resume))));
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Timeout);
    }

    pub(super) fn events(&self, session: u64) -> impl Iterator<Item = &SessionEvent> {
        self.told.iter().filter(move |(known, _)| *known == session).map(|(_, event)| event)
    }

    /// What a session was told of participants: who is there (`true`) and who left, in order.
    pub(super) fn news(&self, session: u64) -> Vec<(&str, bool)> {
        self.events(session)
            .filter_map(|event| match event {
                SessionEvent::ParticipantUpdate(infos) => Some(infos),
                _ => None,
            })
            .flatten()
            .map(|info| {
                let left = info.state() == livekit::participant_info::State::Disconnected;
                (info.identity.as_str(), !left)
            })
            .collect()
    }

    pub(super) fn is_resumed(&self, session: u64) -> bool {
        matches!(self.events(session).next(), Some(SessionEvent::Reconnected(_)))
    }

    /// Why a session that asked to go on was sent away for good. As first word livekit-client would take any `Leave`
    /// for a reason to join again.
    pub(super) fn sent_away(&self, session: u64) -> Option<livekit::DisconnectReason> {
        let told: Vec<_> = self.events(session).collect();
        match told[..] {
            [SessionEvent::Reconnected(_), SessionEvent::Leave(leave)]
                if leave.action() == livekit::leave_request::Action::Disconnect =>
            {
                Some(leave.reason())
            }
            _ => None,
        }
    }

    /// The session's first and only word is to join again.
    pub(super) fn must_join(&self, session: u64) -> bool {
        let told: Vec<_> = self.events(session).collect();
        matches!(told[..], [SessionEvent::Leave(leave)]
            if leave.action() == livekit::leave_request::Action::Reconnect)
    }
}
