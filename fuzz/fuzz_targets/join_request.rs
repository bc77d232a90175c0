//! The `join_request` parameter: once as the text that a client sends, once as the bytes inside the base64, so
//! that the fuzzer gets to the compression and the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::join_request::{self, JoinRequestError, MAX_BYTES};
use protocol::prost::Message as _;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    check(&base64_url(data));
});

fn check(parameter: &str) {
    let Ok(request) = join_request::decode(parameter) else { return };
    let size = request.encoded_len();
    if size <= MAX_BYTES {
        // Gzip may make random bytes longer than a parameter may be; it never changes what is in it.
        match join_request::decode(&join_request::encode(&request, true)) {
            Ok(read) => assert_eq!(read.encoded_len(), size),
            Err(error) => assert_eq!(error, JoinRequestError::TooLarge),
        }
    }
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, n| word << 8 | u32::from(chunk.get(n).copied().unwrap_or(0)));
        for n in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * n) & 63) as usize]));
        }
    }
    text
}
