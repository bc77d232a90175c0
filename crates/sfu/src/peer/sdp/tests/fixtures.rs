//! What recorded offers mean and how they are answered.

use rtp::codec::CodecKind;
use rtp::extension::ExtensionKind;

use super::super::{Direction, HashAlgorithm, Preferences, Setup};
use super::*;

#[test]
fn every_recorded_offer_is_answered_section_by_section() {
    for (name, offer) in OFFERS {
        let mut negotiator = after(offer);
        let answer = answer(&mut negotiator).sdp;
        let (offered, answered) = (read(offer), read(&answer));
        assert!(answered.ice_lite, "{name}");
        assert_eq!(answered.bundle_groups, offered.bundle_groups, "{name}");
        assert_eq!(answered.sections.len(), offered.sections.len(), "{name}");
        for (ours, theirs) in answered.sections.iter().zip(&offered.sections) {
            assert_eq!((ours.mid, ours.kind), (theirs.mid, theirs.kind), "{name}");
            assert_ne!(ours.port, 0, "{name}");
            assert!(!ours.bundle_only, "{name}");
            assert_eq!(ours.transport.setup, Some(Setup::Passive), "{name}");
            assert_eq!(ours.transport.ice_ufrag, Some(UFRAG), "{name}");
            assert_eq!(ours.transport.ice_pwd, Some(PASSWORD), "{name}");
            assert_eq!(ours.rtcp_rsize, theirs.rtcp_rsize, "{name}");
            if theirs.kind == Some(MediaKind::Application) {
                assert_eq!((ours.sctp_port, ours.max_message_size), (Some(5000), Some(262_144)), "{name}");
                continue;
            }
            assert!(ours.rtcp_mux, "{name}");
            // Nothing is bound: what the client sends is received, everything else rests.
            let direction = if theirs.direction.sends() { Direction::RecvOnly } else { Direction::Inactive };
            assert_eq!(ours.direction, direction, "{name}");
            assert!(ours.msid.is_none() && ours.ssrcs.is_empty(), "{name}");
            for payload in &ours.payloads {
                let offered = theirs
                    .payloads
                    .iter()
                    .find(|offered| offered.payload_type == payload.payload_type)
                    .expect("only offered payload types are answered");
                assert!(offered.encoding.eq_ignore_ascii_case(payload.encoding), "{name}");
                assert_eq!(offered.feedback, payload.feedback, "{name}");
                assert!(!["ulpfec", "flexfec-03"].contains(&payload.encoding), "{name}");
            }
            for extension in &ours.extensions {
                let offered = theirs
                    .extensions
                    .iter()
                    .find(|offered| offered.id == extension.id && offered.uri == extension.uri)
                    .expect("only offered extensions are answered");
                assert_eq!(extension.direction, offered.direction.map(Direction::reversed), "{name}");
            }
        }
    }
}

#[test]
fn the_first_section_alone_has_candidates_and_the_first_one_is_preferred() {
    let answer = answer(&mut after(CHROMIUM_FIRST)).sdp;
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(
        candidates,
        [
            "a=candidate:1 1 udp 2130706431 192.0.2.1 7880 typ host",
            "a=candidate:2 1 udp 2130706175 127.0.0.1 7880 typ host",
        ]
    );
    assert!(lines(&answer, "0").contains(&candidates[0]));
    assert!(lines(&answer, "0").contains(&"a=end-of-candidates"));
}

#[test]
fn the_transport_of_chromiums_offer_is_understood() {
    let summary = negotiator().accept_offer(CHROMIUM_FIRST).expect("the offer is good");
    assert_eq!(summary.ice_ufrag, "b5gE");
    assert_eq!(summary.ice_pwd, "Ql6W7b7ftl6ZfTQJ1vzNzdX1");
    assert!(!summary.ice_restart);
    assert_eq!(summary.setup, Setup::ActPass);
    let (algorithm, digest) = &summary.fingerprint;
    assert_eq!((*algorithm, digest.len()), (HashAlgorithm::Sha256, 32));
    assert_eq!((digest[0], digest[31]), (0x5e, 0xe5));
    assert!(summary.has_data);
    assert_eq!((summary.sctp_port, summary.max_message_size), (5000, 262_144));
    assert!(summary.changed);
    assert_eq!(summary.changed_sections, indices(0..7));
    assert!(summary.lost.is_empty());
}

