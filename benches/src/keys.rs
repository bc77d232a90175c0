//! What keys cost natively: joining a meeting and changing its keys by its size, and sealing and opening frames against the
//! floor of AES-GCM over the same bytes and nothing else. Leaves `target/bench/keys.json`.

use std::error::Error;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use e2ee::group::{Entry, Group, Own, Psk};
use e2ee::identity::identity_of;
use e2ee::keys::{Key, RoomKeys};
use e2ee::link::LinkSecret;
use e2ee::media::{Codec, Kind, Opener, Sealer, Stream};
use e2ee::name;
use e2ee::policy::{Policy, Presence};
use e2ee::signer::LeafKey;
use e2ee::statement::Place;

use crate::cpu::measure;
use crate::median;

const ROOM: &str = "bench";
const MEMBERS: [u16; 4] = [5, 50, 100, 200];
/// Bytes of a frame: 20 ms of sound at 32 kbit/s, a picture of a camera at 2 Mbit/s, a key frame of a screen.
const FRAMES: [(&str, Kind, Codec, usize); 3] = [
    ("sound", Kind::Microphone, Codec::Opus, 80),
    ("picture", Kind::Camera, Codec::Vp8, 8_000),
    ("screen", Kind::Screen, Codec::Vp8, 100_000),
];
/// Frames of one round.
const ROUND: u64 = 1000;
const ROUNDS: usize = 7;

/// Of one size of meeting.
struct Change {
    members: u16,
    /// Bytes of the GroupInfo with the tree, which a newcomer gets.
    base: usize,
    /// Bytes of the commit by which somebody joins.
    join: usize,
    /// Bytes of the commit by which a member removes one.
    commit: usize,
    joining: Duration,
    folding: Duration,
    committing: Duration,
}

/// Of one kind of frame, in nanoseconds.
struct Frame {
    name: &'static str,
    bytes: usize,
    sealing: f64,
    opening: f64,
    floor: f64,
}

/// Measures, prints the tables and writes the JSON.
#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let mut changes = Vec::new();
    println!(
        "\nKeys by members, native: CPU in ms, bytes in thousands (medians of {ROUNDS}; ratio to {})",
        MEMBERS[0]
    );
    println!(
        "{:>8} {:>7} {:>7} {:>7} {:>9} {:>6} {:>9} {:>6} {:>9} {:>6}",
        "members", "base", "join", "commit", "joining", "ratio", "folding", "ratio", "removing", "ratio"
    );
    let mut meeting = Meeting::new()?;
    for members in MEMBERS {
        meeting.grow(members - 1)?;
        let change = meeting.measure(members)?;
        let first = changes.first().unwrap_or(&change);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ratio = |time: Duration, first: Duration| time.as_secs_f64() / first.as_secs_f64();
        println!(
            "{:>8} {:>7.1} {:>7.1} {:>7.1} {:>9.2} {:>6.1} {:>9.2} {:>6.1} {:>9.2} {:>6.1}",
            members,
            change.base as f64 / 1e3,
            change.join as f64 / 1e3,
            change.commit as f64 / 1e3,
            ms(change.joining),
            ratio(change.joining, first.joining),
            ms(change.folding),
            ratio(change.folding, first.folding),
            ms(change.committing),
            ratio(change.committing, first.committing),
        );
        changes.push(change);
    }
    println!("\nFrames, native: CPU in ns a frame (floor: AES-128-GCM of the same bytes)");
    println!(
        "{:>8} {:>7} {:>8} {:>8} {:>8} {:>6} {:>6}",
        "frame", "bytes", "seal", "open", "floor", "seal/", "open/"
    );
    let frames: Vec<Frame> = FRAMES.into_iter().map(frame).collect::<Result<_, _>>()?;
    for Frame { name, bytes, sealing, opening, floor } in &frames {
        println!(
            "{name:>8} {bytes:>7} {sealing:>8.0} {opening:>8.0} {floor:>8.0} {:>6.2} {:>6.2}",
            sealing / floor,
            opening / floor
        );
    }
    write(&changes, &frames)
}

struct Meeting {
    /// The first member, who hosts.
    host: Group,
    policy: Policy,
    psk: Psk,
    members: u16,
}

impl Meeting {
    fn new() -> Result<Self, Box<dyn Error>> {
        let id = [9; 32];
        let host = own(1).key.public();
        let place = Place { origin: "https://meet.example".into(), room: ROOM.into(), group_id: id.to_vec() };
        let mut policy = Policy::new(place, host);
        for member in 1..=300 {
            policy.presence_changed(&identity_of(&own(member).key.public()), Presence::Here);
        }
        let keys = keys();
        let psk = Psk { id: keys.psk_id(0), key: keys.psk(None) };
        Ok(Self { host: Group::create(seed(1, 1), own(1), id, &host)?, policy, psk, members: 1 })
    }

    /// Lets people join until there are so many.
    fn grow(&mut self, members: u16) -> Result<(), Box<dyn Error>> {
        while self.members < members {
            self.members += 1;
            let (_, commit) = self.join(self.members, &self.host.group_info()?)?;
            self.fold(self.members, &commit)?;
        }
        Ok(())
    }

