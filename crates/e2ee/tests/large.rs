//! Large meetings. That of 200 takes minutes: `make soak`.

#[allow(dead_code, reason = "shared with the other files of tests")]
mod world;

use world::{LINK, World};

/// Everybody comes within seconds, as at the start of a lesson; then some leave at once, and late ones come.
fn lesson(seed: u64, count: u8) {
    let mut world = World::new(seed);
    let mut here: Vec<usize> = Vec::new();
    for key in 1..=count {
        here.push(world.join(LINK, key));
        let wait = world.below(100);
        world.run(wait);
    }
    world.settle(&here, 120_000);
    let left = here.split_off(here.len() * 3 / 4);
    for index in left {
        world.vanish(index);
    }
    for key in 0..5 {
        let late = world.join(LINK, 240 + key);
        here.push(late);
    }
    world.settle(&here, 120_000);
    world.say(here[0], "that is all for today");
    world.run(2000);
    assert!(here[1..].iter().all(|&index| world.peers[index].said.len() == 1));
}

#[test]
fn a_lesson_of_64() {
    lesson(1, 64);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn lessons_of_200() {
    for seed in 2..4 {
        lesson(seed, 195);
    }
}
