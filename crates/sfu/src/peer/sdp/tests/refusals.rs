//! What cannot be answered, and that a refusal changes nothing and harms nobody else.

use super::super::Direction;
use super::*;

/// The code with which a fresh negotiator refuses an offer.
fn code(offer: &str) -> Option<&'static str> {
    negotiator().accept_offer(offer).err().map(|error| error.code())
}

/// Chromium's first offer with one kind of line taken out.
fn without(prefix: &str) -> String {
    CHROMIUM_FIRST.lines().filter(|line| !line.starts_with(prefix)).flat_map(|line| [line, "\r\n"]).collect()
}

#[test]
fn every_missing_piece_has_its_code() {
    assert_eq!(code(CHROMIUM_FIRST), None);
    assert_eq!(code("v=0\r\n"), Some("no-sections"));
    assert_eq!(code(&without("a=group")), Some("bundle-missing"));
    assert_eq!(code(&without("a=rtcp-mux")), Some("rtcp-mux-missing"));
    assert_eq!(code(&without("a=fingerprint")), Some("fingerprint-missing"));
    assert_eq!(code(&without("a=ice-ufrag")), Some("ice-credentials-missing"));
    assert_eq!(code(&without("a=ice-pwd")), Some("ice-credentials-missing"));
    assert_eq!(code(&without("a=mid")), Some("mid-missing"));
    // Who says nothing about DTLS offers to be the client.
    assert_eq!(code(&without("a=setup")), None);
}

#[test]
fn every_wrong_piece_has_its_code() {
    let with = |from: &str, to: &str| code(&CHROMIUM_FIRST.replace(from, to));
    assert_eq!(with("a=fingerprint:sha-256", "a=fingerprint:sha-1"), Some("fingerprint-unsupported"));
    assert_eq!(with(":5E:55:64:", ":5E:55:"), None);
    assert_eq!(with("sha-256 5E:55:64:", "sha-256 5E:55:"), Some("fingerprint-unsupported"));
    assert_eq!(with("a=ice-ufrag:b5gE", "a=ice-ufrag:b5g"), Some("ice-credentials-invalid"));
    assert_eq!(with("a=ice-ufrag:b5gE", "a=ice-ufrag:b5 E"), Some("ice-credentials-invalid"));
    assert_eq!(with("a=ice-pwd:Ql6W7b7f", "a=ice-pwd:Q"), Some("ice-credentials-invalid"));
    assert_eq!(with("a=setup:actpass", "a=setup:passive"), Some("setup-unsupported"));
    assert_eq!(with("a=setup:actpass", "a=setup:active"), None);
    assert_eq!(with("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"), Some("ice-lite"));
    assert_eq!(with("a=mid:1\r\n", "a=mid:0\r\n"), Some("mid-duplicate"));
    assert_eq!(with("a=mid:1\r\n", "a=mid:a b\r\n"), Some("mid-invalid"));
    assert_eq!(with("a=mid:1\r\n", &format!("a=mid:{}\r\n", "1".repeat(33))), Some("mid-invalid"));
    assert_eq!(with("BUNDLE 0 1 2 3 4 5 6", "BUNDLE nothing"), Some("nothing-accepted"));
    // The audio level's id in the audio sections, another meaning in the video ones.
    assert_eq!(with("a=extmap:12 ", "a=extmap:1 "), Some("extension-conflict"));
}

#[test]
fn a_description_that_is_too_large_is_not_read() {
    let settings = |bytes, sections| NegotiatorSettings {
        limits: ParseLimits { bytes, sections },
        ..NegotiatorSettings::default()
    };
    let code = |bytes, sections| {
        Negotiator::new(settings(bytes, sections))
            .accept_offer(CHROMIUM_FIRST)
            .err()
            .map(|error| error.code())
    };
    assert_eq!(code(CHROMIUM_FIRST.len(), 7), None);
    assert_eq!(code(CHROMIUM_FIRST.len() - 1, 7), Some("too-large"));
    assert_eq!(code(CHROMIUM_FIRST.len(), 6), Some("too-many-sections"));
}

#[test]
fn a_refused_offer_changes_nothing() {
    let mut negotiator = after(CHROMIUM_VP8);
    negotiator.bind(track(MediaKind::Video, 1)).expect("a section is free");
    let before = answer(&mut negotiator);
    let refused = CHROMIUM_VP8.replacen("a=mid:5", "a=mid:55", 1).replace("b5gE", "otherFragment");
    assert_eq!(negotiator.accept_offer(&refused).map_err(|error| error.code()), Err("mid-changed"));
    assert_eq!(negotiator.accept_offer("rubbish").map_err(|error| error.code()), Err("malformed"));
    let after = answer(&mut negotiator);
    assert_eq!(after.mid_to_track_id, before.mid_to_track_id);
    assert_eq!(after.sdp.lines().skip(2).collect::<Vec<_>>(), before.sdp.lines().skip(2).collect::<Vec<_>>());
    let summary = negotiator.accept_offer(CHROMIUM_VP8).expect("the old offer is good again");
    assert!(!summary.changed && !summary.ice_restart);
}

