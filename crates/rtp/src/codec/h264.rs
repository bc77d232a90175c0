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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_units() {
        assert!(is_keyframe_start(&[0x67, 0x42]) && is_keyframe_start(&[0x65, 0x88]));
        assert!(!is_keyframe_start(&[0x41, 0x9A]), "a slice of another picture");
        assert!(!is_keyframe_start(&[0x68, 0xCE]), "a picture parameter set alone");
        assert!(has_parameter_set(&[0x67]) && !has_parameter_set(&[0x65]));
    }

    #[test]
    fn an_aggregate_as_browsers_send_before_a_key_frame() {
        let stap_a = [0x78, 0, 2, 0x67, 0x42, 0, 0, 0, 1, 0x68];
        assert_eq!(nal_types(&stap_a).collect::<Vec<_>>(), [7, 8], "an empty unit is stepped over");
        assert!(is_keyframe_start(&stap_a));
        let without = [0x78, 0, 1, 0x68, 0, 1, 0x41];
        assert!(!is_keyframe_start(&without));
        let cut = [0x78, 0, 9, 0x67];
        assert_eq!(nal_types(&cut).count(), 0);
    }

    #[test]
    fn fragments_count_with_their_first_packet() {
        assert!(is_keyframe_start(&[0x7C, 0x85]), "start of an IDR slice");
        assert!(!is_keyframe_start(&[0x7C, 0x05]) && !is_keyframe_start(&[0x7C, 0x45]));
        assert!(!is_keyframe_start(&[0x7C, 0x81]), "start of another slice");
    }

    #[test]
    fn what_is_not_used_in_webrtc_is_nothing() {
        for payload in [&[][..], &[0x7C], &[0x78], &[0x79, 0, 0, 0, 1, 0x65], &[0x1F], &[0x00]] {
            assert!(!is_keyframe_start(payload), "{payload:?}");
        }
    }
}
