//! Offers that follow offers.

use super::*;

/// An offer of a client like Chromium's with so many more free sections.
fn with_more_video(offer: &str, more: usize) -> String {
    let template = lines(CHROMIUM_FIRST, "5").join("\r\n");
    let known = read(offer).sections.len();
    let mut grown = offer.to_owned();
    for mid in known..known + more {
        grown.push_str(&format!("m={}\r\n", template.replace("a=mid:5", &format!("a=mid:{mid}"))));
        let bundle = offer.lines().find(|line| line.starts_with("a=group:BUNDLE")).expect("it is bundled");
        let mids: String = (known..=mid).map(|mid| format!(" {mid}")).collect();
        grown = grown
            .lines()
            .map(|line| {
                if line.starts_with("a=group:BUNDLE") {
                    format!("{bundle}{mids}\r\n")
                } else {
                    format!("{line}\r\n")
                }
            })
            .collect();
    }
    grown
}

/// One round of the protocol with an unchanged offer.
fn round(negotiator: &mut Negotiator, offer: &str) -> Answer {
    negotiator.accept_offer(offer).expect("the offer is good");
    answer(negotiator)
}

#[test]
fn the_same_offer_again_changes_nothing() {
    for (name, offer) in OFFERS {
        let mut negotiator = after(offer);
        negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
        let first = answer(&mut negotiator);
        let summary = negotiator.accept_offer(offer).expect("the offer is good");
        assert!(!summary.changed && !summary.ice_restart && summary.lost.is_empty(), "{name}");
        let second = answer(&mut negotiator);
        let body = |answer: &Answer| answer.sdp.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(body(&first), body(&second), "{name}");
        // The version counts up (RFC 8866 §5.2).
        assert_ne!(first.sdp, second.sdp, "{name}");
    }
}

#[test]
fn publishing_adds_sections_and_keeps_what_is_bound() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let index = negotiator.bind(track(MediaKind::Video, 1)).expect("a section is free");
    answer(&mut negotiator);
    let summary = negotiator.accept_offer(CHROMIUM_VP8).expect("the offer is good");
    // livekit-client asks for stereo in every audio section from its second offer on.
    assert_eq!(summary.changed_sections, indices([0, 1, 2, 7, 8]));
    assert_eq!(negotiator.receiving().count(), 2);
    assert_eq!(answer(&mut negotiator).mid_to_track_id["3"], "TR_1");
    assert!(negotiator.send_section(index).is_some());
}

#[test]
fn a_track_that_stops_leaves_its_section() {
    let mut negotiator = after(CHROMIUM_VP8);
    let head = CHROMIUM_VP8.rfind("a=sendonly").expect("video is published");
    let stopped =
        format!("{}a=inactive{}", &CHROMIUM_VP8[..head], &CHROMIUM_VP8[head + "a=sendonly".len()..]);
    let summary = negotiator.accept_offer(&stopped).expect("the offer is good");
    assert_eq!(summary.changed_sections, indices([8]));
    assert_eq!(negotiator.receiving().map(|receive| receive.index).collect::<Vec<_>>(), indices([7]));
    assert!(negotiator.receive_section(SectionIndex(8)).is_some_and(|receive| !receive.active));
    let sdp = answer(&mut negotiator).sdp;
    assert!(lines(&sdp, "8").contains(&"a=inactive"));
    assert!(!lines(&sdp, "8").iter().any(|line| line.starts_with("a=simulcast")));
}

#[test]
fn a_client_that_no_longer_receives_gives_the_track_back() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let index = negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
    answer(&mut negotiator);
    let refusing = CHROMIUM_FIRST.replacen("a=recvonly", "a=inactive", 1);
    let summary = negotiator.accept_offer(&refusing).expect("the offer is good");
    assert_eq!(summary.lost, [(index, track(MediaKind::Audio, 1))]);
    assert_eq!(negotiator.sending().count(), 0);
    assert_eq!(negotiator.free(MediaKind::Audio), 2);
    assert!(answer(&mut negotiator).mid_to_track_id.is_empty());
    // It changes its mind, and the section is used again, first.
    negotiator.accept_offer(CHROMIUM_FIRST).expect("the offer is good");
    assert_eq!(negotiator.free(MediaKind::Audio), 3);
    assert_eq!(negotiator.bind(track(MediaKind::Audio, 2)), Some(index));
}