#[test]
fn the_transport_of_firefoxs_offer_is_understood() {
    // The fingerprint stands at the session level, and most sections are bundle-only with port 0.
    let summary = negotiator().accept_offer(FIREFOX_FIRST).expect("the offer is good");
    assert_eq!(summary.ice_ufrag.len(), 8);
    assert_eq!(summary.ice_pwd.len(), 32);
    assert_eq!(summary.fingerprint.0, HashAlgorithm::Sha256);
    assert_eq!((summary.has_data, summary.max_message_size), (true, 1_073_741_823));
}

#[test]
fn first_offers_have_three_free_sections_of_each_kind() {
    for offer in [CHROMIUM_FIRST, NODE_FIRST, PYTHON_FIRST, FIREFOX_FIRST] {
        let negotiator = after(offer);
        assert_eq!(negotiator.free(MediaKind::Audio), 3);
        assert_eq!(negotiator.free(MediaKind::Video), 3);
        assert_eq!(negotiator.free(MediaKind::Application), 0);
        assert_eq!(negotiator.receiving().count(), 0);
        assert_eq!(negotiator.section_count(), 7);
        assert!(!negotiator.needs_offer());
    }
}

#[test]
fn a_published_simulcast_of_chromium_is_received_in_its_layers() {
    let mut negotiator = after(CHROMIUM_VP8);
    let published: Vec<_> = negotiator.receiving().cloned().collect();
    let [audio, video] = published.as_slice() else { panic!("two tracks are published") };

    assert_eq!((audio.index, audio.mid.as_str(), audio.kind), (SectionIndex(7), "7", MediaKind::Audio));
    assert_eq!(audio.stream_id.as_deref(), Some("7a648b33-1c0c-4d81-ba64-706c768e3a19"));
    assert_eq!(audio.track_id.as_deref(), Some("6b9254a6-c992-4c3a-b326-bdaed8d6148a"));
    assert_eq!(audio.ssrcs, [45412864]);
    assert!(audio.rtx_pairs.is_empty() && audio.rids.is_empty() && audio.active);
    assert_eq!(audio.codecs.len(), 2);
    assert_eq!((audio.codecs[1].kind, audio.codecs[1].fmtp.as_str()), (CodecKind::Red, "111/111"));
    assert_eq!((audio.codecs[0].kind, audio.codecs[0].payload_type), (CodecKind::Opus, 111));
    assert_eq!(audio.codecs[0].fmtp, "minptime=10;useinbandfec=1;stereo=1");
    assert_eq!(audio.extensions.id(ExtensionKind::AudioLevel), Some(1));

    assert_eq!(video.rids, ["q", "h", "f"]);
    assert!(video.ssrcs.is_empty());
    let codecs: Vec<_> =
        video.codecs.iter().map(|codec| (codec.kind, codec.payload_type, codec.rtx_payload_type)).collect();
    assert_eq!(
        codecs,
        [
            (CodecKind::Vp8, 96, Some(97)),
            (CodecKind::H264, 102, Some(103)),
            (CodecKind::H264, 104, Some(107)),
            (CodecKind::H264, 108, Some(109)),
            (CodecKind::H264, 114, Some(115)),
            (CodecKind::H264, 116, Some(117)),
            (CodecKind::H264, 39, Some(40)),
            (CodecKind::Av1, 45, Some(46)),
            (CodecKind::Vp9, 98, Some(99)),
            (CodecKind::Vp9, 100, Some(101)),
        ]
    );
    let vp8 = &video.codecs[0];
    assert!(vp8.nack && vp8.pli && vp8.fir && vp8.transport_cc && vp8.remb);
    assert_eq!(video.codecs[8].parameter("profile-id"), Some("0"));
    for (kind, id) in [
        (ExtensionKind::AbsSendTime, 2),
        (ExtensionKind::TransportCc, 3),
        (ExtensionKind::Mid, 4),
        (ExtensionKind::Rid, 10),
        (ExtensionKind::RepairedRid, 11),
        (ExtensionKind::DependencyDescriptor, 12),
    ] {
        assert_eq!(video.extensions.id(kind), Some(id));
        assert_eq!(negotiator.extensions().id(kind), Some(id));
    }
    assert_eq!(video.extensions.id(ExtensionKind::PlayoutDelay), None);

    let answer = answer(&mut negotiator).sdp;
    let video = lines(&answer, "8");
    assert_eq!(
        video[0],
        "video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104 107 108 109 114 115 116 117 39 40 45 46 98 99 100 101"
    );
    for line in [
        "a=recvonly",
        "a=rid:q recv",
        "a=rid:h recv",
        "a=rid:f recv",
        "a=simulcast:recv q;h;f",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=fmtp:96 x-google-start-bitrate=1000",
        "a=fmtp:97 apt=96",
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    ] {
        assert!(video.contains(&line), "{line}");
    }
}

