use rtp::header::{ExtensionForm, HeaderBuilder, HeaderFields};

use super::*;

const DESCRIPTOR: u8 = 1;

fn codec(nack: bool) -> UpCodec {
    UpCodec { kind: CodecKind::Av1, fmtp: String::new(), nack, pli: true, fir: false }
}

/// A descriptor of a key frame whose structure has one template, numbered `offset`: one layer, one decode target,
/// no chains, no sizes.
fn key(offset: u8) -> Vec<u8> {
    let structure = u64::from(offset) << 12 | 0b0000_0111_0000; // 1 target, 1 template, which is a switch
    let bits = (0b11 << 6 | u64::from(offset)) << 39 | 0b10000 << 18 | structure;
    (bits << 17).to_be_bytes()[..6].to_vec()
}

/// One of a frame that follows this template.
fn delta(template: u8) -> Vec<u8> {
    vec![0xC0 | template, 0, 1]
}

fn receive(layer: &mut UpLayer, sequence: u16, descriptor: &[u8], nack: bool) -> Result<Taken, NotStored> {
    let mut map = ExtensionMap::new();
    assert!(map.insert(ExtensionKind::DependencyDescriptor, DESCRIPTOR));
    let fields = HeaderFields {
        marker: true,
        payload_type: 45,
        sequence_number: sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc: 1,
    };
    let mut bytes = [0; 100];
    let mut builder = HeaderBuilder::new(&mut bytes, &fields, ExtensionForm::OneByte);
    builder.extension(DESCRIPTOR, descriptor);
    let length = builder.finish().expect("fits");
    let packet = RtpPacket::parse(&bytes[..=length]).expect("well formed");
    let original =
        Original { sequence_number: sequence, payload_type: 45, payload: packet.payload(), recovered: false };
    layer.receive(crate::test_start(), &packet, original, &codec(nack), &map)
}

#[test]
fn an_old_structure_that_comes_again_does_not_replace_the_new_one() {
    let mut layer = UpLayer::new(None, Retention::PICTURES);
    let mut frame = |sequence, descriptor: &[u8]| {
        receive(&mut layer, sequence, descriptor, true).map(|taken| taken.frame.is_some())
    };
    assert_eq!((frame(1, &key(0)), frame(2, &delta(0))), (Ok(true), Ok(true)));
    assert_eq!((frame(4, &key(10)), frame(5, &delta(10))), (Ok(true), Ok(true)));
    assert_eq!(frame(1, &key(0)), Err(NotStored::Duplicate), "a probe's filling");
    assert_eq!(frame(6, &delta(10)), Ok(true));
    assert_eq!(frame(3, &key(20)), Ok(true), "overtaken");
    assert_eq!(frame(7, &delta(10)), Ok(true));
}

#[test]
fn a_key_frame_is_asked_for_when_frames_follow_a_structure_that_nobody_can_send_again() {
    let mut layer = UpLayer::new(None, Retention::PICTURES);
    let mut asks = |sequence, descriptor: &[u8], nack| {
        receive(&mut layer, sequence, descriptor, nack).map(|taken| taken.beyond_repair)
    };
    assert_eq!(asks(1, &key(0), true), Ok(false));
    assert_eq!(asks(4, &delta(10), true), Ok(false), "2 and 3 are asked for again first");
    assert_eq!(asks(5, &delta(10), true), Ok(false), "they may still come");
    assert_eq!((asks(3, &key(10), true), asks(2, &delta(0), true)), (Ok(false), Ok(false)), "here they are");
    assert_eq!(asks(6, &delta(10), true), Ok(false));
    assert_eq!(asks(7, &delta(30), true), Ok(true), "nothing is missing");
    let mut unasked = UpLayer::new(None, Retention::PICTURES);
    assert_eq!(receive(&mut unasked, 1, &delta(0), false).map(|taken| taken.beyond_repair), Ok(true));
}
