//! One packet of a data track: what is forwarded has another handle and is otherwise the same.
#![no_main]

use std::num::NonZeroU16;

use libfuzzer_sys::fuzz_target;
use protocol::data_track::{Header, set_handle};

fuzz_target!(|data: &[u8]| {
    let Ok(header) = Header::parse(data) else { return };
    assert!(header.length <= data.len());
    let mut packet = data.to_vec();
    set_handle(&mut packet, NonZeroU16::MAX);
    assert_eq!(Header::parse(&packet), Ok(Header { handle: NonZeroU16::MAX, ..header }));
    set_handle(&mut packet, header.handle);
    assert_eq!(packet, data);
});
