//! Frames that are sealed, opened and refused; and those that the browser's code has sealed.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const LEAF: u32 = 7;
const VP8: &[u8] = &[0x10, 1, 2, 3, 4];
const ALL: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

fn base(seed: u8) -> Key {
    Zeroizing::new([seed; 32])
}

fn ends() -> (Sealer, Opener) {
    let (mut sealer, mut opener) = (Sealer::default(), Opener::default());
    assert!(sealer.send(LEAF, 1, &base(1)));
    opener.add(1, base(1));
    (sealer, opener)
}

fn camera() -> Stream {
    Stream::new(LEAF, Kind::Camera)
}

fn sealed(sealer: &mut Sealer, codec: Codec, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(Kind::Camera, codec, frame, &mut out).unwrap();
    out
}

fn opened(opener: &mut Opener, stream: &mut Stream, codec: Codec, wire: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let result = opener.open(stream, codec, wire, 0, &mut out);
    assert!(result.is_ok() || out.is_empty());
    result.map(|()| out)
}

/// RFC 9605 C.3: key id and counter of the vector need others than ours, so the crate is asked directly.
#[test]
fn the_suite_is_that_of_the_rfc() {
    let base: Vec<u8> = (0..16).collect();
    let key = EncryptionKey::derive_from(SUITE, 0x123_u64, &base).unwrap();
    let mut counter = MonotonicCounter::with_start_value(0x4567, u64::MAX);
    let frame = MediaFrameView::try_with_meta_data(&mut counter, b"draft-ietf-sframe-enc", b"IETF SFrame WG")
        .unwrap();
    let mut out = Vec::new();
    let sealed = frame.encrypt_into(&key, &mut out).unwrap();
    let hex: String = sealed.sframe_cipher_text().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb");
}

/// Frames that the browser's code seals to the same bytes (`web/tests/e2ee/media/native.test.ts`).
#[test]
fn native_clients_and_browsers_seal_alike() {
    let fixture: serde_json::Value =
        serde_json::from_str(include_str!("../../../../web/tests/data/sealed-frames.json")).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let hex = |value: &serde_json::Value| -> Vec<u8> {
        let text = value.as_str().unwrap();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let (leaf, epoch) = (number(&fixture["leaf"]) as u32, number(&fixture["epoch"]));
    let base: Key = Zeroizing::new(hex(&fixture["base"]).try_into().unwrap());
    let (mut sealer, mut opener) = (Sealer::default(), Opener::default());
    assert!(sealer.send(leaf, epoch, &base));
    opener.add(epoch, base);
    let frames = fixture["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 9);
    for entry in frames {
        let kinds = [Kind::Microphone, Kind::Camera, Kind::Screen, Kind::ScreenSound];
        let kind = kinds[number(&entry["kind"]) as usize - 1];
        let codec = match entry["codec"].as_str().unwrap() {
            "audio/opus" => Codec::Opus,
            "video/VP8" => Codec::Vp8,
            "video/VP9" => Codec::Vp9,
            "video/H264" => Codec::H264,
            "video/AV1" => Codec::Av1,
            other => panic!("{other}"),
        };
        for _ in 0..number(&entry["skipped"]) {
            sealer.seal(kind, Codec::Vp9, b"skipped", &mut Vec::new()).unwrap();
        }
        let mut wire = Vec::new();
        sealer.seal(kind, codec, &hex(&entry["frame"]), &mut wire).unwrap();
        assert_eq!(wire, hex(&entry["wire"]));
        let frame = opened(&mut opener, &mut Stream::new(leaf, kind), codec, &wire).unwrap();
        assert_eq!(frame, hex(&entry["frame"]));
    }
}

#[test]
fn a_frame_arrives_as_it_was_and_is_not_readable_on_its_way() {
    let (mut sealer, mut opener) = ends();
    let wire = sealed(&mut sealer, Codec::Vp8, VP8);
    assert_eq!(wire[0], VP8[0]);
    assert!(!wire.windows(4).any(|window| window == &VP8[1..]));
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire).unwrap(), VP8);
}

