//! The floor: the same packets to the same destinations, sealed with the same profile into the same batch,
//! and nothing else. No session, no window, no rewriting.

use std::net::SocketAddr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use sfu::batch::SendBatch;

/// Header of a forwarded packet without extensions.
const HEADER: usize = 12;
const TAG: usize = 16;

/// One key per destination, as in a meeting.
pub(crate) struct Floor {
    destinations: Vec<(SocketAddr, LessSafeKey)>,
    /// As many different ones as arrive together, so that they lie where those lie in the cache.
    payloads: Vec<Vec<u8>>,
    sequence: u64,
}

impl Floor {
    pub(crate) fn new(addresses: &[SocketAddr], payload: usize) -> Result<Self, Unspecified> {
        let key = || {
            let key: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
            UnboundKey::new(&AES_256_GCM, &key).map(LessSafeKey::new)
        };
        let destinations =
            addresses.iter().map(|address| Ok((*address, key()?))).collect::<Result<_, Unspecified>>()?;
        Ok(Self { destinations, payloads: vec![vec![0x5a; payload]; crate::ARRIVING], sequence: 0 })
    }

    /// Seals `burst` packets for every destination; returns how many.
    pub(crate) fn burst(&mut self, burst: usize, batch: &mut SendBatch) -> Result<usize, Unspecified> {
        let first = self.sequence;
        self.sequence += burst as u64;
        for (address, key) in &self.destinations {
            for sequence in first..self.sequence {
                let payload = &self.payloads[sequence as usize % self.payloads.len()];
                batch.push(*address, None, |out| seal(key, sequence, payload, out))?;
            }
        }
        Ok(burst * self.destinations.len())
    }
}

fn seal(key: &LessSafeKey, sequence: u64, payload: &[u8], out: &mut [u8]) -> Result<usize, Unspecified> {
    let total = HEADER + payload.len() + TAG;
    let (header, body) = out.get_mut(..total).ok_or(Unspecified)?.split_at_mut(HEADER);
    header.copy_from_slice(&[0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    header[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_scatter(nonce, Aad::from(&*header), &mut [], payload, body)?;
    Ok(total)
}
