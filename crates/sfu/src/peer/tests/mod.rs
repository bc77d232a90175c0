//! Scenarios between a transport and `str0m` as the independent other end, over a virtual wire.

mod connecting;
mod data;
mod hostile;
mod media;
mod wire;

/// Bytes from hexadecimal digits; anything else between them is skipped.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