#[test]
fn all_streams_of_a_sender_have_one_counter() {
    let (mut sealer, _) = ends();
    // Sound has its header first; the key id 7 << 8 | 1 takes two bytes, counters below eight none.
    let headers: Vec<_> = (0..3).map(|_| sealed(&mut sealer, Codec::Opus, b"sound")[..3].to_vec()).collect();
    assert_eq!(headers, [[0x90, 7, 1], [0x91, 7, 1], [0x92, 7, 1]]);
}

#[test]
fn nothing_is_sealed_without_a_key_or_backwards() {
    let mut out = Vec::new();
    let mut sealer = Sealer::default();
    let mut seal = |sealer: &mut Sealer| sealer.seal(Kind::Camera, Codec::Vp8, VP8, &mut out);
    assert_eq!(seal(&mut sealer), Err(Withheld::NoKey));
    assert!(sealer.send(LEAF, 2, &base(2)));
    assert_eq!(seal(&mut sealer), Ok(()));
    sealer.pause();
    assert_eq!(seal(&mut sealer), Err(Withheld::NoKey));
    assert!(sealer.send(LEAF, 2, &base(2)));
    assert_eq!(seal(&mut sealer), Ok(()));
    assert!(!sealer.send(LEAF, 1, &base(1)));
    assert_eq!(seal(&mut sealer), Err(Withheld::NoKey));
    assert!(!sealer.send(LEAF, 2, &base(2)), "its counter would begin anew");
    assert!(sealer.send(LEAF, 3, &base(3)));
    sealer.erase(3);
    assert_eq!(seal(&mut sealer), Err(Withheld::NoKey));
}

#[test]
fn silence_and_what_is_no_frame_are_withheld() {
    let (mut sealer, _) = ends();
    let mut seal = |codec, frame: &[u8]| sealer.seal(Kind::Microphone, codec, frame, &mut Vec::new());
    assert_eq!(seal(Codec::Opus, &[0x78, 0]), Err(Withheld::Silence));
    assert_eq!(seal(Codec::H264, VP8), Err(Withheld::Malformed));
    assert_eq!(seal(Codec::Vp8, &[0x10]), Err(Withheld::Malformed));
}

#[test]
fn what_is_not_as_it_was_sealed_is_refused() {
    let (mut sealer, mut opener) = ends();
    let wire = sealed(&mut sealer, Codec::Vp8, VP8);
    let altered = |at: usize| {
        let mut wire = wire.clone();
        wire[at] ^= 1;
        wire
    };
    let mut other = Opener::default();
    other.add(1, base(9));
    let mut screen = Stream::new(LEAF, Kind::Screen);
    let mut stranger = Stream::new(LEAF + 1, Kind::Camera);
    let cases = [
        (opened(&mut Opener::default(), &mut camera(), Codec::Vp8, &wire), Refusal::UnknownKey),
        (opened(&mut other, &mut camera(), Codec::Vp8, &wire), Refusal::NotAuthentic),
        (opened(&mut opener, &mut screen, Codec::Vp8, &wire), Refusal::NotAuthentic),
        (opened(&mut opener, &mut camera(), Codec::Vp9, &wire[1..]), Refusal::NotAuthentic),
        (opened(&mut opener, &mut camera(), Codec::Vp8, &altered(0)), Refusal::NotAuthentic),
        (opened(&mut opener, &mut camera(), Codec::Vp8, &altered(wire.len() - 1)), Refusal::NotAuthentic),
        (opened(&mut opener, &mut stranger, Codec::Vp8, &wire), Refusal::Foreign),
        (opened(&mut opener, &mut camera(), Codec::Vp8, &[0x10, 0xff]), Refusal::Malformed),
        (opened(&mut opener, &mut camera(), Codec::Vp8, &wire[..18]), Refusal::Malformed),
        (opened(&mut opener, &mut camera(), Codec::Vp8, &[]), Refusal::Malformed),
        (opened(&mut opener, &mut camera(), Codec::Av1, &[0x12, 0, 0x0a]), Refusal::Plain),
    ];
    for (index, (result, refusal)) in cases.into_iter().enumerate() {
        assert_eq!(result, Err(refusal), "case {index}");
    }
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire).unwrap(), VP8);
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire), Err(Refusal::Replayed));
}

