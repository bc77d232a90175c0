//! One datagram as RTP: accepted ones divide completely, and their extensions survive being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::header::{ExtensionForm, HeaderBuilder, HeaderFields};
use rtp::packet::{RtpPacket, is_rtcp};

fuzz_target!(|data: &[u8]| {
    let _ = is_rtcp(data);
    let Ok(packet) = RtpPacket::parse(data) else { return };
    assert_eq!(packet.header_len() + packet.payload().len() + packet.padding_len(), data.len());

    let fields = HeaderFields {
        marker: packet.marker(),
        payload_type: packet.payload_type(),
        sequence_number: packet.sequence_number(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
    };
    // Two-byte headers express whatever was read: an element grows by at most one byte.
    let mut out = vec![0; 2 * packet.header_len() + 16];
    let mut builder = HeaderBuilder::new(&mut out, &fields, ExtensionForm::TwoByte);
    for (id, value) in packet.extensions() {
        builder.extension(id, value);
    }
    let len = builder.finish().expect("the buffer is large enough");
    let written = RtpPacket::parse(&out[..len]).expect("what is written is read");
    assert!(written.extensions().eq(packet.extensions()));
    assert_eq!(
        (
            written.marker(),
            written.payload_type(),
            written.sequence_number(),
            written.timestamp(),
            written.ssrc()
        ),
        (fields.marker, fields.payload_type, fields.sequence_number, fields.timestamp, fields.ssrc),
    );
});
