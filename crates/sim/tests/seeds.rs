//! Random meetings from committed seeds; `SIM_SEEDS=n` looks at n new ones, `SIM_SEED=x` at a single one.

use std::time::{SystemTime, UNIX_EPOCH};

use sim::script;
use sim::world::World;

/// Seeds that are always run: a few of each kind of network (the remainder by 4), and every one that ever
/// found something.
#[rustfmt::skip]
const SEEDS: [u64; 26] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    // A new source whose first packets were lost stayed without a key frame.
    1_795_380_856_599_989, 1_795_380_856_600_014,
];

/// Runs these seeds, all of them, and says for each that fails what went wrong and how to see it again.
fn run(seeds: impl IntoIterator<Item = u64>, meet: fn(u64) -> World) {
    let mut failed = Vec::new();
    for seed in seeds {
        let world = meet(seed);
        if !world.violations.is_empty() {
            let again = format!("SIM_SEED={seed} cargo test -p sim --test seeds");
            let shown: Vec<&str> = world.violations.iter().take(6).map(String::as_str).collect();
            failed.push(format!("{again}\n  {}", shown.join("\n  ")));
        }
    }
    assert!(failed.is_empty(), "{} seeds failed\n{}", failed.len(), failed.join("\n"));
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The seeds that are asked for, or the committed ones.
fn look(meet: fn(u64) -> World) {
    if let Some(seed) = number("SIM_SEED") {
        return run([seed], meet);
    }
    if let Some(count) = number("SIM_SEEDS") {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64);
        return run(start..start + count, meet);
    }
    run(SEEDS, meet);
}

#[test]
fn nobody_gets_too_much_or_too_little_in_random_meetings() {
    look(script::run);
}

#[test]
fn nor_where_older_clients_with_two_peer_connections_are_among_them() {
    look(script::run_with_older);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let once = script::run(3);
    let again = script::run(3);
    assert_eq!(once.trace(), again.trace());
    assert_ne!(once.trace(), script::run(7).trace());
}
