//! The connection that the server offers, with answers as clients give them.

use rtp::codec::CodecKind;
use rtp::extension::ExtensionKind;

use super::super::offered::section_bytes;
use super::super::{AnswerIgnored, AnswerSummary, Direction, Offer, Offerer, SdpError, Setup};
use super::*;

pub(super) fn offerer() -> Offerer {
    Offerer::new(NegotiatorSettings::default())
}

pub(super) fn offer(offerer: &mut Offerer) -> Offer {
    let candidates: [SocketAddr; 2] = [([192, 0, 2, 1], 7880).into(), ([127, 0, 0, 1], 7880).into()];
    offerer.offer(&local(&candidates)).expect("none is waiting")
}

/// An answer to `offer` by a client that takes video in `codecs` (as `a=rtpmap` names them) and all audio.
pub(super) fn answer_to(offer: &str, codecs: &[&str]) -> String {
    let offered = read(offer);
    let mut text = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n",
        offered
            .sections
            .iter()
            .filter(|section| section.port != 0)
            .filter_map(|section| section.mid)
            .collect::<Vec<_>>()
            .join(" ")
    );
    for section in &offered.sections {
        let mid = section.mid.expect("ours have one");
        let mut taken = Vec::new();
        let mut media = String::new();
        for payload in &section.payloads {
            if section.port == 0 {
                break;
            }
            let is_taken = section.kind == Some(MediaKind::Audio)
                || codecs.contains(&payload.encoding)
                || payload.encoding == "rtx";
            if is_taken {
                taken.push(payload.payload_type.to_string());
                let number = payload.payload_type;
                let rate = payload.clock_rate;
                let channels = if section.kind == Some(MediaKind::Audio) { "/2" } else { "" };
                media += &format!("a=rtpmap:{number} {}/{rate}{channels}\r\n", payload.encoding);
                if let Some(fmtp) = payload.fmtp {
                    media += &format!("a=fmtp:{number} {fmtp}\r\n");
                }
            }
        }
        let formats = if taken.is_empty() { section.formats.to_owned() } else { taken.join(" ") };
        let port = if section.port == 0 { 0 } else { 9 };
        text += &format!("m={} {port} {} {formats}\r\nc=IN IP4 0.0.0.0\r\n", section.media, section.protocol);
        text += "a=ice-ufrag:clie\r\na=ice-pwd:clientPassword0123456789\r\n";
        text += &format!("a=fingerprint:{FINGERPRINT}\r\na=setup:active\r\na=mid:{mid}\r\n");
        if section.kind == Some(MediaKind::Application) {
            text += "a=sctp-port:5000\r\n";
            continue;
        }
        for extension in &section.extensions {
            text += &format!("a=extmap:{} {}\r\n", extension.id, extension.uri);
        }
        text += if section.direction.sends() { "a=recvonly\r\n" } else { "a=inactive\r\n" };
        text += "a=rtcp-mux\r\n";
        text += &media;
    }
    text
}

fn answered(offerer: &mut Offerer) -> (Offer, AnswerSummary) {
    let offer = offer(offerer);
    let answer = answer_to(&offer.sdp, &["VP8", "VP9", "H264", "AV1"]);
    offerer.check_id(offer.id).unwrap();
    let summary = offerer.accept_answer(&answer).expect("the answer is good");
    (offer, summary)
}

#[test]
fn the_first_offer_has_data_channels_and_a_transport() {
    let mut offerer = offerer();
    assert!(offerer.needs_offer(), "the connection itself is wanted");
    let offer = offer(&mut offerer);
    assert_eq!(offer.id, 1);
    let read = read(&offer.sdp);
    assert!(read.ice_lite);
    let [data] = &read.sections[..] else { panic!("one section") };
    assert_eq!(data.kind, Some(MediaKind::Application));
    assert_eq!(data.transport.setup, Some(Setup::ActPass));
    assert_eq!((data.sctp_port, data.max_message_size), (Some(5000), Some(262_144)));
    assert_eq!(offer.sdp.matches("a=candidate:").count(), 2);
    assert!(!offerer.needs_offer() && offerer.is_waiting());
}

