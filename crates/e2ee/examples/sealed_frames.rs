//! Writes frames of every codec and what they are on the wire, as JSON. The code of the browser has to seal them to the
//! same bytes: `cargo run -p e2ee --example sealed_frames > web/tests/data/sealed-frames.json`.

use std::error::Error;
use std::io::{self, Write as _};

use e2ee::keys::Key;
use e2ee::media::{Codec, Kind, Sealer};
use serde_json::json;

const LEAF: u32 = 300;
const EPOCH: u64 = 1000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// So many bytes, with runs of zeros among them.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| if at % 7 < 3 { 0 } else { (at * 31 % 251) as u8 }).collect()
}

/// Kind, codec, frame, and how many frames were sealed before it that are not among these.
fn frames() -> Vec<(Kind, Codec, Vec<u8>, u32)> {
    let sets: &[u8] = &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80];
    let slice = |head: [u8; 3]| [&[0, 0, 0, 1], head.as_slice(), &content(200)].concat();
    let obus = [&[0x12, 0, 0x0a, 3, 1, 2, 3, 0x32, 0x64], content(100).as_slice()].concat();
    vec![
        (Kind::Microphone, Codec::Opus, [&[0x78], content(60).as_slice()].concat(), 0),
        (Kind::ScreenSound, Codec::Opus, vec![0x7c, 1, 2], 0),
        (Kind::Camera, Codec::Vp8, [&[0x10, 2, 0, 0x9d, 1, 0x2a], content(300).as_slice()].concat(), 0),
        (Kind::Camera, Codec::Vp8, [&[0x31], content(40).as_slice()].concat(), 5),
        (Kind::Screen, Codec::Vp9, [&[0x82, 0x49], content(90).as_slice()].concat(), 0),
        (Kind::Camera, Codec::H264, [sets, slice([0x65, 0x88, 0x84]).as_slice()].concat(), 0),
        (Kind::Camera, Codec::H264, [slice([0x41, 0x9a, 0]), slice([0x41, 0, 0x80])].concat(), 250),
        (Kind::Screen, Codec::Av1, obus, 0),
        (Kind::Screen, Codec::Av1, vec![0x32, 1, 0], 70_000),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut base = Key::default();
    base.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    let mut sealer = Sealer::default();
    sealer.send(LEAF, EPOCH, &base);
    let mut sealed = Vec::new();
    for (kind, codec, frame, skipped) in frames() {
        for _ in 0..skipped {
            sealer.seal(kind, Codec::Vp9, b"skipped", &mut Vec::new())?;
        }
        let mut wire = Vec::new();
        sealer.seal(kind, codec, &frame, &mut wire)?;
        sealed.push(json!({
            "kind": kind as u8, "codec": mime(codec), "skipped": skipped, "frame": hex(&frame), "wire": hex(&wire),
        }));
    }
    let all = json!({ "leaf": LEAF, "epoch": EPOCH, "base": hex(base.as_slice()), "frames": sealed });
    writeln!(io::stdout(), "{all:#}")?;
    Ok(())
}

fn mime(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "audio/opus",
        Codec::Vp8 => "video/VP8",
        Codec::Vp9 => "video/VP9",
        Codec::H264 => "video/H264",
        Codec::Av1 => "video/AV1",
    }
}