#[test]
fn what_was_held_back_is_late() {
    let (mut sealer, mut opener) = ends();
    let (held, shown) = (sealed(&mut sealer, Codec::Vp8, VP8), sealed(&mut sealer, Codec::Vp8, VP8));
    let mut stream = camera();
    let mut open = |wire: &[u8], now| opener.open(&mut stream, Codec::Vp8, wire, now, &mut Vec::new());
    assert_eq!(open(&shown, 0), Ok(()));
    assert_eq!(open(&held, 2001), Err(Refusal::Late));
}

#[test]
fn an_erased_epoch_does_not_come_back() {
    let (mut sealer, mut opener) = ends();
    let wire = sealed(&mut sealer, Codec::Vp8, VP8);
    opener.erase(1);
    opener.add(1, base(1));
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire), Err(Refusal::UnknownKey));
}

#[test]
fn epochs_with_the_same_low_byte_replace_one_another_forwards_only() {
    let (mut sealer, mut opener) = ends();
    let wire = sealed(&mut sealer, Codec::Vp8, VP8);
    opener.add(257, base(2));
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire), Err(Refusal::NotAuthentic));
    opener.add(1, base(1));
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire), Err(Refusal::NotAuthentic));
    assert!(sealer.send(LEAF, 257, &base(2)));
    let wire = sealed(&mut sealer, Codec::Vp8, VP8);
    assert_eq!(opened(&mut opener, &mut camera(), Codec::Vp8, &wire).unwrap(), VP8);
}

/// Zeros, ones and threes more often than elsewhere: what start codes and their escapes are made of.
fn bytes(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], size)
}

fn unit(types: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(types), bytes(3..60)).prop_map(|(kind, mut content)| {
        // No start code in it, no zero at its end.
        for at in 2..content.len() {
            if content[at - 2..at] == [0, 0] && content[at] < 3 {
                content[at] = 7;
            }
        }
        content.push(9);
        [&[0, 0, 0, 1, 0x60 | kind], content.as_slice()].concat()
    })
}

fn h264() -> impl Strategy<Value = Vec<u8>> {
    let sets = prop::collection::vec(unit(&[7, 8]), 0..3);
    let slices = prop::collection::vec(unit(&[1, 5]), 1..3);
    (sets, slices).prop_map(|(sets, slices)| [sets.concat(), slices.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_of_every_codec_come_back(plain in bytes(3..300), h264 in h264()) {
        let (mut sealer, mut opener) = ends();
        for codec in ALL {
            let frame = if codec == Codec::H264 { &h264 } else { &plain };
            let wire = sealed(&mut sealer, codec, frame);
            prop_assert_eq!(&opened(&mut opener, &mut camera(), codec, &wire).unwrap(), frame);
        }
    }

    #[test]
    fn h264_has_no_start_code_in_what_is_sealed(frame in h264()) {
        let (mut sealer, _) = ends();
        let clear = Codec::H264.split(&frame).unwrap().clear.len();
        let wire = sealed(&mut sealer, Codec::H264, &frame);
        let slice = &wire[clear - 3..];
        prop_assert!(!slice.windows(3).any(|window| window[..2] == [0, 0] && window[2] < 3));
        prop_assert_ne!(slice.last(), Some(&0));
    }

    #[test]
    fn whatever_comes_is_refused(garbage in bytes(0..80), h264 in h264()) {
        let (mut sealer, mut opener) = ends();
        for codec in ALL {
            prop_assert!(opened(&mut opener, &mut camera(), codec, &garbage).is_err());
            prop_assert!(opened(&mut opener, &mut camera(), codec, &h264).is_err());
            let _ = sealer.seal(Kind::Camera, codec, &garbage, &mut Vec::new());
        }
    }
}