    fn join(&self, member: u16, base: &[u8]) -> Result<(Group, Vec<u8>), Box<dyn Error>> {
        Ok(Group::join(seed(member, self.host.epoch()), own(member), base, &self.psk)?)
    }

    fn fold(&mut self, member: u16, commit: &[u8]) -> Result<(), Box<dyn Error>> {
        let from = identity_of(&own(member).key.public());
        self.host.fold(
            &Entry { joins: true, from: &from, adds: &[], bytes: commit },
            &self.policy,
            &self.psk,
        )?;
        Ok(())
    }

    /// The last of so many joins and is removed again, some times over.
    fn measure(&mut self, members: u16) -> Result<Change, Box<dyn Error>> {
        let identity = identity_of(&own(members).key.public());
        let (mut joining, mut folding, mut committing) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = (0, 0, 0);
        for _ in 0..ROUNDS {
            let base = self.host.group_info()?;
            let (joined, took) = measure(|| self.join(members, &base));
            let (group, join) = joined?;
            joining.push(took.as_secs_f64());
            let (folded, took) = measure(|| self.fold(members, &join));
            folded?;
            folding.push(took.as_secs_f64());
            self.policy.presence_changed(&identity, Presence::Left);
            let (committed, took) = measure(|| self.host.commit(Vec::new(), &[group.leaf()], &self.psk));
            let commit = committed?.commit;
            committing.push(took.as_secs_f64());
            self.host.confirm()?;
            self.policy.presence_changed(&identity, Presence::Here);
            bytes = (base.len(), join.len(), commit.len());
        }
        let time = |all: Vec<f64>| Duration::from_secs_f64(median(all));
        let (base, join, commit) = bytes;
        Ok(Change {
            members,
            base,
            join,
            commit,
            joining: time(joining),
            folding: time(folding),
            committing: time(committing),
        })
    }
}

fn frame((name, kind, codec, bytes): (&'static str, Kind, Codec, usize)) -> Result<Frame, Box<dyn Error>> {
    let plain = vec![0; bytes];
    let base = Key::new([7; 32]);
    let (mut sealer, mut opener, mut stream) = (Sealer::default(), Opener::default(), Stream::new(1, kind));
    sealer.send(1, 1, &base);
    opener.add(1, base);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| "no key")?);
    let mut sealed = vec![Vec::new(); ROUND as usize];
    let (mut out, mut now) = (Vec::new(), 0);
    let mut costs: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        let ((), took) = measure(|| {
            for frame in &mut sealed {
                frame.clear();
                // A failure shows at the other end.
                let _ = sealer.seal(kind, codec, &plain, frame);
            }
        });
        costs[0].push(took.as_secs_f64());
        let (opened, took) = measure(|| {
            sealed.iter().all(|frame| {
                now += 1;
                out.clear();
                opener.open(&mut stream, codec, frame, now, &mut out).is_ok() && out.len() == bytes
            })
        });
        if !opened {
            return Err("a frame did not open".into());
        }
        costs[1].push(took.as_secs_f64());
        let ((), took) = measure(|| {
            for frame in &mut sealed {
                frame.clear();
                frame.extend_from_slice(&plain);
                let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
                let _ = key.seal_in_place_append_tag(nonce, Aad::empty(), frame);
            }
        });
        costs[2].push(took.as_secs_f64());
    }
    let [sealing, opening, floor] = costs.map(|all| median(all) * 1e9 / ROUND as f64);
    Ok(Frame { name, bytes, sealing, opening, floor })
}

fn keys() -> RoomKeys {
    RoomKeys::new(LinkSecret::from_random([1; 20]), ROOM)
}

fn own(member: u16) -> Own {
    let [high, low] = member.to_be_bytes();
    let mut seed = [7; 32];
    (seed[0], seed[1]) = (high, low);
    let key = Rc::new(LeafKey::from_seed(&seed));
    let identity = identity_of(&key.public());
    let sealed_name = name::seal(&keys().name(), ROOM, &identity, "somebody", [low; 12]);
    Own { key, sealed_name }
}

/// Another one for each joining.
fn seed(member: u16, epoch: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&epoch.to_be_bytes());
    seed[8..10].copy_from_slice(&member.to_be_bytes());
    seed
}

fn write(changes: &[Change], frames: &[Frame]) -> Result<(), Box<dyn Error>> {
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            serde_json::json!({
                "members": change.members,
                "base_bytes": change.base,
                "join_bytes": change.join,
                "commit_bytes": change.commit,
                "join_ms": change.joining.as_secs_f64() * 1e3,
                "fold_ms": change.folding.as_secs_f64() * 1e3,
                "commit_ms": change.committing.as_secs_f64() * 1e3,
            })
        })
        .collect();
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| {
            serde_json::json!({
                "frame": frame.name,
                "bytes": frame.bytes,
                "seal_ns": frame.sealing,
                "open_ns": frame.opening,
                "floor_ns": frame.floor,
            })
        })
        .collect();
    let folder = Path::new("target/bench");
    std::fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(&serde_json::json!({ "keys": changes, "frames": frames }))?;
    std::fs::write(folder.join("keys.json"), json)?;
    Ok(())
}
