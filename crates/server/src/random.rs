//! The system's randomness.

/// Fills the slice. The process cannot do its work without randomness and says so by panicking, which no
/// input from the network can cause.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system has randomness");
}

/// An array of random bytes.
pub(crate) fn array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}
