//! The `join_request` parameter of `/rtc/v1`: base64 of a `WrappedJoinRequest`, gzipped or not.
//!
//! It is the first thing a stranger can send, so its size is bounded before and after inflation.

use std::io::{Read, Write};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use livekit_protocol::wrapped_join_request::Compression as Wrapping;
use livekit_protocol::{JoinRequest, WrappedJoinRequest};
use prost::Message;

use crate::problem::Code;

/// Bytes of a join request after inflation; a browser's is about 10 kB. Raising it lets strangers make the
/// server inflate more per request.
pub const MAX_BYTES: usize = 256 << 10;

/// Bytes of the parameter itself: no request target of HTTP/1 is longer (`hyper` refuses them).
const MAX_PARAMETER_BYTES: usize = 65_534;

/// Clients differ in padding, and some send the standard alphabet.
const CODEC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a join request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRequestError {
    /// Larger than [`MAX_BYTES`], before or after inflation.
    #[error("the join request is too large")]
    TooLarge,
    /// Not base64.
    #[error("the join request is not base64")]
    Base64,
    /// Not gzip although it says so.
    #[error("the join request is not gzip")]
    Gzip,
    /// Neither plain nor gzip.
    #[error("the join request is compressed in an unknown way")]
    Compression,
    /// Not the protobuf message it should be.
    #[error("the join request is not a JoinRequest message")]
    Protobuf,
}

impl JoinRequestError {
    /// The stable code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Self::TooLarge => Code::JoinRequestTooLarge,
            Self::Base64 | Self::Gzip | Self::Compression | Self::Protobuf => Code::JoinRequestMalformed,
        }
    }
}

/// Reads the parameter.
///
/// # Errors
/// [`JoinRequestError`]; never more than [`MAX_BYTES`] are inflated.
pub fn decode(parameter: &str) -> Result<JoinRequest, JoinRequestError> {
    if parameter.len() > MAX_PARAMETER_BYTES {
        return Err(JoinRequestError::TooLarge);
    }
    // A `+` that was not percent-encoded arrives as a blank.
    let url_safe: String = parameter
        .chars()
        .map(|character| match character {
            '+' | ' ' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    let wrapped = CODEC.decode(url_safe).map_err(|_| JoinRequestError::Base64)?;
    let wrapped = WrappedJoinRequest::decode(wrapped.as_slice()).map_err(|_| JoinRequestError::Protobuf)?;
    let bytes = match Wrapping::try_from(wrapped.compression) {
        Ok(Wrapping::None) => wrapped.join_request,
        Ok(Wrapping::Gzip) => inflate(&wrapped.join_request)?,
        Err(_) => return Err(JoinRequestError::Compression),
    };
    if bytes.len() > MAX_BYTES {
        return Err(JoinRequestError::TooLarge);
    }
    JoinRequest::decode(bytes.as_slice()).map_err(|_| JoinRequestError::Protobuf)
}

/// Writes the parameter, gzipped or not, in the URL-safe alphabet with padding, which is the form that
/// LiveKit's own server insists on.
pub fn encode(request: &JoinRequest, gzip: bool) -> String {
    let plain = request.encode_to_vec();
    let (compression, join_request) = match gzip.then(|| deflate(&plain)).flatten() {
        Some(zipped) => (Wrapping::Gzip, zipped),
        None => (Wrapping::None, plain),
    };
    let wrapped = WrappedJoinRequest { compression: compression.into(), join_request };
    CODEC.encode(wrapped.encode_to_vec())
}

/// Writing to memory does not fail; if it ever did, the plain form is as good.
fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(plain).and_then(|()| gzip.finish()).ok()
}

fn inflate(zipped: &[u8]) -> Result<Vec<u8>, JoinRequestError> {
    let mut bytes = Vec::new();
    GzDecoder::new(zipped)
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| JoinRequestError::Gzip)?;
    if bytes.len() > MAX_BYTES { Err(JoinRequestError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use livekit_protocol::{ConnectionSettings, SessionDescription};

    use super::*;

    fn request(sdp: &str) -> JoinRequest {
        JoinRequest {
            connection_settings: Some(ConnectionSettings { auto_subscribe: true, ..Default::default() }),
            publisher_offer: Some(SessionDescription {
                r#type: "offer".into(),
                sdp: sdp.into(),
                id: 1,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn wrap(compression: i32, join_request: Vec<u8>) -> Vec<u8> {
        WrappedJoinRequest { compression, join_request }.encode_to_vec()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let request = request(&"a=candidate\r\n".repeat(100));
        let (plain, zipped) = (encode(&request, false), encode(&request, true));
        assert!(zipped.len() < plain.len() / 4);
        for parameter in [plain, zipped] {
            assert_eq!(parameter.len() % 4, 0, "padded");
            assert_eq!(decode(&parameter), Ok(request.clone()));
        }
    }

    #[test]
    fn every_spelling_of_base64_is_read() {
        let request = request(&"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n".repeat(20));
        let standard = STANDARD.encode(wrap(0, request.encode_to_vec()));
        assert_eq!(decode(&standard), Ok(request.clone()), "standard alphabet, padded");
        assert_eq!(decode(&standard.replace('+', " ")), Ok(request), "an unescaped plus");
    }

    #[test]
    fn a_small_parameter_cannot_inflate_without_bound() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![0; 32 << 20]).expect("memory takes it");
        let bomb = wrap(1, gzip.finish().expect("memory takes it"));
        assert!(bomb.len() * 4 / 3 < MAX_PARAMETER_BYTES, "{}", bomb.len());
        assert_eq!(decode(&STANDARD.encode(bomb)), Err(JoinRequestError::TooLarge));
    }

    #[test]
    fn a_request_over_the_bound_is_refused_in_every_form() {
        let large = request(&"x".repeat(MAX_BYTES));
        assert_eq!(decode(&encode(&large, true)), Err(JoinRequestError::TooLarge));
        assert_eq!(decode(&STANDARD.encode(wrap(0, large.encode_to_vec()))), Err(JoinRequestError::TooLarge));
        assert_eq!(decode(&"A".repeat(MAX_BYTES * 2)), Err(JoinRequestError::TooLarge));
    }

    #[test]
    fn each_defect_has_its_name() {
        for (parameter, error) in [
            ("!".to_owned(), JoinRequestError::Base64),
            (STANDARD.encode([0xff; 8]), JoinRequestError::Protobuf),
            (STANDARD.encode(wrap(1, b"no gzip".to_vec())), JoinRequestError::Gzip),
            (STANDARD.encode(wrap(7, Vec::new())), JoinRequestError::Compression),
            (STANDARD.encode(wrap(0, vec![0xff; 8])), JoinRequestError::Protobuf),
        ] {
            assert_eq!(decode(&parameter), Err(error));
        }
    }
}
