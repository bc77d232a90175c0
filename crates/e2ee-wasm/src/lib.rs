//! `e2ee` for the browser: JSON in and out of a WebAssembly module. Everything that it says is decided in `e2ee`.
//!
//! `scripts/wasm-build` compiles it. On other targets it is the same code without the glue, for clippy and tests.

use e2ee::link::LinkSecret;
use serde::{Deserialize, Serialize};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen::prelude::wasm_bindgen;

/// What is freed is overwritten first, also by libraries that forget to, so that no key outlives its use in the heap.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// What the page may ask.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Input {
    /// Which version this is.
    Version,
    /// Whether what somebody typed is the code of a link.
    Code { typed: String },
}

/// What it is answered.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Output {
    Version {
        version: &'static str,
    },
    /// It is, and this is the link's fragment, with `#`.
    Link {
        fragment: String,
    },
    /// It is not, or the input was none, with why in English, for logs; never with the input's content.
    Refused {
        why: String,
    },
}

/// One message in, one out.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen)]
pub fn handle(input: &str) -> String {
    let output = match serde_json::from_str(input) {
        Ok(Input::Version) => Output::Version { version: env!("CARGO_PKG_VERSION") },
        Ok(Input::Code { typed }) => match LinkSecret::from_code(&typed) {
            Ok(secret) => Output::Link { fragment: secret.fragment() },
            Err(error) => Output::Refused { why: error.to_string() },
        },
        Err(_) => Output::Refused { why: "no such message".to_owned() },
    };
    serde_json::to_string(&output).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::handle;

    #[test]
    fn it_tells_its_version() {
        assert_eq!(
            handle(r#"{"type":"version"}"#),
            format!(r#"{{"type":"version","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn codes_are_checked() {
        let secret = e2ee::link::LinkSecret::from_random([9; 20]);
        let input = format!(r#"{{"type":"code","typed":"{}"}}"#, secret.code().to_lowercase());
        assert_eq!(handle(&input), format!(r#"{{"type":"link","fragment":"{}"}}"#, secret.fragment()));
        assert_eq!(
            handle(r#"{"type":"code","typed":""}"#),
            r#"{"type":"refused","why":"the code is empty"}"#
        );
    }

    #[test]
    fn what_is_no_message_is_refused_and_not_repeated() {
        for wrong in ["", "secret", r#"{"type":"secret"}"#] {
            assert_eq!(handle(wrong), r#"{"type":"refused","why":"no such message"}"#);
        }
    }
}
