//! Answers of one client to the server's offers, separated by NUL: each is refused without trace, or says what
//! became of every track; and the next offer is one that can be read.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use sfu::peer::sdp::parse::{ParseLimits, parse};
use sfu::peer::sdp::{
    LocalTransport, MediaKind, NegotiatorSettings, Offer, Offerer, SectionIndex, SendTrack,
};

const LIMITS: ParseLimits = ParseLimits { bytes: 1 << 18, sections: 16 };

fuzz_target!(|data: &[u8]| {
    let settings = NegotiatorSettings { limits: LIMITS, ..NegotiatorSettings::default() };
    let mut offerer = Offerer::new(settings);
    let mut tracks = 0;
    let mut offered = next(&mut offerer, &mut tracks);
    for answer in String::from_utf8_lossy(data).split('\0') {
        let bound = carried(&offerer);
        let Ok(summary) = offerer.accept_answer(answer) else {
            assert!(offerer.is_waiting(), "the offer still waits");
            assert_eq!(carried(&offerer), bound, "a refusal changes nothing");
            continue;
        };
        assert_eq!(carried(&offerer).len() + summary.refused.len(), bound.len());
        let description = parse(&offered.sdp, LIMITS).expect("it was read before");
        for index in carried(&offerer) {
            let send = offerer.send_section(index).expect("it is carried");
            assert!(!send.codecs.is_empty(), "what is taken is taken in a codec");
            for codec in send.codecs.iter() {
                let mut payloads = description.sections[index.0].payloads.iter();
                assert!(payloads.any(|payload| payload.payload_type == codec.payload_type));
            }
        }
        for index in carried(&offerer).into_iter().step_by(2) {
            offerer.unbind(index);
        }
        offered = next(&mut offerer, &mut tracks);
    }
});

/// Binds a voice and a picture and offers them.
fn next(offerer: &mut Offerer, tracks: &mut u32) -> Offer {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        offerer.bind(track(kind, *tracks));
        *tracks += 1;
    }
    let candidates: [SocketAddr; 1] = [([127, 0, 0, 1], 7880).into()];
    let transport = LocalTransport {
        ice_ufrag: "fuzz",
        ice_pwd: "fuzzfuzzfuzzfuzzfuzzfuzz",
        candidates: &candidates,
        fingerprint: "sha-256 00",
        sctp_port: 5000,
        max_message_size: 262_144,
    };
    let offer = offerer.offer(&transport).expect("none is waiting");
    let description = parse(&offer.sdp, LIMITS).expect("what is written is read");
    assert_eq!(description.sections.len(), offerer.section_count());
    assert_eq!(offer.mid_to_track_id.len(), carried(offerer).len());
    offer
}

fn carried(offerer: &Offerer) -> Vec<SectionIndex> {
    let all = (0..offerer.section_count()).map(SectionIndex);
    all.filter(|index| offerer.send_section(*index).is_some()).collect()
}

fn track(kind: MediaKind, number: u32) -> SendTrack {
    SendTrack {
        kind,
        participant_sid: "PA_fuzz".to_owned(),
        track_sid: format!("TR_{number}"),
        stream: "camera",
        ssrc: 2 * number,
        rtx_ssrc: Some(2 * number + 1),
        cname: "fuzz".to_owned(),
        stereo: false,
    }
}