#[test]
fn a_single_stream_with_scalable_layers_is_known_by_its_sources() {
    for (offer, pair) in [(CHROMIUM_VP9, (396473971, 887386465)), (CHROMIUM_AV1, (2657079784, 3395135047))] {
        let negotiator = after(offer);
        let video = negotiator.receiving().nth(1).expect("video is published");
        assert_eq!(video.ssrcs, [pair.0]);
        assert_eq!(video.rtx_pairs, [pair]);
        assert!(video.rids.is_empty() && video.sim_group.is_empty());
    }
}

#[test]
fn a_client_that_offers_one_codec_gets_it() {
    // libwebrtc's SDKs offer a track with the codec it is published in, layers from the highest.
    let mut negotiator = after(PYTHON_PUBLISH);
    let video = negotiator.receiving().nth(1).expect("video is published");
    assert_eq!(video.stream_id, None);
    assert_eq!(video.track_id.as_deref(), Some("d8479233-e30c-490d-b5ce-a618f6ea94b2"));
    assert_eq!(video.rids, ["h", "q"]);
    assert_eq!(video.codecs.len(), 1);
    assert_eq!(video.codecs[0].rtx_payload_type, None);
    let answer = answer(&mut negotiator).sdp;
    assert_eq!(lines(&answer, "8")[0], "video 9 UDP/TLS/RTP/SAVPF 96");
    assert!(lines(&answer, "8").contains(&"a=simulcast:recv h;q"));
}

