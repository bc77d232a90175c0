//! Whose turn it is among those who speak: one participant at a time, who stays until somebody else clearly speaks
//! instead.
//!
//! After Volfin and Cohen ("Dominant speaker identification for multipoint videoconferencing", 2012): somebody takes
//! over who is ahead in the immediate, the medium and the long window at once. So neither a loud word nor a long
//! monologue in the past decides alone. Differently from there, windows hold sound weighted by loudness instead of
//! likelihoods, and who fell silent gives way sooner.

use std::collections::BTreeMap;

use crate::track::loudness::Activity;

/// Milliseconds of sound within a second that it takes to follow somebody. Words of assent in somebody's pause are
/// shorter.
const FOLLOWS_MS: u32 = 500;

/// How much more than the dominant speaker somebody must be heard who talks over them, in the immediate and the medium
/// window, in percent: with 100, two who speak at once would take turns with every phrase.
const AHEAD_PERCENT: u32 = 150;

/// Looks, one an interval of 100 ms, for which somebody who goes on speaking stays dominant: before, the windows hold
/// nothing to compare. More makes a false start last longer.
const HOLD: u32 = 10;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Dominance {
    dominant: Option<usize>,
    /// Looks since it became so.
    held: u32,
}

impl Dominance {
    /// Key of the participant who speaks, or who spoke last.
    pub(super) fn dominant(&self) -> Option<usize> {
        self.dominant
    }

    /// A participant is gone.
    pub(super) fn remove(&mut self, key: usize) {
        self.dominant.take_if(|dominant| *dominant == key);
    }

    /// Looks again, after an interval.
    pub(super) fn update(&mut self, voices: &BTreeMap<usize, Activity>) {
        self.held = self.held.saturating_add(1);
        let others = voices.iter().filter(|(key, voice)| voice.is_active && self.dominant != Some(**key));
        let Some((key, challenger)) = others.max_by_key(|(_, voice)| voice.medium) else { return };
        let takes_over = match self.dominant {
            None => true,
            Some(dominant) => {
                let present = voices.get(&dominant).copied().unwrap_or_default();
                challenger.heard_ms >= FOLLOWS_MS
                    && (!present.is_active || self.held > HOLD && is_ahead(challenger, &present))
            }
        };
        if takes_over {
            (self.dominant, self.held) = (Some(*key), 0);
        }
    }
}

