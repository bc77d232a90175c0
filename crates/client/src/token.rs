//! Access tokens for tests and tools that hold the server's key themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use protocol::token::{ApiKeys, Claims, VideoGrants};

/// How long a token made here is valid.
pub const VALID_FOR: Duration = Duration::from_secs(600);

/// Claims that let `identity` join `room`, publish, subscribe and send data, valid from now on for [`VALID_FOR`].
pub fn join_claims(key: &str, room: &str, identity: &str) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Claims {
        iss: key.to_owned(),
        sub: identity.to_owned(),
        // A minute back, for a server whose clock is behind.
        nbf: now.as_secs().saturating_sub(60),
        exp: (now + VALID_FOR).as_secs(),
        video: VideoGrants {
            room: room.to_owned(),
            room_join: true,
            can_publish: Some(true),
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            can_update_own_metadata: Some(true),
            ..VideoGrants::default()
        },
        ..Claims::default()
    }
}

/// Signs claims with HS256 under `secret`, whatever key id they name.
pub fn sign(claims: &Claims, secret: &str) -> String {
    let mut keys = ApiKeys::new();
    keys.insert(claims.iss.clone(), secret);
    // The key named by the claims was inserted above, and claims always serialise.
    keys.sign(claims).unwrap_or_default()
}

/// A token for `identity` in `room` with the usual rights: [`join_claims`] and [`sign`] in one.
pub fn join(key: &str, secret: &str, room: &str, identity: &str) -> String {
    sign(&join_claims(key, room, identity), secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_made_here_is_accepted_under_its_key_and_no_other() {
        let token = join("devkey", "secret", "blue", "ada");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut keys = ApiKeys::new();
        keys.insert("devkey", "secret");
        let claims = keys.verify(&token, now).unwrap();
        assert_eq!((claims.sub.as_str(), claims.video.room.as_str()), ("ada", "blue"));
        assert!(claims.video.room_join);
        keys.insert("devkey", "other");
        assert!(keys.verify(&token, now).is_err());
    }
}