#[test]
fn a_track_is_offered_with_its_names_and_sources_and_taken_as_the_client_answers() {
    let mut offerer = offerer();
    let voice = offerer.bind(track(MediaKind::Audio, 1)).unwrap();
    let picture = offerer.bind(track(MediaKind::Video, 2)).unwrap();
    assert!(offerer.carries("TR_2") && !offerer.carries("TR_3"));
    assert!(offerer.send_section(picture).unwrap().codecs.is_empty(), "nothing is known yet");
    let offer = offer(&mut offerer);
    assert_eq!(offer.mid_to_track_id["2"], "TR_2");
    let description = read(&offer.sdp);
    let video = section(&description, "2");
    assert_eq!((video.direction, video.msid), (Direction::SendOnly, Some(("PA_alice|camera", Some("TR_2")))));
    assert_eq!(video.ssrc_groups, [("FID", vec![1002, 2002])]);
    assert!(video.rtcp_mux && video.rtcp_rsize && video.extmap_allow_mixed);
    assert!(video.payloads[0].feedback.nack && video.payloads[0].feedback.transport_cc);

    let summary = offerer.accept_answer(&answer_to(&offer.sdp, &["VP8", "H264"])).unwrap();
    assert_eq!((summary.taken, summary.refused), (vec![voice, picture], Vec::new()));
    assert_eq!((summary.ice_ufrag.as_str(), summary.setup), ("clie", Setup::Active));
    let send = offerer.send_section(picture).unwrap();
    let kinds: Vec<CodecKind> = send.codecs.iter().map(|codec| codec.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == CodecKind::Vp8).count(), 1);
    assert!(!kinds.contains(&CodecKind::Av1) && kinds.contains(&CodecKind::H264));
    assert_eq!(send.codecs[0].rtx_payload_type, Some(97));
    assert!(send.extensions.id(ExtensionKind::TransportCc).is_some());
    assert!(send.extensions.id(ExtensionKind::Rid).is_none());
    assert!(!offerer.needs_offer());
}

#[test]
fn changes_wait_for_the_answer_and_then_go_into_one_more_offer() {
    let mut offerer = offerer();
    let first = offer(&mut offerer);
    assert_eq!(offerer.bind(track(MediaKind::Audio, 1)), None);
    assert!(offerer.offer(&local(&[])).is_none(), "one at a time");
    assert_eq!(offerer.check_id(7), Err(AnswerIgnored::Stale));
    offerer.check_id(0).expect("older clients have no ids");
    let summary = offerer.accept_answer(&answer_to(&first.sdp, &[])).expect("an answer to what was offered");
    assert!(summary.taken.is_empty());
    assert_eq!(offerer.check_id(1), Err(AnswerIgnored::Unexpected));
    offerer.bind(track(MediaKind::Audio, 1)).unwrap();
    assert!(offerer.needs_offer());
    let (second, summary) = answered(&mut offerer);
    assert_eq!((second.id, summary.taken), (2, indices([1])));
}

#[test]
fn a_section_whose_track_is_gone_ends_and_its_place_is_taken_by_another() {
    let mut offerer = offerer();
    let first = offerer.bind(track(MediaKind::Video, 1)).unwrap();
    answered(&mut offerer);
    offerer.unbind(first);
    let other = offerer.bind(track(MediaKind::Video, 2)).unwrap();
    assert_ne!(first, other, "the client has not yet heard that the first is free");
    let (offer, summary) = answered(&mut offerer);
    assert_eq!((read(&offer.sdp).sections[1].port, summary.taken), (0, vec![other]));
    assert_eq!(offerer.bind(track(MediaKind::Video, 3)), Some(first));
    let (offer, summary) = answered(&mut offerer);
    assert_eq!(summary.taken, [first]);
    assert_eq!(offer.mid_to_track_id["3"], "TR_3", "a receiver of its own");
    assert_eq!(offerer.section_count(), 3);
}

#[test]
fn a_track_that_the_client_cannot_take_is_refused_and_its_place_is_used_again_under_another_name() {
    let mut offerer = offerer();
    let picture = offerer.bind(track(MediaKind::Video, 1)).unwrap();
    let first = offer(&mut offerer);
    let without = answer_to(&first.sdp, &["VP8"])
        .replace("m=video 9", "m=video 0")
        .replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0");
    let summary = offerer.accept_answer(&without).unwrap();
    assert_eq!(summary.refused, [(picture, track(MediaKind::Video, 1))]);
    assert!(!offerer.carries("TR_1") && !offerer.needs_offer());
    assert_eq!(offerer.bind(track(MediaKind::Audio, 2)), Some(picture));
    let (offer, summary) = answered(&mut offerer);
    assert_eq!(summary.taken, [picture]);
    assert_eq!(offer.mid_to_track_id["2"], "TR_2");
    assert_eq!(read(&offer.sdp).sections.len(), 2);
}