#[test]
fn a_published_simulcast_of_firefox_is_received_in_its_layers() {
    let mut negotiator = after(FIREFOX_PUBLISH);
    let video = negotiator.receiving().nth(1).expect("video is published").clone();
    assert_eq!(video.track_id.as_ref().map(|id| (id.len(), id.starts_with('{'))), Some((38, true)));
    assert_eq!(video.rids, ["q", "h", "f"]);
    assert_eq!(video.ssrcs.len(), 3);
    assert_eq!(video.rtx_pairs.iter().map(|(media, _)| *media).collect::<Vec<_>>(), video.ssrcs);
    let codecs: Vec<_> = video.codecs.iter().map(|codec| (codec.kind, codec.payload_type)).collect();
    assert_eq!(codecs, [(CodecKind::Vp8, 120), (CodecKind::Vp9, 121), (CodecKind::Av1, 99)]);

    let answer = answer(&mut negotiator).sdp;
    let lines = lines(&answer, "8");
    for line in [
        "a=recvonly",
        "a=simulcast:recv q;h;f",
        // Offered `/sendonly`; a verbatim copy would switch the layer names off.
        "a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:10/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "a=extmap-allow-mixed",
        // Its own limits as a receiver do not come back as limits on what it sends.
        "a=fmtp:120 x-google-start-bitrate=1000",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    assert!(!lines.iter().any(|line| line.starts_with("a=fmtp:121")));
}

#[test]
fn sources_that_firefox_declares_for_its_reports_are_not_publications() {
    let negotiator = after(FIREFOX_FIRST);
    let resting = negotiator.receive_section(SectionIndex(0)).expect("the section is taken");
    assert!(!resting.active && resting.ssrcs.is_empty());
}

#[test]
fn a_bound_track_is_named_in_every_way_clients_look_for() {
    for offer in [CHROMIUM_VP8, FIREFOX_PUBLISH] {
        let mut negotiator = after(offer);
        assert_eq!(negotiator.bind(track(MediaKind::Audio, 1)), Some(SectionIndex(0)));
        assert_eq!(negotiator.bind(track(MediaKind::Video, 2)), Some(SectionIndex(3)));
        let Answer { sdp, mid_to_track_id } = answer(&mut negotiator);

        assert_eq!(mid_to_track_id.len(), 2);
        assert_eq!(mid_to_track_id["0"], "TR_1");
        assert_eq!(mid_to_track_id["3"], "TR_2");
        let audio = lines(&sdp, "0");
        for line in ["a=sendonly", "a=msid:PA_alice|camera TR_1", "a=ssrc:1001 cname:alice"] {
            assert!(audio.contains(&line), "{line}");
        }
        assert!(!audio.iter().any(|line| line.starts_with("a=ssrc-group")));
        let video = lines(&sdp, "3");
        for line in [
            "a=sendonly",
            "a=msid:PA_alice|camera TR_2",
            "a=ssrc-group:FID 1002 2002",
            "a=ssrc:1002 cname:alice",
            "a=ssrc:2002 cname:alice",
        ] {
            assert!(video.contains(&line), "{line}");
        }
        assert!(lines(&sdp, "4").contains(&"a=inactive"));
    }
}

#[test]
fn a_bound_section_tells_the_payload_types_and_ids_of_its_client() {
    let mut negotiator = after(FIREFOX_PUBLISH);
    let index = negotiator.bind(track(MediaKind::Video, 1)).expect("a section is free");
    let send = negotiator.send_section(index).expect("it is bound");
    assert_eq!((send.mid.as_str(), send.kind, send.announced), ("3", MediaKind::Video, false));
    assert_eq!((send.codecs[0].payload_type, send.codecs[0].rtx_payload_type), (120, Some(124)));
    assert_eq!(send.extensions.id(ExtensionKind::TransportCc), Some(7));
    // What is sent is never simulcast.
    assert_eq!(send.extensions.id(ExtensionKind::Rid), None);
    let sending: Vec<_> = negotiator.sending().map(|(index, send)| (index, send.track.ssrc)).collect();
    assert_eq!(sending, [(index, 1001)]);
    answer(&mut negotiator);
    assert!(negotiator.send_section(index).is_some_and(|send| send.announced));
}

#[test]
fn opus_is_asked_for_as_its_track_needs_it() {
    let mut negotiator = after(CHROMIUM_VP8);
    let opus = |negotiator: &mut Negotiator, mid: &str| {
        let sdp = answer(negotiator).sdp;
        lines(&sdp, mid).iter().find(|line| line.starts_with("a=fmtp:111")).map(|line| line.to_string())
    };
    let speech = Some("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1".to_owned());
    assert_eq!(opus(&mut negotiator, "7"), speech);
    negotiator.prefer(SectionIndex(7), Preferences { dtx: false, stereo: true, ..Default::default() });
    assert_eq!(opus(&mut negotiator, "7"), Some("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1".to_owned()));
    negotiator.accept_offer(CHROMIUM_VP8).expect("the same offer is good again");
    assert_eq!(opus(&mut negotiator, "7"), Some("a=fmtp:111 minptime=10;useinbandfec=1;stereo=1".to_owned()));
    assert_eq!(opus(&mut negotiator, "0"), speech);
}

/// Chromium sends the first codec of an answer that it has.
#[test]
fn redundancy_comes_first_where_it_is_wanted_and_not_at_all_where_it_is_not() {
    let mut negotiator = after(CHROMIUM_VP8);
    let sound = |negotiator: &mut Negotiator, section: usize| {
        let answer = answer(negotiator).sdp;
        let read = read(&answer);
        let types: Vec<u8> =
            read.sections[section].payloads.iter().map(|payload| payload.payload_type).collect();
        (types, answer.contains("a=fmtp:63 111/111"))
    };
    negotiator.prefer(SectionIndex(7), Preferences { red: true, ..Default::default() });
    assert_eq!(sound(&mut negotiator, 7), (vec![63, 111], true));
    negotiator.prefer(SectionIndex(7), Preferences { red: false, ..Default::default() });
    assert_eq!(sound(&mut negotiator, 7).0, [111]);
    assert_eq!(sound(&mut negotiator, 0).0, [111, 63], "on what we send, as the client has it");
}

#[test]
fn redundancy_over_something_else_than_opus_is_not_taken() {
    let mut negotiator = after(&CHROMIUM_VP8.replace("a=fmtp:63 111/111", "a=fmtp:63 111/9"));
    let audio = negotiator.receiving().next().expect("sound is published");
    assert_eq!(audio.codecs.iter().map(|codec| codec.kind).collect::<Vec<_>>(), [CodecKind::Opus]);
    assert!(!answer(&mut negotiator).sdp.contains("red/48000"));
}

/// What a client was seen to accept bounds what it is answered.
#[test]
fn answers_agree_with_those_that_clients_accepted() {
    for (offer, accepted) in [(CHROMIUM_VP8, CHROMIUM_ANSWER), (PYTHON_PUBLISH, PYTHON_ANSWER)] {
        let mut negotiator = after(offer);
        negotiator.bind(track(MediaKind::Audio, 1)).expect("a section is free");
        negotiator.bind(track(MediaKind::Video, 2)).expect("a section is free");
        let ours = answer(&mut negotiator).sdp;
        let (ours, accepted) = (read(&ours), read(accepted));
        assert_eq!(ours.bundle_groups, accepted.bundle_groups);
        for (ours, accepted) in ours.sections.iter().zip(&accepted.sections) {
            assert_eq!(
                (ours.mid, ours.media, ours.protocol),
                (accepted.mid, accepted.media, accepted.protocol)
            );
            assert_eq!(ours.direction, accepted.direction);
            assert_eq!(ours.msid.is_some(), accepted.msid.is_some());
            assert_eq!(ours.rtcp_mux, accepted.rtcp_mux);
            assert_eq!(ours.ssrc_groups.len(), accepted.ssrc_groups.len());
            for ours in &ours.payloads {
                let theirs = accepted.payloads.iter().find(|theirs| theirs.payload_type == ours.payload_type);
                let Some(theirs) = theirs else {
                    // The accepted answers come from a libwebrtc without H264 in 4:4:4.
                    assert!(ours.fmtp.is_some_and(|fmtp| {
                        fmtp.ends_with("profile-level-id=f4001f") || ["apt=41", "apt=43"].contains(&fmtp)
                    }));
                    continue;
                };
                assert_eq!(
                    (ours.encoding, ours.clock_rate, ours.feedback),
                    (theirs.encoding, theirs.clock_rate, theirs.feedback)
                );
            }
            for extension in &ours.extensions {
                assert!(
                    accepted
                        .extensions
                        .iter()
                        .any(|theirs| { (theirs.id, theirs.uri) == (extension.id, extension.uri) })
                );
            }
        }
    }
}
