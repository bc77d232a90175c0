//! What members of a meeting may do to it: authenticated RTP and RTCP of any content, sealed under their own keys, into
//! a whole core. Nobody's packets make it panic, send anything too large, or leave the meeting without the other.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use libfuzzer_sys::fuzz_target;
use protocol::ids::{Identity, RoomName, SessionId};
use protocol::livekit;
use sfu::Sfu;
use sfu::batch::{MAX_DATAGRAM, SendBatch};
use sfu::command::{Command, Join, Keyed, SessionCommand};
use sfu::config::Config;
use sfu::event::{Event, SessionEvent};
use sfu::io::{Datagram, Input, Output};
use sfu::peer::keying::{SrtpKeys, SrtpProfile};
use sfu::peer::srtp::SrtpSender;
use sfu::peer::transport::Shared;
use sim::codec::Codec;
use sim::description::{Dialect, Medium, Published, Purpose, Section, read_answer, write_offer};

const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
/// The SSRC of every publication; its retransmissions have the next one. Seeds name it.
const SSRC: u32 = 0x1111_1110;

fn shared() -> &'static Arc<Shared> {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    SHARED.get_or_init(|| Arc::new(Shared::new(&Config::default()).expect("a certificate")))
}

/// What stands in RTCP for the SSRC of the first track that a member gets, the next one for the second.
const RECEIVED: u32 = 0x2222_2220;

struct Member {
    address: SocketAddr,
    sender: SrtpSender,
    /// SSRCs of the tracks it gets.
    sources: Vec<u32>,
    /// The last extended sequence number used.
    last: u64,
}

/// The offer of every member: a picture and a sound published, and places for those of the other.
fn offer(version: u32) -> livekit::SessionDescription {
    // Payload types and extension ids are the same in every run, so that seeds stay valid.
    let dialect = Dialect::random(&mut Rng::with_seed(1), &Codec::ALL, false);
    let publish = |index: u32, codec| {
        let ssrc = SSRC + 2 * index;
        let published = Published {
            number: index,
            cid: format!("cid-{index}"),
            codec,
            rids: Vec::new(),
            ssrc: Some((ssrc, Some(ssrc + 1))),
        };
        Purpose::Publish(published)
    };
    let sections = [
        (Medium::Video, publish(0, Codec::Vp8)),
        (Medium::Audio, publish(1, Codec::Opus)),
        (Medium::Video, Purpose::Receive),
        (Medium::Audio, Purpose::Receive),
    ];
    let sections: Vec<Section> = sections
        .into_iter()
        .enumerate()
        .map(|(mid, (medium, purpose))| Section { mid: mid.to_string(), medium, purpose })
        .collect();
    livekit::SessionDescription {
        r#type: "offer".to_owned(),
        sdp: write_offer(&dialect, &sections, version),
        id: version,
        ..Default::default()
    }
}

/// Publishes a picture and a sound, and takes those of others.
fn join(core: &mut Sfu, now: Instant, number: u16, rng: &mut Rng) -> Member {
    let add_tracks = [livekit::TrackType::Video, livekit::TrackType::Audio]
        .into_iter()
        .enumerate()
        .map(|(index, kind)| livekit::AddTrackRequest {
            cid: format!("cid-{index}"),
            r#type: kind.into(),
            ..Default::default()
        })
        .collect();
    let keys = SrtpKeys::generate(&mut |bytes: &mut [u8]| rng.fill(bytes));
    let address = ([192, 0, 2, 1], 1000 + number).into();
    let permission =
        livekit::ParticipantPermission { can_publish: true, can_subscribe: true, ..Default::default() };
    let join = Join {
        session: SessionId(number.into()),
        room: RoomName::new("r"),
        identity: Identity::new(format!("member-{number}")),
        name: String::new(),
        metadata: String::new(),
        attributes: Default::default(),
        permission,
        kind: livekit::participant_info::Kind::Standard,
        client: livekit::ClientInfo::default(),
        auto_subscribe: true,
        offer: Some(offer(1)),
        add_tracks,
        now_unix_ms: 0,
        room_settings: None,
        mode: protocol::api::Mode::Mls,
        two_connections: false,
        keyed: Some(Box::new(Keyed {
            remote: address,
            profile: PROFILE,
            keys: keys.clone(),
            publisher: None,
        })),
    };
    core.handle(now, Input::Command(Command::Join(Box::new(join))));
    let sender = SrtpSender::new(PROFILE, &keys.mirrored().local).expect("keys of the right length");
    Member { address, sender, sources: Vec::new(), last: 1 << 16 }
}

