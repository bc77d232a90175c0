//! Offers of one client, separated by NUL: whatever is accepted is answered section by section, with nothing
//! that was not offered, and a track on every section that can carry one.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use sfu::peer::sdp::parse::{ParseLimits, parse};
use sfu::peer::sdp::{LocalTransport, MediaKind, Negotiator, NegotiatorSettings, SendTrack};

const LIMITS: ParseLimits = ParseLimits { bytes: 1 << 18, sections: 64 };

fuzz_target!(|data: &[u8]| {
    let settings = NegotiatorSettings { limits: LIMITS, ..NegotiatorSettings::default() };
    let mut negotiator = Negotiator::new(settings);
    let text = String::from_utf8_lossy(data);
    let mut tracks = 0;
    for offer in text.split('\0') {
        let bound = negotiator.sending().count();
        let Ok(summary) = negotiator.accept_offer(offer) else {
            assert_eq!(negotiator.sending().count(), bound, "a refusal changes nothing");
            continue;
        };
        assert_eq!(negotiator.sending().count() + summary.lost.len(), bound);
        for kind in [MediaKind::Audio, MediaKind::Video] {
            while negotiator.free(kind) > 0 {
                assert!(negotiator.bind(track(kind, tracks)).is_some());
                tracks += 1;
            }
        }
        answer(&mut negotiator, offer);
        let sections: Vec<_> = negotiator.sending().map(|(index, _)| index).collect();
        for index in sections.into_iter().step_by(2) {
            negotiator.unbind(index);
        }
    }
});

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

fn answer(negotiator: &mut Negotiator, offer: &str) {
    let candidates: [SocketAddr; 1] = [([127, 0, 0, 1], 7880).into()];
    let answer = negotiator.answer(&LocalTransport {
        ice_ufrag: "fuzz",
        ice_pwd: "fuzzfuzzfuzzfuzzfuzzfuzz",
        candidates: &candidates,
        fingerprint: "sha-256 00",
        sctp_port: 5000,
        max_message_size: 262_144,
    });
    let offered = parse(offer, LIMITS).expect("it was accepted");
    // Names of layers and parameters come from the offer, so the answer is as long as it at most, and ours.
    let limits = ParseLimits { bytes: usize::MAX, ..LIMITS };
    let answered = parse(&answer.sdp, limits).expect("what is written is read");
    assert_eq!(answered.sections.len(), offered.sections.len());
    assert_eq!(answer.mid_to_track_id.len(), negotiator.sending().count());
    for (ours, theirs) in answered.sections.iter().zip(&offered.sections) {
        assert_eq!((ours.mid, ours.media, ours.protocol), (theirs.mid, theirs.media, theirs.protocol));
        if matches!(ours.kind, Some(MediaKind::Audio | MediaKind::Video)) && ours.port != 0 {
            assert!(!ours.direction.sends() || theirs.direction.receives());
            assert!(!ours.direction.receives() || theirs.direction.sends());
            assert!(ours.simulcast_send.is_empty());
            for payload in &ours.payloads {
                assert!(theirs.payloads.iter().any(|theirs| theirs.payload_type == payload.payload_type));
            }
        }
    }
}