#[test]
fn a_stopped_section_may_become_another_one() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let index = negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
    answer(&mut negotiator);
    let stopped = CHROMIUM_FIRST.replacen("m=audio 9", "m=audio 0", 1).replace("BUNDLE 0 1", "BUNDLE 1");
    let summary = negotiator.accept_offer(&stopped).expect("the offer is good");
    assert_eq!(summary.lost.len(), 1);
    let sdp = answer(&mut negotiator).sdp;
    assert_eq!(read(&sdp).sections[0].port, 0);

    // Its place is taken by a video section with a mid of its own.
    let first_section = lines(CHROMIUM_FIRST, "0").join("\r\n");
    let video = lines(CHROMIUM_FIRST, "5").join("\r\n").replace("a=mid:5", "a=mid:7");
    let recycled = CHROMIUM_FIRST.replacen(&first_section, &video, 1).replace("BUNDLE 0 1", "BUNDLE 7 1");
    let summary = negotiator.accept_offer(&recycled).expect("the offer is good");
    assert_eq!(summary.changed_sections, indices([0]));
    assert_eq!((negotiator.free(MediaKind::Audio), negotiator.free(MediaKind::Video)), (2, 4));
    assert_eq!(negotiator.bind(track(MediaKind::Video, 2)), Some(index));
    assert_eq!(answer(&mut negotiator).mid_to_track_id["7"], "TR_2");
}

#[test]
fn sections_keep_their_number_and_identity() {
    let code = |offer: &str| after(CHROMIUM_VP8).accept_offer(offer).map_err(|error| error.code()).err();
    assert_eq!(code(CHROMIUM_FIRST), Some("section-count"));
    assert_eq!(code(&CHROMIUM_VP8.replace("a=mid:3", "a=mid:33")), Some("mid-changed"));
    // Audio section 2 and video section 3 in each other's place.
    let (audio, video) = (lines(CHROMIUM_VP8, "2").join("\r\n"), lines(CHROMIUM_VP8, "3").join("\r\n"));
    let swapped = CHROMIUM_VP8.replace(&audio, "?").replace(&video, &audio).replace('?', &video);
    assert_eq!(code(&swapped), Some("mid-changed"));
    let renamed =
        swapped.replace("a=mid:2", "a=mid:*").replace("a=mid:3", "a=mid:2").replace("a=mid:*", "a=mid:3");
    assert_eq!(code(&renamed), Some("kind-changed"));
}

#[test]
fn ice_restarts_are_seen_and_other_certificates_refused() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let restarted = CHROMIUM_FIRST.replace("b5gE", "c6hF");
    let summary = negotiator.accept_offer(&restarted).expect("the offer is good");
    assert!(summary.ice_restart && !summary.changed);
    assert_eq!(summary.ice_ufrag, "c6hF");
    assert!(!negotiator.accept_offer(&restarted).expect("the offer is good").ice_restart);
    let other = restarted.replace("5E:55:64", "5E:55:65");
    assert_eq!(negotiator.accept_offer(&other).map_err(|error| error.code()), Err("fingerprint-changed"));
}

#[test]
fn a_section_changes_its_track_only_after_it_rested() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let first = negotiator.bind(track(MediaKind::Video, 1)).expect("a section is free");
    answer(&mut negotiator);
    negotiator.unbind(first);
    assert!(negotiator.needs_offer());
    // The client still believes the section sends the first track.
    let second = negotiator.bind(track(MediaKind::Video, 2)).expect("a section is free");
    assert_ne!(first, second);
    let resting = round(&mut negotiator, CHROMIUM_FIRST);
    assert!(lines(&resting.sdp, "3").contains(&"a=inactive"));
    assert!(!negotiator.needs_offer());
    assert_eq!(negotiator.bind(track(MediaKind::Video, 3)), Some(first));
    assert!(negotiator.needs_offer());
}

#[test]
fn a_section_that_carried_a_track_before_comes_first() {
    let first_rests = CHROMIUM_FIRST.replacen("a=recvonly", "a=inactive", 1);
    let mut negotiator = after(&first_rests);
    let index = negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
    assert_eq!(index, SectionIndex(1));
    answer(&mut negotiator);
    negotiator.unbind(index);
    // Section 0 is free now too, but never was used.
    round(&mut negotiator, CHROMIUM_FIRST);
    assert_eq!(negotiator.bind(track(MediaKind::Audio, 2)), Some(index));
    assert_eq!(negotiator.bind(track(MediaKind::Audio, 3)), Some(SectionIndex(0)));
}

