//! The link of a meeting: where it is, which room, and the secret behind `#`.

use std::fmt;

use e2ee::link::LinkSecret;
use protocol::room_name;

use crate::error::MemberError;

/// A link that was read. `Debug` shows no secret.
#[derive(Clone)]
pub struct Invitation {
    /// Scheme and authority, without a slash at the end.
    pub origin: String,
    /// The room's normalised name.
    pub room: String,
    /// The link's secret.
    pub secret: LinkSecret,
}

impl Invitation {
    /// Reads `https://host/ROOM#…`.
    ///
    /// # Errors
    /// [`MemberError::Invitation`].
    pub fn parse(link: &str) -> Result<Self, MemberError> {
        let bad = MemberError::Invitation;
        let (address, fragment) = link.trim().split_once('#').ok_or(bad("it has no fragment"))?;
        let (scheme, rest) = address.split_once("://").ok_or(bad("it has no scheme"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(bad("its scheme is neither http nor https"));
        }
        let (authority, path) = rest.split_once('/').ok_or(bad("it has no path"))?;
        let name = unescape(path).ok_or(bad("its path is no text"))?;
        let room = room_name::normalise(&name).map_err(|_| bad("its path is no room"))?;
        let secret = LinkSecret::from_fragment(fragment).map_err(|_| bad("its secret is mistyped"))?;
        let secret = secret.ok_or(bad("it has no secret"))?;
        Ok(Self { origin: format!("{scheme}://{authority}"), room: room.expose().to_owned(), secret })
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|two| !two.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(before: &str) -> String {
        format!("{before}{}", LinkSecret::from_random([9; 20]).fragment())
    }

    #[test]
    fn a_link_names_the_instance_the_room_and_the_secret() {
        let read = Invitation::parse(&link("http://127.0.0.1:7880/K%C3%BCche")).expect("an invitation");
        assert_eq!((read.origin.as_str(), read.room.as_str()), ("http://127.0.0.1:7880", "küche"));
        assert_eq!(read.secret.fragment(), LinkSecret::from_random([9; 20]).fragment());
        assert_eq!(client::escape(&read.room), "k%C3%BCche");
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        let mistyped = link("https://meet.example/a").replace('#', "#1");
        let bad = [
            "https://meet.example/a".to_owned(),
            "https://meet.example/a#_".to_owned(),
            link("meet.example/a"),
            link("ftp://meet.example/a"),
            link("https://meet.example"),
            link("https://meet.example/"),
            link("https://meet.example/%"),
            link("https://meet.example/%+1"),
            link("https://meet.example/%FF"),
            mistyped,
        ];
        for bad in bad {
            let error = Invitation::parse(&bad).expect_err(&bad);
            assert_eq!(error.code(), "invitation");
            assert!(!error.to_string().contains("example"), "{error}");
        }
    }
}