#[test]
fn answers_that_are_none_are_refused_and_change_nothing() {
    let mut offerer = offerer();
    offerer.bind(track(MediaKind::Video, 1)).unwrap();
    let first = offer(&mut offerer);
    let good = answer_to(&first.sdp, &["VP8"]);
    let refusals = [
        (good.replace("a=setup:active", "a=setup:passive"), SdpError::SetupUnsupported),
        (good.replace("a=setup:active", "a=setup:actpass"), SdpError::SetupUnsupported),
        (good.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n"), SdpError::IceLite),
        (good.replace("a=mid:1", "a=mid:7"), SdpError::MidChanged { section: 1 }),
        (good.replace("m=video 9", "m=audio 9"), SdpError::KindChanged { section: 1 }),
        (good.replace("a=fingerprint", "a=nothing"), SdpError::FingerprintMissing),
        (good.replace("a=group", "a=nothing"), SdpError::BundleMissing),
        (good[..good.find("m=video").unwrap()].to_owned(), SdpError::SectionCount { sections: 1, before: 2 }),
    ];
    for (answer, error) in refusals {
        assert_eq!(offerer.accept_answer(&answer), Err(error));
        assert!(offerer.is_waiting());
    }
    assert_eq!(offerer.accept_answer(&good).unwrap().taken, indices([1]));
    let second = {
        offerer.abandon_offer();
        offer(&mut offerer)
    };
    let other = answer_to(&second.sdp, &["VP8"]).replace("00:01:02", "99:01:02");
    assert_eq!(offerer.accept_answer(&other), Err(SdpError::FingerprintChanged));
}

#[test]
fn payload_types_and_extension_ids_have_one_meaning_in_all_sections() {
    let mut offerer = offerer();
    for number in 0..3 {
        offerer.bind(track(MediaKind::Audio, 2 * number)).unwrap();
        offerer.bind(track(MediaKind::Video, 2 * number + 1)).unwrap();
    }
    let offer = offer(&mut offerer);
    let description = read(&offer.sdp);
    let mut meanings = std::collections::HashMap::new();
    let mut ids = std::collections::HashMap::new();
    for section in &description.sections {
        for payload in &section.payloads {
            let meaning = (payload.encoding, payload.fmtp);
            assert_eq!(*meanings.entry(payload.payload_type).or_insert(meaning), meaning);
        }
        for extension in &section.extensions {
            assert_eq!(*ids.entry(extension.id).or_insert(extension.uri), extension.uri);
            assert!(extension.id <= 14, "one-byte headers");
        }
    }
    // A client that offered this would be understood as we mean it.
    let mut negotiator = negotiator();
    negotiator.accept_offer(&offer.sdp.replace("a=ice-lite\r\n", "")).expect("it reads as an offer");
    assert_eq!(negotiator.receiving().count(), 6);
}

#[test]
fn sections_are_as_long_as_they_are_taken_to_be_and_sound_has_a_share_of_its_own() {
    let limits = ParseLimits { bytes: 60_000, sections: 1000 };
    let mut offerer = Offerer::new(NegotiatorSettings { limits, ..NegotiatorSettings::default() });
    let pictures =
        (0..1000).take_while(|number| offerer.bind(track(MediaKind::Video, *number)).is_some()).count();
    assert!((8..14).contains(&pictures), "{pictures}");
    let sounds =
        (0..1000).take_while(|number| offerer.bind(track(MediaKind::Audio, *number)).is_some()).count();
    assert!(sounds >= 5, "{sounds}");
    let text = offer(&mut offerer).sdp;
    assert!(text.len() <= limits.bytes, "{}", text.len());
    for section in text.split("\r\nm=").skip(1) {
        let kind = if section.starts_with("audio") { MediaKind::Audio } else { MediaKind::Video };
        if !section.starts_with("application") {
            let (real, taken) = (section.len() + 4, section_bytes(kind));
            assert!(real <= taken && 2 * real > taken, "{real} bytes, taken for {taken}");
        }
    }
}

#[test]
fn sections_are_bounded() {
    let limits = ParseLimits { bytes: 1 << 20, sections: 4 };
    let mut offerer = Offerer::new(NegotiatorSettings { limits, ..NegotiatorSettings::default() });
    for number in 0..3 {
        assert!(offerer.bind(track(MediaKind::Audio, number)).is_some());
    }
    assert!(offerer.bind(track(MediaKind::Audio, 3)).is_none());
}
