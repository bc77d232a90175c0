//! One message of a channel, as a member or the server may send it: what is accepted is read back as it was written, and
//! what is opaque in it is no longer than its text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::channel::{FromServer, ToServer};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = serde_json::from_str::<ToServer>(text) {
        if let ToServer::Submit { data, .. } | ToServer::KeyPackage { data } = &message {
            assert!(data.0.len() < text.len());
        }
        let written = serde_json::to_string(&message).expect("it has a text");
        assert!(serde_json::from_str::<ToServer>(&written).expect("it is read back") == message);
        assert!(!format!("{message:?}").contains('"'), "nothing of it is printed");
    }
    if let Ok(message) = serde_json::from_str::<FromServer>(text) {
        let written = serde_json::to_string(&message).expect("it has a text");
        assert!(serde_json::from_str::<FromServer>(&written).expect("it is read back") == message);
    }
});
