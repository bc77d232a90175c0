//! Random meetings: people come, leave, vanish, reload, lose their sockets and their packets, all at once. In the end
//! everybody who is there has the same keys, and nobody else has them.

#[allow(dead_code, reason = "shared with the other files of tests")]
mod world;

use std::collections::BTreeSet;

use world::{LINK, World};

/// Somebody's way through a meeting.
#[derive(Default)]
struct Cast {
    here: BTreeSet<usize>,
    away: BTreeSet<usize>,
    next_key: u8,
}

fn act(world: &mut World, cast: &mut Cast, most: usize) {
    let pick = |world: &mut World, from: &BTreeSet<usize>| {
        let at = world.below(from.len() as u64) as usize;
        from.iter().nth(at).copied()
    };
    match world.below(10) {
        0..=3 if cast.here.len() + cast.away.len() < most => {
            cast.next_key += 1;
            let index = world.join(LINK, cast.next_key);
            cast.here.insert(index);
        }
        4 if cast.here.len() > 1 => {
            let Some(index) = pick(world, &cast.here) else { return };
            cast.here.remove(&index);
            world.leave(index);
        }
        5 if cast.here.len() > 1 => {
            let Some(index) = pick(world, &cast.here) else { return };
            cast.here.remove(&index);
            world.vanish(index);
        }
        6 | 7 if cast.here.len() > 1 => {
            let Some(index) = pick(world, &cast.here) else { return };
            cast.here.remove(&index);
            cast.away.insert(index);
            world.cut(index);
        }
        8 => {
            let Some(index) = pick(world, &cast.away) else { return };
            cast.away.remove(&index);
            cast.here.insert(index);
            world.connect(index);
        }
        9 => {
            if let Some(index) = pick(world, &cast.here) {
                world.say(index, "something");
            }
        }
        _ => {}
    }
}

fn meeting(seed: u64, most: usize, acts: usize) {
    let mut world = World::new(seed);
    let mut cast = Cast::default();
    world.packet_loss = [0, 10, 3][seed as usize % 3];
    world.delay = [20, 80, 400][seed as usize / 3 % 3];
    for _ in 0..acts {
        act(&mut world, &mut cast, most);
        let wait = [20, 300, 3000][world.below(3) as usize];
        let wait = world.below(wait);
        world.run(wait);
    }
    world.packet_loss = 0;
    for index in std::mem::take(&mut cast.away) {
        world.connect(index);
        cast.here.insert(index);
    }
    let here: Vec<usize> = cast.here.iter().copied().collect();
    // Who vanished last expires after 30 s; whoever was refused by a rate waits for its turn.
    world.note = format!("meeting {seed}");
    world.settle(&here, 120_000);
    let epoch = world.epoch(here[0]).unwrap();
    let key = &world.peers[here[0]].keys[&epoch];
    let holders: Vec<usize> = world.all_keys[key].iter().copied().collect();
    assert_eq!(holders, here);
}

#[test]
fn small_meetings() {
    for seed in 0..18 {
        meeting(seed, 6, 60);
    }
}

#[test]
fn meetings_of_sixteen() {
    for seed in 100..106 {
        meeting(seed, 16, 80);
    }
}

#[test]
#[ignore = "takes minutes: make soak"]
fn many_meetings() {
    for seed in 1000..1300 {
        meeting(seed, 4 + seed as usize % 9, 80);
    }
}
