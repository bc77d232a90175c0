//! The one transport of an offer: which sections share it, and whose it is (RFC 9143, 8839, 8842, 8122).

use std::collections::{HashMap, HashSet};

use super::parse::{SessionDescription, Transport, parse_digest};
use super::{HashAlgorithm, SdpError, Setup};

/// Characters of a `mid`: browsers count from 0.
const MAX_MID: usize = rtp::extension::MAX_STREAM_NAME;
/// Transport facts of an offer; equal in every offer but for ICE restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerTransport {
    pub(super) ice_ufrag: String,
    pub(super) ice_pwd: String,
    pub(super) fingerprint: (HashAlgorithm, Vec<u8>),
    pub(super) setup: Setup,
}

/// Mids are short tokens, and no two sections share one; refused sections need none.
pub(super) fn check_mids(offer: &SessionDescription<'_>) -> Result<(), SdpError> {
    if offer.sections.is_empty() {
        return Err(SdpError::NoSections);
    }
    let mut seen = HashSet::with_capacity(offer.sections.len());
    for (section, media) in offer.sections.iter().enumerate() {
        match media.mid {
            Some(mid) => {
                if mid.is_empty() || mid.len() > MAX_MID || !mid.bytes().all(is_token_character) {
                    return Err(SdpError::MidInvalid { section });
                }
                if !seen.insert(mid) {
                    return Err(SdpError::MidDuplicate { section });
                }
            }
            None if media.port != 0 || media.bundle_only => return Err(SdpError::MidMissing { section }),
            None => {}
        }
    }
    Ok(())
}

/// RFC 8866 §9, `token-char`.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'[' | b'\\' | b']')
}

/// The mids of the BUNDLE group. Of several groups the first is ours; there is only one transport.
pub(super) fn bundled_mids<'a>(offer: &SessionDescription<'a>) -> Result<HashSet<&'a str>, SdpError> {
    let group = offer.bundle_groups.first().ok_or(SdpError::BundleMissing)?;
    Ok(group.iter().copied().collect())
}

/// The accepted mids, in the order of the group, whose first section carries the transport (RFC 9143 §7.3).
pub(super) fn accepted_mids<'a>(
    offer: &SessionDescription<'_>,
    accepted: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let mut accepted: HashSet<&str> = accepted.collect();
    let group = offer.bundle_groups.first().map(Vec::as_slice).unwrap_or_default();
    group.iter().filter(|mid| accepted.remove(**mid)).map(|mid| (*mid).to_owned()).collect()
}

/// The transport of the group: that of its first section, or what the session level says, or for what is
/// said at neither that of any other accepted section.
pub(super) fn peer_transport(
    offer: &SessionDescription<'_>,
    bundle: &[String],
) -> Result<PeerTransport, SdpError> {
    let tagged = bundle.first().ok_or(SdpError::NothingAccepted)?;
    let by_mid: HashMap<&str, &Transport<'_>> =
        offer.sections.iter().filter_map(|media| Some((media.mid?, &media.transport))).collect();
    let candidates: Vec<&Transport<'_>> = by_mid
        .get(tagged.as_str())
        .copied()
        .into_iter()
        .chain([&offer.transport])
        .chain(bundle.iter().filter_map(|mid| by_mid.get(mid.as_str()).copied()))
        .collect();

    let credentials = candidates.iter().find_map(|transport| transport.ice_ufrag.zip(transport.ice_pwd));
    let (ice_ufrag, ice_pwd) = credentials.ok_or(SdpError::IceCredentialsMissing)?;
    if !is_ice_string(ice_ufrag, 4) || !is_ice_string(ice_pwd, 22) {
        return Err(SdpError::IceCredentialsInvalid);
    }
    let fingerprints = candidates
        .iter()
        .map(|transport| &transport.fingerprints)
        .find(|fingerprints| !fingerprints.is_empty())
        .ok_or(SdpError::FingerprintMissing)?;
    let fingerprint = fingerprints
        .iter()
        .find_map(|(name, digest)| {
            let algorithm = HashAlgorithm::from_str(name)?;
            Some((algorithm, parse_digest(algorithm, digest)?))
        })
        .ok_or(SdpError::FingerprintUnsupported)?;
    // RFC 4145 §4.1: who says nothing offers to be the client.
    let setup = candidates.iter().find_map(|transport| transport.setup).unwrap_or(Setup::Active);
    if !matches!(setup, Setup::Active | Setup::ActPass) {
        return Err(SdpError::SetupUnsupported);
    }
    Ok(PeerTransport { ice_ufrag: ice_ufrag.to_owned(), ice_pwd: ice_pwd.to_owned(), fingerprint, setup })
}

/// RFC 8839 §5.4: letters, digits, `+` and `/`, up to 256.
fn is_ice_string(text: &str, shortest: usize) -> bool {
    (shortest..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
