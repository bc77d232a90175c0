//! What one forwarded packet costs: CPU time of the core per packet of 1200 bytes, from the datagram that
//! arrives to the sealed packet in the batch, with estimator, pacer and allocator at work, against the floor of
//! sealing the same packets and nothing else; and both again with the batch really sent over loopback.
//!
//! Core and floor alternate in one run and the medians count, because the machine is never quiet. Prints a
//! table and leaves `target/bench/forwarding.json`.

mod cpu;
mod floor;
mod keys;
mod meeting;
mod sink;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use sfu::batch::SendBatch;

use crate::cpu::measure;
use crate::floor::Floor;
use crate::meeting::{BURST, Meeting};
use crate::sink::Sinks;

const SUBSCRIBERS: [usize; 4] = [1, 10, 50, 200];
/// Tracks that each subscriber gets.
const TRACKS: [usize; 3] = [1, 10, 50];
/// Bytes of a packet's payload.
const PAYLOAD: usize = 1200;
/// Packets of one round: long enough for the clock, short enough to alternate often.
const ROUND: usize = 20_000;
/// Packets that arrive together, as they come from the kernel: written just before, so that they lie in the
/// cache, where a receiving call leaves them.
const ARRIVING: usize = 64;
/// Packets of one round that are really sent.
const SENT_ROUND: usize = 8_000;
/// Rounds of each; the median is taken.
const ROUNDS: usize = 11;

/// Nanoseconds per packet.
struct Costs {
    subscribers: usize,
    tracks: usize,
    core: f64,
    floor: f64,
    core_sent: f64,
    floor_sent: f64,
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    // `--case 50x1` measures one case, `--rounds 3` less often: for profilers.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let only = value("--case");
    let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    println!("CPU per forwarded packet of {PAYLOAD} bytes, AES-256-GCM, ns (medians of {rounds} rounds)");
    println!("{:>11} {:>6} {:>16} {:>22}", "", "", "in memory", "sent over loopback");
    println!(
        "{:>11} {:>6} {:>6} {:>6} {:>5} {:>8} {:>6} {:>5}",
        "subscribers", "tracks", "core", "floor", "ratio", "core", "floor", "ratio"
    );
    let mut results = Vec::new();
    for (tracks, subscribers) in
        TRACKS.iter().flat_map(|tracks| SUBSCRIBERS.map(|subscribers| (*tracks, subscribers)))
    {
        if only.is_some_and(|only| *only != format!("{subscribers}x{tracks}")) {
            continue;
        }
        let costs = run(subscribers, tracks, rounds)?;
        println!(
            "{:>11} {:>6} {:>6.0} {:>6.0} {:>5.2} {:>8.0} {:>6.0} {:>5.2}",
            costs.subscribers,
            costs.tracks,
            costs.core,
            costs.floor,
            costs.core / costs.floor,
            costs.core_sent,
            costs.floor_sent,
            costs.core_sent / costs.floor_sent,
        );
        results.push(costs);
    }
    write(&results)?;
    if only.is_none() {
        keys::run()?;
    }
    Ok(())
}

fn run(subscribers: usize, tracks: usize, rounds: usize) -> Result<Costs, Box<dyn Error>> {
    let mut sinks = Sinks::new(tracks + subscribers)?;
    let addresses = sinks.addresses()?;
    let (publishers, subscribed) = addresses.split_at(tracks);
    let mut meeting = Meeting::new(publishers, subscribed, PAYLOAD)?;
    meeting.verify()?;
    let mut floor = Floor::new(subscribed, PAYLOAD)?;
    let mut batch = SendBatch::new();
    let mut costs: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds {
        costs[0].push(core(&mut meeting, ROUND / subscribers, |_| {})?);
        costs[1].push(sealing(&mut floor, ROUND / subscribers, &mut batch, |_| {})?);
        costs[2].push(core(&mut meeting, SENT_ROUND / subscribers, |batch| sinks.send(batch))?);
        costs[3].push(sealing(&mut floor, SENT_ROUND / subscribers, &mut batch, |batch| sinks.send(batch))?);
    }
    let counts = sinks.counts();
    if counts.refused + counts.overflowed > 0 {
        return Err(format!("not everything was sent: {counts:?}").into());
    }
    let [core, floor, core_sent, floor_sent] = costs.map(median);
    Ok(Costs { subscribers, tracks, core, floor, core_sent, floor_sent })
}

/// One round through the core, for so many packets of each subscriber.
fn core(
    meeting: &mut Meeting,
    each: usize,
    mut leave: impl FnMut(&SendBatch),
) -> Result<f64, Box<dyn Error>> {
    let mut time = Duration::ZERO;
    let mut forwarded = 0;
    let pictures = (ARRIVING.min(each) / BURST).min(meeting.longest_round());
    for _ in 0..(each / BURST / pictures).max(1) {
        meeting.prepare(pictures)?;
        let expected = meeting.forwarded_by_round();
        let (count, took) = measure(|| meeting.run(&mut leave));
        if count != expected {
            return Err(format!("{count} packets forwarded of {expected}").into());
        }
        time += took;
        forwarded += count;
    }
    Ok(time.as_nanos() as f64 / forwarded as f64)
}

/// One round of the floor.
fn sealing(
    floor: &mut Floor,
    each: usize,
    batch: &mut SendBatch,
    mut leave: impl FnMut(&SendBatch),
) -> Result<f64, Box<dyn Error>> {
    let (sealed, time) = measure(|| {
        let mut sealed = 0;
        for _ in 0..each / BURST {
            sealed += floor.burst(BURST, batch)?;
            leave(batch);
            batch.clear();
        }
        Ok::<_, aws_lc_rs::error::Unspecified>(sealed)
    });
    Ok(time.as_nanos() as f64 / sealed? as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn write(results: &[Costs]) -> Result<(), Box<dyn Error>> {
    let cases: Vec<serde_json::Value> = results
        .iter()
        .map(|costs| {
            serde_json::json!({
                "subscribers": costs.subscribers,
                "tracks": costs.tracks,
                "core_ns": costs.core,
                "floor_ns": costs.floor,
                "ratio": costs.core / costs.floor,
                "core_sent_ns": costs.core_sent,
                "floor_sent_ns": costs.floor_sent,
                "ratio_sent": costs.core_sent / costs.floor_sent,
            })
        })
        .collect();
    let report =
        serde_json::json!({ "payload_bytes": PAYLOAD, "profile": "AEAD_AES_256_GCM", "cases": cases });
    let folder = Path::new("target/bench");
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("forwarding.json"), serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
