//! Payload descriptors of every codec. The first byte chooses: 0 to 3 a codec's payload, 255 RED, anything else a
//! series of dependency descriptors, each behind its length, of which those that bring a structure set it for
//! the ones that follow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::codec::{
    CodecKind, PayloadDescriptor, av1, dependency_descriptor as dd, h264, is_keyframe_start, red, vp8, vp9,
};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, input)) = data.split_first() else { return };
    match choice {
        0 => vp8(input),
        1 => vp9(input),
        2 => assert!(h264::nal_types(input).count() <= input.len()),
        3 => drop(av1::AggregationHeader::parse(input)),
        255 => {
            let copied: usize = red::blocks(input).map(|block| block.payload.len()).sum();
            assert!(copied <= input.len());
            if let Ok(red) = red::Redundant::parse(input) {
                assert!(red.primary.len() + copied < input.len());
            }
        }
        _ => dependency_descriptors(input),
    }
    for codec in CodecKind::ALL {
        is_keyframe_start(codec, input, PayloadDescriptor::parse(codec, input).as_ref(), None);
    }
});

fn vp8(payload: &[u8]) {
    let Ok(descriptor) = vp8::Descriptor::parse(payload) else { return };
    assert!(descriptor.len <= payload.len() && descriptor.len <= vp8::MAX_DESCRIPTOR);
    let mut out = [0; vp8::MAX_DESCRIPTOR];
    let rewrite = vp8::rewrite(&descriptor, 0x7FFF, 0xAA, Some(9), &mut out);
    let forwarded = [&out[..rewrite.len], &payload[rewrite.replaces..]].concat();
    let read = vp8::Descriptor::parse(&forwarded).expect("what is written is read");
    assert_eq!(read.len, rewrite.len);
    assert_eq!(read.picture_id.is_some(), descriptor.picture_id.is_some());
    assert!(read.picture_id.is_none_or(|id| id.value == 0x7FFF));
    assert!(read.tl0_pic_idx.is_none_or(|index| index == 0xAA));
    assert_eq!((read.temporal_id, read.layer_sync), (descriptor.temporal_id, descriptor.layer_sync));
    assert_eq!(read.is_keyframe(&forwarded), descriptor.is_keyframe(payload));
}

fn vp9(payload: &[u8]) {
    let Ok(descriptor) = vp9::Descriptor::parse(payload) else { return };
    assert!(descriptor.len <= payload.len());
    assert!(descriptor.spatial_id() <= 7 && descriptor.temporal_id() <= 7);
    assert!(!descriptor.is_keyframe_start() || descriptor.is_layer_keyframe_start());
}

fn dependency_descriptors(mut input: &[u8]) {
    let mut structure: Option<Box<dd::Structure>> = None;
    while let Some((&length, rest)) = input.split_first() {
        let (value, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        let Ok(descriptor) = dd::Descriptor::parse(value, structure.as_deref()) else { continue };
        assert!(descriptor.spatial_id <= 3 && descriptor.temporal_id <= 7);
        assert!(descriptor.dependencies.frame_diffs().len() <= dd::MAX_FRAME_DIFFS);
        is_keyframe_start(CodecKind::Av1, value, None, Some(&descriptor));
        if let Some(brought) = descriptor.structure {
            assert!((1..=64).contains(&brought.templates().len()));
            assert!(brought.chain_count() <= brought.decode_target_count());
            for target in 0..brought.decode_target_count() {
                let (spatial, temporal) = brought.decode_target_layer(target);
                assert!(spatial <= brought.highest_layer().0 && temporal <= brought.highest_layer().1);
                assert!(brought.protected_by(target).is_none_or(|chain| chain < brought.chain_count()));
            }
            structure = Some(brought);
        }
    }
}
