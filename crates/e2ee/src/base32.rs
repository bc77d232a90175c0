//! Crockford's base32: 32 characters without I, L, O and U, so that a code can be read out. Reading is forgiving,
//! writing is not.

/// The digits, upper case.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The digit of the five lowest bits.
pub(crate) fn digit(value: u8) -> char {
    char::from(DIGITS[usize::from(value & 31)])
}

/// The value of a digit as it is written.
pub(crate) fn value(digit: char) -> Option<u8> {
    let byte = u8::try_from(digit).ok()?;
    DIGITS.iter().position(|&known| known == byte).and_then(|at| u8::try_from(at).ok())
}

/// Upper case, separators dropped, O read as 0, I and L as 1. May still hold characters that are no digits. Takes at
/// most `limit` characters.
pub(crate) fn tidy(typed: &str, limit: usize) -> String {
    typed
        .chars()
        .flat_map(char::to_uppercase)
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}' | '_' | '.' | '·'))
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .take(limit)
        .collect()
}

/// The first `count` digits of a bit string, five bits each, highest first.
///
/// # Panics
/// Never; digits beyond the bytes are zero.
pub(crate) fn encode(bytes: &[u8], count: usize) -> String {
    (0..count)
        .map(|index| {
            let bit = index * 5;
            let high = bytes.get(bit / 8).copied().unwrap_or(0);
            let low = bytes.get(bit / 8 + 1).copied().unwrap_or(0);
            let window = u16::from_be_bytes([high, low]) << (bit % 8);
            digit((window >> 11) as u8)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_taken_from_the_highest_on() {
        assert_eq!(encode(&[0b1111_1000, 0b0100_0000, 0], 3), "Z10");
        assert_eq!(encode(&[0xff; 20], 26), "Z".repeat(26));
        assert_eq!(encode(&[], 2), "00");
    }

    #[test]
    fn every_digit_reads_as_what_was_written() {
        for number in 0..32 {
            assert_eq!(value(digit(number)), Some(number));
        }
        for other in ['I', 'L', 'O', 'U', 'a', 'ü', ' '] {
            assert_eq!(value(other), None, "{other}");
        }
    }

    #[test]
    fn look_alikes_and_separators_are_forgiven() {
        assert_eq!(tidy(" oil-a b.c_d–e ", 99), "011ABCDE");
    }
}