#[test]
fn what_is_not_taken_is_rejected_alone() {
    let cases = [
        (
            "no common codec",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0 8\r\na=mid:x\r\na=rtcp-mux\r\na=rtpmap:0 PCMU/8000\r\n",
        ),
        (
            "unknown media",
            "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:x\r\na=rtcp-mux\r\na=rtpmap:98 t140/1000\r\n",
        ),
        ("unknown protocol", "m=audio 9 RTP/AVP 0\r\na=mid:x\r\n"),
        ("second data section", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:x\r\n"),
        ("old data channels", "m=application 9 DTLS/SCTP 5000\r\na=mid:x\r\n"),
        ("stopped", "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:x\r\na=rtpmap:111 opus/48000/2\r\n"),
    ];
    for (name, section) in cases {
        let offer = format!("{CHROMIUM_FIRST}{section}").replace("BUNDLE 0", "BUNDLE x 0");
        let mut negotiator = after(&offer);
        let answer = answer(&mut negotiator).sdp;
        let answered = read(&answer);
        assert_eq!(answered.sections.len(), 8, "{name}");
        assert_eq!(answered.bundle_groups, [["0", "1", "2", "3", "4", "5", "6"]], "{name}");
        let rejected = &answered.sections[7];
        let offered = read(&offer);
        assert_eq!((rejected.port, rejected.direction, rejected.mid), (0, Direction::Inactive, Some("x")));
        assert_eq!(
            (rejected.media, rejected.protocol, rejected.formats),
            (offered.sections[7].media, offered.sections[7].protocol, offered.sections[7].formats),
            "{name}"
        );
        assert!(answered.sections[..7].iter().all(|section| section.port == 9), "{name}");
        assert!(lines(&answer, "0").iter().any(|line| line.starts_with("a=candidate")), "{name}");
    }
}

#[test]
fn a_section_outside_the_group_is_rejected() {
    let mut negotiator = after(&CHROMIUM_FIRST.replace("BUNDLE 0 1", "BUNDLE 1"));
    let answer = answer(&mut negotiator).sdp;
    let answered = read(&answer);
    assert_eq!(answered.sections[0].port, 0);
    assert_eq!(answered.bundle_groups, [["1", "2", "3", "4", "5", "6"]]);
    // The candidates are where the group begins.
    assert!(lines(&answer, "1").contains(&"a=end-of-candidates"));
    assert_eq!(negotiator.free(MediaKind::Audio), 2);
}

#[test]
fn a_layer_without_a_taken_payload_type_is_refused() {
    let offer = CHROMIUM_VP8
        .replace("a=rid:q send", "a=rid:q send pt=118,119")
        .replace("a=rid:h send", "a=rid:h send pt=118,96;max-width=640");
    let mut negotiator = after(&offer);
    assert_eq!(
        negotiator.receiving().nth(1).map(|video| video.rids.clone()),
        Some(vec!["h".into(), "f".into()])
    );
    let answer = answer(&mut negotiator).sdp;
    assert!(lines(&answer, "8").contains(&"a=rid:h recv pt=96;max-width=640"));
    assert!(lines(&answer, "8").contains(&"a=simulcast:recv h;f"));
}

#[test]
fn no_more_than_three_layers_are_taken() {
    let layers: String = (0..9).map(|layer| format!("a=rid:{layer} send\r\n")).collect();
    let names = (0..9).map(|layer| layer.to_string()).collect::<Vec<_>>().join(";");
    let offer = format!("{CHROMIUM_VP8}{layers}").replace("send q;h;f", &format!("send {names}"));
    let negotiator = after(&offer);
    assert_eq!(negotiator.receiving().nth(1).map(|video| video.rids.len()), Some(3));
}

#[test]
fn extensions_beyond_one_byte_headers_need_leave() {
    use rtp::extension::ExtensionKind::DependencyDescriptor;

    let offer = CHROMIUM_VP8.replace("a=extmap:12 ", "a=extmap:16 ");
    let id = |offer: &str| {
        after(offer).receiving().nth(1).and_then(|video| video.extensions.id(DependencyDescriptor))
    };
    assert_eq!(id(&offer), Some(16));
    assert_eq!(id(&offer.replace("a=extmap-allow-mixed\r\n", "")), None);
}