impl Member {
    /// Seals bytes as RTP or RTCP; `None` for what no sender could seal.
    fn seal(&mut self, is_rtp: bool, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; MAX_DATAGRAM];
        let length = if is_rtp {
            let header = rtp::packet::RtpPacket::parse(bytes).ok()?.header_len();
            let (header, payload) = bytes.split_at_checked(header)?;
            let sequence = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
            self.last = (self.last & !0xffff | u64::from(sequence))
                + if sequence < self.last as u16 { 1 << 16 } else { 0 };
            let write = |out: &mut [u8]| {
                out.get_mut(..header.len()).ok_or(())?.copy_from_slice(header);
                Ok::<_, ()>(header.len())
            };
            self.sender.seal_rtp(&mut out, self.last, &[], payload, write).ok()?
        } else {
            let mut bytes = bytes.to_vec();
            for word in bytes.as_chunks_mut::<4>().0 {
                let source = u32::from_be_bytes(*word).checked_sub(RECEIVED);
                if let Some(source) = source.and_then(|index| self.sources.get(usize::try_from(index).ok()?))
                {
                    *word = source.to_be_bytes();
                }
            }
            self.sender.seal_rtcp(&mut out, &bytes).ok()?
        };
        out.truncate(length);
        Some(out)
    }
}

fn drain(core: &mut Sfu, now: Instant, batch: &mut SendBatch, members: &mut [Member; 2]) {
    loop {
        match core.poll(now, batch) {
            Output::Event(Event::Rejected(rejection)) => assert_ne!(rejection.code, "panic"),
            Output::Event(Event::Session(SessionId(number), SessionEvent::Answer(answer))) => {
                let sections = read_answer(&answer.sdp).expect("the core writes what the simulation reads");
                let sources =
                    sections.iter().filter(|section| section.sends).filter_map(|section| section.ssrc);
                members[usize::from(number == 2)].sources = sources.collect();
            }
            Output::Event(Event::Session(session, SessionEvent::MediaSectionsRequirement { .. })) => {
                let offer = offer(2);
                core.handle(now, Input::Command(Command::Session(session, SessionCommand::Offer(offer))));
            }
            Output::Event(_) => {}
            Output::Timeout(_) => break,
        }
    }
    for transmit in batch.transmits() {
        assert!(transmit.segment_size <= MAX_DATAGRAM);
    }
    batch.clear();
}

// Turns, each of one byte that says what happens, one of length, and so many bytes.
fuzz_target!(|data: &[u8]| {
    let mut rng = Rng::with_seed(7);
    let mut randomness = rng.fork();
    let mut now = Instant::now();
    let random = Box::new(move |bytes: &mut [u8]| randomness.fill(bytes));
    let mut core = Sfu::new(now, Config::default(), Arc::clone(shared()), random);
    let mut members = [join(&mut core, now, 1, &mut rng), join(&mut core, now, 2, &mut rng)];
    let mut batch = SendBatch::new();
    drain(&mut core, now, &mut batch, &mut members);
    assert!(members.iter().all(|member| member.sources.len() == 2), "each gets what the other publishes");
    let mut rest = data;
    while let [what, length, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(u64::from(what >> 3));
        let member = &mut members[usize::from(what & 1)];
        if what & 4 != 0 {
            core.handle(now, Input::Timeout);
        } else if let Some(mut payload) = member.seal(what & 2 == 0, bytes) {
            let destination = IpAddr::from(Ipv4Addr::LOCALHOST);
            let datagram = Datagram { source: member.address, destination, payload: &mut payload };
            core.handle(now, Input::Datagram(datagram));
        }
        drain(&mut core, now, &mut batch, &mut members);
    }
    assert_eq!(core.room_count(), 1);
});
