//! The grammar, line by line.

use super::super::SdpError;
use super::super::parse::parse_digest;
use super::super::{Direction, HashAlgorithm, fingerprint_value};
use super::*;

const SECTION: &str = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n";

fn code(sdp: &str) -> Option<&'static str> {
    parse(sdp, LIMITS).err().map(|error| error.code())
}

#[test]
fn line_ends_may_lack_the_carriage_return() {
    let text = CHROMIUM_VP8.replace("\r\n", "\n");
    assert_eq!(read(&text).sections.len(), read(CHROMIUM_VP8).sections.len());
}

#[test]
fn what_is_not_a_description_is_refused() {
    assert_eq!(code(""), Some("malformed"));
    assert_eq!(code("hello"), Some("malformed"));
    assert_eq!(code("v=1\r\n"), Some("malformed"));
    assert_eq!(code("o=-\r\nv=0\r\n"), Some("malformed"));
    assert_eq!(code("v=0\r\n=x\r\n"), Some("malformed"));
    assert_eq!(code("v=0\r\nA=x\r\n"), Some("malformed"));
    assert_eq!(code("v=0\r\na=x\0\r\n"), Some("malformed"));
    assert_eq!(code("v=0\r\nm=audio\r\n"), Some("malformed"));
    assert_eq!(code("v=0\r\nm=audio 65536 UDP/TLS/RTP/SAVPF 0\r\n"), Some("malformed"));
}

#[test]
fn an_error_names_its_line() {
    let error = parse(&format!("{SECTION}a=setup:maybe\r\n"), LIMITS).expect_err("it is refused");
    assert_eq!(error, SdpError::Malformed { line: 3, what: "setup" });
}

#[test]
fn what_is_not_known_is_skipped() {
    let text =
        format!("{SECTION}a=something:new\r\na=flag\r\nz=what\r\na=fmtp:99 x=y\r\na=rtcp-fb:* x y\r\n");
    assert_eq!(read(&text).sections.len(), 1);
}

#[test]
fn payload_types_keep_clear_of_rtcp_and_of_each_other() {
    for (formats, expected) in [
        ("0 35 63 96 127", None),
        ("64", Some("payload-type-invalid")),
        ("95", Some("payload-type-invalid")),
        ("128", Some("payload-type-invalid")),
        ("x", Some("payload-type-invalid")),
        ("96 96", Some("payload-type-duplicate")),
    ] {
        assert_eq!(code(&format!("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF {formats}\r\n")), expected, "{formats}");
    }
    // Of a protocol that is not ours nothing is asked.
    assert_eq!(code("v=0\r\nm=audio 9 RTP/AVP 300\r\n"), None);
}

#[test]
fn feedback_for_all_payload_types_holds_for_each() {
    let text = format!("{SECTION}a=rtcp-fb:* nack\r\na=rtcp-fb:96 nack pli\r\n");
    let read = read(&text);
    let payloads = &read.sections[0].payloads;
    assert!(payloads[0].feedback.nack && payloads[0].feedback.pli);
    assert!(payloads[1].feedback.nack && !payloads[1].feedback.pli);
}

#[test]
fn the_session_level_holds_where_a_section_says_nothing() {
    let text = "v=0\r\na=recvonly\r\na=extmap-allow-mixed\r\na=extmap:3 urn:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
                m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=sendonly\r\na=extmap:4/sendonly urn:y\r\n";
    let read = read(text);
    let [first, second] = read.sections.as_slice() else { panic!("two sections") };
    assert_eq!((first.direction, first.extensions.len()), (Direction::RecvOnly, 1));
    assert_eq!((second.direction, second.extensions.len()), (Direction::SendOnly, 2));
    assert_eq!(second.extensions[1].direction, Some(Direction::SendOnly));
    assert!(first.extmap_allow_mixed);
}

#[test]
fn simulcast_takes_the_first_alternative_also_if_it_starts_paused() {
    let text = format!("{SECTION}a=simulcast:recv 9 send a,b;~c;d\r\n");
    assert_eq!(read(&text).sections[0].simulcast_send, ["a", "c", "d"]);
    assert_eq!(code(&format!("{SECTION}a=simulcast:send\r\n")), Some("malformed"));
}

#[test]
fn a_track_may_be_named_by_its_source() {
    let text = format!("{SECTION}a=ssrc:1 cname:c\r\na=ssrc:1 msid:s t\r\n");
    assert_eq!(read(&text).sections[0].msid, Some(("s", Some("t"))));
    assert_eq!(read(&text).sections[0].ssrcs, [1]);
}

#[test]
fn sizes_beyond_our_numbers_are_as_large_as_they_get() {
    let text = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=max-message-size:9999999999\r\n";
    assert_eq!(read(text).sections[0].max_message_size, Some(u32::MAX));
}

#[test]
fn everything_that_can_be_repeated_has_an_end() {
    let many = |line: &dyn Fn(usize) -> String, count: usize| {
        let lines: String = (0..count).map(|number| format!("{}\r\n", line(number))).collect();
        code(&format!("{SECTION}{lines}"))
    };
    let expected = Some("too-many-attributes");
    assert_eq!(many(&|number| format!("a=extmap:{number} urn:x"), 64), None);
    assert_eq!(many(&|number| format!("a=extmap:{number} urn:x"), 65), expected);
    assert_eq!(many(&|number| format!("a=rid:{number} send"), 17), expected);
    assert_eq!(many(&|number| format!("a=ssrc:{number} cname:x"), 33), expected);
    assert_eq!(many(&|_| "a=ssrc-group:FID 1 2".to_owned(), 17), expected);
    assert_eq!(many(&|_| "a=fingerprint:sha-256 AB".to_owned(), 9), expected);
    assert_eq!(code(&format!("v=0\r\n{}", "a=group:BUNDLE 0\r\n".repeat(9))), expected);
    assert_eq!(code(&format!("v=0\r\na=group:BUNDLE{}\r\n", " 0".repeat(1001))), Some("too-many-sections"));
    let limits = ParseLimits { bytes: 1 << 20, sections: 2 };
    let sections = format!("v=0\r\n{}", "m=audio 9 X y\r\n".repeat(3));
    assert_eq!(parse(&sections, limits).err(), Some(SdpError::TooManySections { limit: 2 }));
    let limits = ParseLimits { bytes: 10, sections: 2 };
    assert_eq!(parse(&sections, limits).err().map(|error| error.code()), Some("too-large"));
}

#[test]
fn digests_have_the_length_of_their_function() {
    let digest: Vec<u8> = (0..32).collect();
    let value = fingerprint_value(HashAlgorithm::Sha256, &digest);
    assert_eq!(value, FINGERPRINT);
    let (name, hexadecimal) = value.split_once(' ').expect("name and digest");
    assert_eq!(HashAlgorithm::from_str(&name.to_uppercase()), Some(HashAlgorithm::Sha256));
    assert_eq!(parse_digest(HashAlgorithm::Sha256, hexadecimal), Some(digest));
    assert_eq!(parse_digest(HashAlgorithm::Sha256, &hexadecimal[3..]), None);
    assert_eq!(parse_digest(HashAlgorithm::Sha256, &format!("{hexadecimal}:00")), None);
    assert_eq!(parse_digest(HashAlgorithm::Sha384, hexadecimal), None);
    assert_eq!(parse_digest(HashAlgorithm::Sha256, &hexadecimal.replace("0A", "+A")), None);
}
