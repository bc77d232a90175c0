//! Key frames in H.264 (RFC 6184), from NAL unit headers alone: single NAL units, STAP-A, FU-A.

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The NAL unit types in a packet, by what they begin.
///
/// A fragment (FU-A) counts only if it is the unit's first.
pub fn nal_types(payload: &[u8]) -> NalTypes<'_> {
    NalTypes { payload, state: State::Head }
}

/// Whether the packet begins a sequence parameter set or an IDR slice.
pub fn is_keyframe_start(payload: &[u8]) -> bool {
    nal_types(payload).any(|kind| kind == NAL_SPS || kind == NAL_IDR)
}

/// Whether the packet begins a sequence parameter set: where browsers begin their key frames.
pub fn has_parameter_set(payload: &[u8]) -> bool {
    nal_types(payload).any(|kind| kind == NAL_SPS)
}

/// Iterator over the NAL unit types (1 to 23) that begin in one packet.
#[derive(Clone, Debug)]
pub struct NalTypes<'a> {
    payload: &'a [u8],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Aggregate,
    Done,
}

impl Iterator for NalTypes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.state == State::Head {
            self.state = State::Done;
            let (&header, rest) = self.payload.split_first()?;
            match header & 0x1F {
                kind @ 1..=23 => return Some(kind),
                FU_A => {
                    let fragment = *rest.first()?;
                    return (fragment & 0x80 != 0).then_some(fragment & 0x1F);
                }
                STAP_A => {
                    self.payload = rest;
                    self.state = State::Aggregate;
                }
                _ => return None,
            }
        }
        while self.state == State::Aggregate {
            let unit = self
                .payload
                .split_first_chunk::<2>()
                .and_then(|(size, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*size))));
            let Some((unit, rest)) = unit else { break };
            self.payload = rest;
            if let Some(header) = unit.first() {
                return Some(header & 0x1F);
            }
        }
        self.state = State::Done;
        None
    }
}