/// Whether somebody talks over the dominant speaker successfully.
fn is_ahead(challenger: &Activity, present: &Activity) -> bool {
    let clearly = |one: u32, other: u32| one > other.saturating_mul(AHEAD_PERCENT) / 100;
    clearly(challenger.immediate, present.immediate)
        && clearly(challenger.medium, present.medium)
        && challenger.long > present.long
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtp::extension::AudioLevel;

    use super::*;
    use crate::track::loudness::Loudness;

    /// A small generator of numbers (xorshift): traces are the same in every run.
    struct Dice(u32);

    impl Dice {
        fn roll(&mut self, sides: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0 % sides
        }
    }

    /// What somebody's microphone hears during 20 ms packets.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Sound {
        /// The room.
        Quiet,
        /// Syllables of 120 to 240 ms with dips of 40 ms between them, at this level.
        Speech(u8),
        /// Keys, one every 160 ms, 20 ms each.
        Keys,
        /// Something loud without end: a cough, a door.
        Bang,
    }

    /// People whose microphones are heard, in virtual time.
    struct Table {
        people: Vec<(Loudness, Sound)>,
        packets: u32,
        dice: Dice,
        dominance: Dominance,
        /// Milliseconds at which the dominant speaker changed, and to whom.
        changes: Vec<(u32, usize)>,
    }

    impl Table {
        fn new(people: usize) -> Self {
            Self {
                people: (0..people).map(|_| (Loudness::default(), Sound::Quiet)).collect(),
                packets: 0,
                dice: Dice(0x9E37_79B9),
                dominance: Dominance::default(),
                changes: Vec::new(),
            }
        }

        fn level(&mut self, sound: Sound) -> u8 {
            let jitter = self.dice.roll(7) as u8;
            match sound {
                Sound::Quiet => 68 + jitter,
                Sound::Speech(level) if self.packets % 11 < 8 + self.dice.roll(2) => level + jitter,
                Sound::Speech(_) => 60 + jitter,
                Sound::Keys if self.packets.is_multiple_of(8) => 20 + jitter,
                Sound::Keys => 65 + jitter,
                Sound::Bang => 5 + jitter,
            }
        }

        /// Time passes in which everybody goes on as they are.
        fn run(&mut self, millis: u32) {
            for _ in 0..millis / 20 {
                self.packets += 1;
                for person in 0..self.people.len() {
                    let sound = self.people[person].1;
                    let level = self.level(sound);
                    let voice = matches!(sound, Sound::Speech(_) | Sound::Bang);
                    self.people[person].0.observe(AudioLevel { voice, level }, self.packets * 960);
                }
                if self.packets.is_multiple_of(5) {
                    let voices = self
                        .people
                        .iter_mut()
                        .enumerate()
                        .map(|(key, (loudness, _))| (key, loudness.finish_intervals(1)))
                        .collect();
                    let before = self.dominance.dominant();
                    self.dominance.update(&voices);
                    if let Some(dominant) = self.dominance.dominant().filter(|now| before != Some(*now)) {
                        self.changes.push((self.packets * 20, dominant));
                    }
                }
            }
        }

        fn set(&mut self, person: usize, sound: Sound) {
            self.people[person].1 = sound;
        }

        fn dominant(&self) -> Option<usize> {
            self.dominance.dominant()
        }
    }

    const LOUD: Sound = Sound::Speech(16);
    const NORMAL: Sound = Sound::Speech(24);

    #[test]
    fn the_first_who_speaks_is_followed_within_half_a_second() {
        let mut table = Table::new(3);
        table.run(2000);
        assert_eq!(table.dominant(), None);
        table.set(1, NORMAL);
        table.run(500);
        assert_eq!(table.dominant(), Some(1));
    }

    #[test]
    fn a_turn_is_followed_within_a_second() {
        let mut table = Table::new(2);
        table.set(0, NORMAL);
        table.run(10_000);
        for turn in 0..20 {
            let (from, to) = (turn % 2, (turn + 1) % 2);
            table.set(from, Sound::Quiet);
            table.run(200); // what people leave between turns
            table.set(to, NORMAL);
            table.run(1000);
            assert_eq!(table.dominant(), Some(to));
            table.run(2000);
        }
        assert_eq!(table.changes.len(), 21, "{:?}", table.changes);
    }

    #[test]
    fn coughs_doors_keyboards_and_words_of_assent_change_nothing() {
        let mut table = Table::new(4);
        table.set(0, NORMAL);
        table.run(3000);
        table.set(1, Sound::Keys);
        for round in 0..40 {
            table.run(1200);
            table.set(2, Sound::Bang);
            table.run(300);
            table.set(2, Sound::Quiet);
            if round % 2 == 0 {
                // In somebody's pause, when it is easiest.
                table.set(0, Sound::Quiet);
                table.run(200);
                table.set(3, LOUD);
                table.run(400);
                table.set(3, Sound::Quiet);
                table.run(100);
                table.set(0, NORMAL);
            }
        }
        assert_eq!(table.changes.len(), 1, "{:?}", table.changes);
    }

    #[test]
    fn of_two_who_speak_at_once_the_first_stays_until_the_other_is_clearly_louder() {
        let mut table = Table::new(2);
        table.set(0, NORMAL);
        table.run(4000);
        table.set(1, Sound::Speech(20));
        table.run(60_000);
        assert_eq!(table.changes, [(table.changes[0].0, 0)]);
        table.set(1, Sound::Speech(6));
        table.run(3000);
        assert_eq!(table.dominant(), Some(1));
        assert_eq!(table.changes.len(), 2);
    }

    #[test]
    fn a_lively_discussion_changes_with_its_turns_and_not_oftener() {
        let mut table = Table::new(5);
        let (mut speaker, mut turns) = (0, 0);
        table.set(0, NORMAL);
        while table.packets < 5 * 60 * 50 {
            let phrases = 1 + table.dice.roll(4);
            for _ in 0..phrases {
                let length = 800 + table.dice.roll(2000);
                table.run(length);
                if table.dice.roll(2) == 0 {
                    // Somebody else says a word meanwhile.
                    let other = (speaker + 1 + table.dice.roll(4) as usize) % 5;
                    table.set(other, LOUD);
                    let length = 200 + table.dice.roll(150);
                    table.run(length);
                    table.set(other, Sound::Quiet);
                }
                table.set(speaker, Sound::Quiet);
                let pause = 100 + table.dice.roll(500);
                table.run(pause);
                table.set(speaker, NORMAL);
            }
            // The next one cuts in a little before the last one ends.
            let next = (speaker + 1 + table.dice.roll(4) as usize) % 5;
            table.set(next, NORMAL);
            let overlap = table.dice.roll(500);
            table.run(overlap);
            table.set(speaker, Sound::Quiet);
            (speaker, turns) = (next, turns + 1);
        }
        let changes = table.changes.len();
        assert!(changes <= turns + 1, "{changes} changes in {turns} turns");
        assert!(changes * 10 >= turns * 8, "{changes} changes in {turns} turns");
        assert!(changes / 5 <= 25, "{changes} in five minutes");
    }

    #[test]
    fn who_leaves_is_not_dominant_any_more() {
        let mut table = Table::new(2);
        table.set(0, NORMAL);
        table.run(1000);
        table.dominance.remove(1);
        assert_eq!(table.dominant(), Some(0));
        table.dominance.remove(0);
        assert_eq!(table.dominant(), None);
    }

    proptest! {
        /// Whatever is heard: a change needs half a second of sound of whoever takes over, so there are at most two
        /// a second however many people make noise.
        #[test]
        fn changes_are_bounded(steps in prop::collection::vec((0usize..4, 0u8..5, 1u32..20), 1..60)) {
            let mut table = Table::new(4);
            for (person, sound, length) in steps {
                let sound = match sound {
                    0 => Sound::Quiet,
                    1 => NORMAL,
                    2 => LOUD,
                    3 => Sound::Keys,
                    _ => Sound::Bang,
                };
                table.set(person, sound);
                table.run(length * 100);
            }
            for pair in table.changes.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 300, "{:?}", table.changes);
            }
        }
    }
}
