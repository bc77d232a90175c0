//! What people compare to be sure that nobody else has the keys: digits, and emoji as a hint.

use sha2::{Digest, Sha256};

/// Groups of digits, five each: 30 digits, about 100 bits.
pub const DIGIT_GROUPS: usize = 6;

/// Emoji of the hint: 24 bits, enough to notice a mistake, not enough to be sure.
pub const EMOJI_COUNT: usize = 4;

/// 64 pictures that are told apart in words, in German and English.
const EMOJI: [&str; 64] = [
    "🐶", "🐱", "🦁", "🐴", "🦄", "🐷", "🐘", "🐰", "🐼", "🐓", "🐧", "🐢", "🐟", "🐙", "🦋", "🌷", "🌳",
    "🌵", "🍄", "🌏", "🌙", "☁️", "🔥", "🍌", "🍎", "🍓", "🌽", "🍕", "🎂", "❤️", "😀", "🤖", "🎩", "👓",
    "🔧", "🎅", "👍", "☂️", "⌛", "⏰", "🎁", "💡", "📕", "✏️", "📎", "✂️", "🔒", "🔑", "🔨", "☎️", "🏁",
    "🚂", "🚲", "✈️", "🚀", "🏆", "⚽", "🎸", "🎺", "🔔", "⚓", "🎧", "📁", "📌",
];

/// What is compared in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Groups of five digits.
    pub digits: [String; DIGIT_GROUPS],
    /// The hint.
    pub emoji: [&'static str; EMOJI_COUNT],
}

impl Verification {
    /// Follows from the epoch's authenticator (RFC 9420 §8.7): the same for all who are in the same state of the group.
    pub fn of(authenticator: &[u8]) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(b"konklave digits v1").chain_update(authenticator).finalize().into();
        let (number, hint) = hash.split_at(16);
        // 2¹²⁸ is 3·10⁸ times 10³⁰, so no digit is noticeably more likely than another.
        let mut number = number.iter().fold(0u128, |sum, &byte| sum << 8 | u128::from(byte)) % 10u128.pow(30);
        let mut digits: [String; DIGIT_GROUPS] = Default::default();
        for group in digits.iter_mut().rev() {
            *group = format!("{:05}", number % 100_000);
            number /= 100_000;
        }
        let emoji = std::array::from_fn(|index| EMOJI[usize::from(hint[index] & 63)]);
        Self { digits, emoji }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_digits_that_change_with_the_group() {
        let one = Verification::of(b"one");
        assert!(one.digits.iter().all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit())));
        assert_ne!(one.digits, Verification::of(b"two").digits);
        assert_eq!(one, Verification::of(b"one"));
    }

    #[test]
    fn no_picture_stands_for_two_numbers() {
        let all: std::collections::HashSet<_> = EMOJI.iter().collect();
        assert_eq!(all.len(), 64);
    }
}
