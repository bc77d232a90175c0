//! `e2ee` for browsers: a session whose inputs and outputs are JSON, with bytes in it as base64. Everything that it says
//! is decided in `e2ee`; `crates/e2ee/src/session/wire.rs` has the messages.
//!
//! `scripts/wasm-build` compiles it. On other targets it is the same code without the glue, for clippy and tests.

use e2ee::keys::RoomKeys;
use e2ee::link::LinkSecret;
use e2ee::session;
use e2ee::signer::LeafKey;
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen::prelude::wasm_bindgen;

/// What is freed is overwritten first, also by libraries that forget to, so that no key outlives its use in the heap.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// What a session is for; see [`session::Config`].
#[derive(Deserialize)]
struct Config {
    origin: String,
    /// Normalised.
    room: String,
    /// Of the link, with or without `#`.
    fragment: String,
    #[serde(default)]
    password: Option<String>,
    /// Tidied.
    name: String,
}

/// See [`session::Session`].
#[cfg_attr(target_arch = "wasm32", wasm_bindgen)]
pub struct Session(session::Session);

#[cfg_attr(target_arch = "wasm32", wasm_bindgen)]
impl Session {
    /// Opens a session. `key` is the seed of the signature key, `seed` is random and used once; 32 bytes each. A
    /// password takes 64 MiB and a good part of a second.
    ///
    /// # Errors
    /// Why not, in English, for logs; without anything of what came in.
    pub fn open(config: &str, key: &[u8], seed: &[u8]) -> Result<Session, String> {
        let Config { origin, room, fragment, password, name } =
            serde_json::from_str(config).map_err(|_| "no such configuration")?;
        let secret = LinkSecret::from_fragment(&fragment).map_err(|error| error.to_string())?;
        let keys = RoomKeys::new(secret.ok_or("the link has no secret")?, &room);
        let password =
            password.map(|typed| keys.stretch(&typed)).transpose().map_err(|error| error.to_string())?;
        let key = LeafKey::from_seed(key.try_into().map_err(|_| "the key has another length")?);
        let seed = seed.try_into().map_err(|_| "the seed has another length")?;
        Ok(Self(session::Session::new(
            session::Config { origin, keys, password, name: name.into(), key },
            seed,
        )))
    }

    /// The identity that follows from the signature key.
    pub fn identity(&self) -> String {
        self.0.identity().to_owned()
    }

    /// Takes an input. `now` is in milliseconds since the epoch, and never goes back.
    ///
    /// # Errors
    /// If it is none; without anything of what came in.
    pub fn handle(&mut self, now: f64, input: &str) -> Result<(), String> {
        let input = serde_json::from_str(input).map_err(|_| "no such input")?;
        self.0.handle(now as u64, input);
        Ok(())
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<String> {
        self.0.poll().and_then(|output| serde_json::to_string(&output).ok())
    }

    /// When the input `timeout` is due, in milliseconds since the epoch.
    pub fn timeout(&self) -> Option<f64> {
        self.0.poll_timeout().map(|at| at as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> String {
        let fragment = LinkSecret::from_random([9; 20]).fragment();
        format!(r#"{{"origin":"https://meet.example","room":"a","fragment":"{fragment}","name":"Ann"}}"#)
    }

    #[test]
    fn a_session_greets_once_it_is_connected() {
        let mut session = Session::open(&config(), &[1; 32], &[2; 32]).expect("a session");
        assert_eq!(session.poll(), None);
        session.handle(1000.0, r#"{"type":"connected"}"#).expect("an input");
        let hello = session.poll().expect("an output");
        assert!(hello.starts_with(r#"{"type":"channel","message":{"type":"hello""#), "{hello}");
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        let refused = |config: &str, key: &[u8], seed: &[u8]| Session::open(config, key, seed).err();
        assert_eq!(refused("secret", &[1; 32], &[2; 32]).as_deref(), Some("no such configuration"));
        assert_eq!(refused(&config(), &[1; 31], &[2; 32]).as_deref(), Some("the key has another length"));
        assert_eq!(refused(&config(), &[1; 32], &[]).as_deref(), Some("the seed has another length"));
        let bare = config().replace(&LinkSecret::from_random([9; 20]).fragment(), "#_");
        assert_eq!(refused(&bare, &[1; 32], &[2; 32]).as_deref(), Some("the link has no secret"));
        let mut session = Session::open(&config(), &[1; 32], &[2; 32]).expect("a session");
        assert_eq!(session.handle(0.0, r#"{"type":"secret"}"#), Err("no such input".to_owned()));
    }
}
