//! A running hash over everything that leaves the core: two runs that agree in it agree packet by packet.

use std::time::Duration;

/// FNV-1a in 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Adds what left when and to whom.
    pub fn add(&mut self, now: Duration, client: usize, bytes: &[u8]) {
        self.fold(&now.as_nanos().to_be_bytes());
        self.fold(&client.to_be_bytes());
        self.fold(bytes);
    }

    /// The value so far.
    pub fn value(self) -> u64 {
        self.0
    }

    fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
