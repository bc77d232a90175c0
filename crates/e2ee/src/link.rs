//! The secret S of a meeting's link: 100 random bits that never reach the server (`docs/e2ee.md`, "The link's secret").

use std::fmt;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::base32;

/// Characters of S, five bits each.
pub const SECRET_CHARACTERS: usize = 20;

/// S and its check character.
pub const CODE_CHARACTERS: usize = SECRET_CHARACTERS + 1;

/// Version digit at the start of a link's fragment.
const VERSION: char = '1';

/// The secret of a link. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LinkSecret(String);

/// What is wrong with a code that a person typed or pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodeError {
    /// Nothing was typed.
    #[error("the code is empty")]
    Empty,
    /// Too short or too long.
    #[error("the code does not have {CODE_CHARACTERS} characters")]
    Length,
    /// A character that no code has.
    #[error("the code has a character that no code has")]
    Characters,
    /// The check character does not fit.
    #[error("there is a typo in the code")]
    Check,
    /// The fragment is of a version that this one does not know.
    #[error("the link is of another version")]
    Version,
}

impl LinkSecret {
    /// A fresh S out of random bytes, of which five bits each are used.
    pub fn from_random(random: [u8; SECRET_CHARACTERS]) -> Self {
        Self(random.into_iter().map(base32::digit).collect())
    }

    /// Reads a code as people type it: case, spaces, hyphens and look-alikes are forgiven.
    ///
    /// # Errors
    /// [`CodeError`] before anything is sent anywhere.
    pub fn from_code(typed: &str) -> Result<Self, CodeError> {
        let mut code = base32::tidy(typed, CODE_CHARACTERS + 1);
        if code.is_empty() {
            return Err(CodeError::Empty);
        }
        if code.chars().any(|c| base32::value(c).is_none()) {
            return Err(CodeError::Characters);
        }
        if code.len() != CODE_CHARACTERS {
            return Err(CodeError::Length);
        }
        let check = code.pop();
        let secret = Self(code);
        if check == Some(secret.check_character()) { Ok(secret) } else { Err(CodeError::Check) }
    }

    /// Reads the fragment of a link, with or without `#`. `None` where it holds no secret: a bare link, or `#_`, which
    /// redirects add so that a browser does not carry a secret along.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn from_fragment(fragment: &str) -> Result<Option<Self>, CodeError> {
        let body = fragment.strip_prefix('#').unwrap_or(fragment);
        if body.is_empty() || body == "_" {
            return Ok(None);
        }
        let code = body.strip_prefix(VERSION).ok_or(CodeError::Version)?;
        Self::from_code(code).map(Some)
    }

    /// S as the code that people read out: with its check character, without spaces.
    pub fn code(&self) -> String {
        format!("{}{}", self.0, self.check_character())
    }

    /// The fragment of the link, with `#`.
    pub fn fragment(&self) -> String {
        format!("#{VERSION}{}", self.code())
    }

    /// S as key material: 20 upper-case characters.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Σ position (1…20) × digit, mod 31, as a digit: finds every single wrong character but 0/Z and every swap of
    /// neighbours but 0/Z.
    fn check_character(&self) -> char {
        let sum: usize = self
            .0
            .chars()
            .zip(1..)
            .map(|(c, place)| place * usize::from(base32::value(c).unwrap_or(0)))
            .sum();
        base32::digit((sum % 31) as u8)
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> LinkSecret {
        LinkSecret::from_random(std::array::from_fn(|index| index as u8 * 7))
    }

    #[test]
    fn the_check_character_is_that_of_the_web_client() {
        // web/tests has the same example.
        let first = LinkSecret("0123456789ABCDEFGHJK".into());
        assert_eq!(first.check_character(), base32::digit((2660 % 31) as u8));
    }

    #[test]
    fn a_code_reads_as_it_was_written_and_as_people_write_it() {
        let code = secret().code();
        assert_eq!(LinkSecret::from_code(&code), Ok(secret()));
        let spelled = format!("{} {}-{}", &code[..5].to_lowercase(), &code[5..10], &code[10..]);
        assert_eq!(LinkSecret::from_code(&spelled), Ok(secret()));
        assert_eq!(LinkSecret::from_fragment(&secret().fragment()), Ok(Some(secret())));
    }

    #[test]
    fn bare_links_have_no_secret() {
        for bare in ["", "#", "#_", "_"] {
            assert_eq!(LinkSecret::from_fragment(bare), Ok(None));
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        let code = secret().code();
        assert_eq!(LinkSecret::from_code(" - "), Err(CodeError::Empty));
        assert_eq!(LinkSecret::from_code(&code[1..]), Err(CodeError::Length));
        assert_eq!(LinkSecret::from_code(&code.repeat(9)), Err(CodeError::Length));
        assert_eq!(LinkSecret::from_code(&format!("{}U", &code[1..])), Err(CodeError::Characters));
        assert_eq!(LinkSecret::from_fragment(&format!("#2{code}")), Err(CodeError::Version));
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", secret()), "LinkSecret");
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(random: [u8; 20], place in 0..20usize, other in 0..32u8) {
            let code = LinkSecret::from_random(random).code();
            let mut wrong: Vec<char> = code.chars().collect();
            let before = base32::value(wrong[place]).unwrap();
            prop_assume!(before % 31 != other % 31);
            wrong[place] = base32::digit(other);
            let wrong: String = wrong.into_iter().collect();
            prop_assert_eq!(LinkSecret::from_code(&wrong), Err(CodeError::Check));
        }

        #[test]
        fn nothing_typed_panics(typed in ".*") {
            let _ = LinkSecret::from_code(&typed);
            let _ = LinkSecret::from_fragment(&typed);
        }
    }
}
