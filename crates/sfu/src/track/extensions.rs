//! Header extensions between publisher and subscribers (RFC 8285): each side has its own ids, so a stored
//! packet carries kinds. The form is a sequence of (kind, length, bytes), built once per received packet
//! and written once per forwarded one.
//!
//! Only what says something about the medium is carried over. What belongs to one transport (mid, rid,
//! transport-wide sequence number, absolute send time, transmission offset) never is.
//!
//! A dependency descriptor goes on as it came, also where layers are left out. Its `active_decode_targets_bitmask` (AV1 RTP
//! specification A.4.4) then names decode targets of which nothing comes. Receivers do not look at it: libwebrtc, which
//! Chromium, Firefox, Safari and LiveKit's SDKs share, goes by frame numbers, frame differences and layers alone
//! (`RtpVideoStreamReceiver2::ParseGenericDependenciesExtension` in WebKit's copy at 0fa3855 and in newer ones of Firefox;
//! only its sender reads `active_decode_targets`), and decodes whichever layers come. Only who judges loss by chains would need it, which are protected by what is sent in any case: a chain of the
//! layers that are left out concerns targets above the one that is decoded.

use rtp::extension::{ExtensionKind, ExtensionMap};
use rtp::header::{ExtensionForm, HeaderBuilder};
use rtp::packet::RtpPacket;

use super::packet_store::MAX_EXTENSIONS;

/// The extensions that are carried over; the position is the kind's number in the stored form.
const CARRIED: [ExtensionKind; 3] =
    [ExtensionKind::AudioLevel, ExtensionKind::DependencyDescriptor, ExtensionKind::AbsCaptureTime];

/// Space for the extensions of one packet.
pub(crate) type Scratch = [u8; MAX_EXTENSIONS];

/// Collects the carried extensions of a received packet into `scratch`; returns the bytes used.
pub(crate) fn collect(packet: &RtpPacket<'_>, publisher: &ExtensionMap, scratch: &mut Scratch) -> usize {
    let mut used = 0;
    for (id, value) in packet.extensions() {
        let Some(kind) = publisher.kind(id) else { continue };
        let Some(number) = CARRIED.iter().position(|carried| *carried == kind) else { continue };
        let Ok(length) = u8::try_from(value.len()) else { continue };
        let end = used + 2 + value.len();
        let Some(space) = scratch.get_mut(used..end) else { continue };
        space[0] = number as u8;
        space[1] = length;
        space[2..].copy_from_slice(value);
        used = end;
    }
    used
}

/// The stored extensions as (kind, bytes).
pub(crate) fn iter(stored: &[u8]) -> impl Iterator<Item = (ExtensionKind, &[u8])> {
    let mut rest = stored;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<2>()?;
        let (value, tail) = tail.split_at_checked(usize::from(head[1]))?;
        rest = tail;
        Some((*CARRIED.get(usize::from(head[0]))?, value))
    })
}

/// The form a packet's extensions need: one-byte headers hold ids up to 14 and 1 to 16 bytes. `own` are those of the
/// subscriber's transport.
pub(crate) fn form(stored: &[u8], subscriber: &ExtensionMap, own: [Option<(u8, &[u8])>; 2]) -> ExtensionForm {
    let fits = |id: u8, length: usize| ExtensionForm::OneByte.fits(id, length);
    let carried_fit =
        iter(stored).all(|(kind, value)| subscriber.id(kind).is_none_or(|id| fits(id, value.len())));
    let own_fit = own.into_iter().flatten().all(|(id, value)| fits(id, value.len()));
    if carried_fit && own_fit { ExtensionForm::OneByte } else { ExtensionForm::TwoByte }
}

/// Writes the stored extensions with the subscriber's ids; what it has not negotiated is left out.
pub(crate) fn write(stored: &[u8], subscriber: &ExtensionMap, builder: &mut HeaderBuilder<'_>) {
    for (kind, value) in iter(stored) {
        if let Some(id) = subscriber.id(kind) {
            builder.extension(id, value);
        }
    }
}