#[test]
fn a_track_that_was_never_announced_frees_its_section_at_once() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let index = negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
    negotiator.unbind(index);
    assert!(!negotiator.needs_offer());
    assert_eq!(negotiator.bind(track(MediaKind::Audio, 2)), Some(index));
}

#[test]
fn a_hundred_turns_need_no_more_sections_than_were_in_use_at_once() {
    let mut negotiator = after(CHROMIUM_FIRST);
    let mut used = std::collections::BTreeSet::new();
    for turn in 0..100 {
        let indices: Vec<_> = (0..2)
            .map(|number| {
                negotiator.bind(track(MediaKind::Video, 2 * turn + number)).expect("a section is free")
            })
            .collect();
        let subscribed = round(&mut negotiator, CHROMIUM_FIRST);
        assert_eq!(subscribed.mid_to_track_id.len(), 2);
        used.extend(indices.iter().copied());
        for index in indices {
            negotiator.unbind(index);
        }
        assert!(round(&mut negotiator, CHROMIUM_FIRST).mid_to_track_id.is_empty());
    }
    assert_eq!(used.len(), 2);
    assert_eq!(negotiator.section_count(), 7);
}

#[test]
fn more_sections_are_used_when_the_client_offers_them() {
    let mut negotiator = after(CHROMIUM_FIRST);
    for number in 0..3 {
        assert!(negotiator.bind(track(MediaKind::Video, number)).is_some());
    }
    assert_eq!(negotiator.bind(track(MediaKind::Video, 3)), None);
    assert_eq!(negotiator.bind(track(MediaKind::Application, 3)), None);
    let grown = with_more_video(CHROMIUM_FIRST, 2);
    let summary = negotiator.accept_offer(&grown).expect("the offer is good");
    assert_eq!(summary.changed_sections, indices([7, 8]));
    assert_eq!(negotiator.bind(track(MediaKind::Video, 3)), Some(SectionIndex(7)));
    assert_eq!(answer(&mut negotiator).mid_to_track_id.len(), 4);
}

#[test]
fn both_ways_on_one_section_is_answered_so() {
    let both = CHROMIUM_VP8.replace("a=sendonly", "a=sendrecv");
    let mut negotiator = after(&both);
    assert_eq!(negotiator.free(MediaKind::Audio), 4);
    for number in 0..4 {
        negotiator.bind(track(MediaKind::Audio, number)).expect("a section is free");
    }
    let sdp = answer(&mut negotiator).sdp;
    assert!(lines(&sdp, "7").contains(&"a=sendrecv"));
    assert!(lines(&sdp, "8").contains(&"a=recvonly"));
    assert_eq!(negotiator.receiving().count(), 2);
}

#[test]
fn equal_sections_share_their_codecs() {
    let negotiator = after(CHROMIUM_FIRST);
    let codecs =
        |index| &negotiator.receive_section(SectionIndex(index)).expect("the section is taken").codecs;
    assert!(std::sync::Arc::ptr_eq(codecs(3), codecs(5)));
}

#[test]
fn a_client_is_asked_for_no_more_sections_than_an_offer_may_have() {
    let limits = crate::config::Limits::default();
    let settings = NegotiatorSettings {
        limits: ParseLimits { bytes: limits.sdp_bytes, sections: limits.media_sections },
        ..NegotiatorSettings::default()
    };
    let mut negotiator = Negotiator::new(settings);
    negotiator.accept_offer(CHROMIUM_FIRST).expect("the offer is good");
    assert_eq!(negotiator.affordable(100, 100), (100, 100), "a meeting of a hundred fits");
    let (audios, videos) = negotiator.affordable(1000, 1000);
    assert!(audios > 900 && videos == 0, "sound comes first: {audios}, {videos}");
    assert!(negotiator.affordable(0, 1000).1 < 150, "and pictures leave room for it");
    let (audios, videos) = negotiator.affordable(199, 199);
    assert!(audios == 199 && (110..150).contains(&videos), "{videos}");
    let grown = with_more_video(CHROMIUM_FIRST, videos);
    negotiator.accept_offer(&grown).expect("so many fit");
    assert!(negotiator.affordable(0, 100).1 < 60, "and what is there counts");
}
