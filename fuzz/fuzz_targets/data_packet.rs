//! Messages inside SCTP and WebSocket: a data packet and a signal request, read as the server reads them. What
//! was read is written and read back, because data packets are forwarded re-encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::livekit::{DataPacket, SignalRequest};
use protocol::prost::Message;

fuzz_target!(|data: &[u8]| {
    round_trip::<DataPacket>(data);
    round_trip::<SignalRequest>(data);
});

fn round_trip<M: Message + Default>(data: &[u8]) {
    let Ok(message) = M::decode(data) else { return };
    let bytes = message.encode_to_vec();
    // Defaults of map entries are written out, so it may grow, but by no more than what names them.
    assert!(bytes.len() <= data.len() * 12 + 16, "{} bytes became {}", data.len(), bytes.len());
    let again = M::decode(bytes.as_slice()).expect("what is written is read");
    assert_eq!(again.encoded_len(), bytes.len());
}
