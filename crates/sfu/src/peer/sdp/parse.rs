//! The text of a session description as a tree of borrowed values (RFC 8866, with the attributes of
//! RFC 8829, 8839, 8842, 8851, 8853, 8285, 5576, 5888 and 4585 that a bundled WebRTC session needs).
//!
//! Total: every text gives a tree or an error. Bounded: the tree holds slices of the text, and every list in
//! it has a limit, so that no lookup grows with what the sender chooses. What is not understood is skipped,
//! as RFC 8866 §5.13 demands.

use rtp::extension::MAX_STREAM_NAME;

pub use super::description::{
    ExtMap, Feedback, MediaDescription, Payload, Rid, SessionDescription, Transport,
};
use super::{Direction, HashAlgorithm, MediaKind, SdpError, Setup};

/// Bounds of a description.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Media sections.
    pub sections: usize,
}

/// `a=extmap` lines of one section; ids of one-byte headers end at 14, Chromium offers 14.
const MAX_EXTENSIONS: usize = 64;
/// `a=rid` lines of one section; clients publish up to 3 layers.
const MAX_RIDS: usize = 16;
/// Distinct synchronisation sources of one section: 3 layers with RTX are 6.
const MAX_SSRCS: usize = 32;
/// `a=ssrc-group` lines of one section.
const MAX_SSRC_GROUPS: usize = 16;
/// Fingerprints of one section: one per hash function.
const MAX_FINGERPRINTS: usize = 8;
/// `a=group` lines.
const MAX_GROUPS: usize = 8;
/// Payload types that share one link, RTCP's numbers left out.
const PAYLOAD_TYPES: usize = 128;

/// Reads a description.
///
/// # Errors
/// [`SdpError::TooLarge`], [`SdpError::TooManySections`], [`SdpError::TooManyAttributes`],
/// [`SdpError::Malformed`], [`SdpError::PayloadTypeInvalid`] and [`SdpError::PayloadTypeDuplicate`].
pub fn parse(sdp: &str, limits: ParseLimits) -> Result<SessionDescription<'_>, SdpError> {
    if sdp.len() > limits.bytes {
        return Err(SdpError::TooLarge { bytes: sdp.len(), limit: limits.bytes });
    }
    let mut session = SessionDescription::default();
    let mut defaults = SessionDefaults::default();
    let mut section: Option<SectionBuilder<'_>> = None;
    let mut started = false;

    for (index, line) in sdp.split('\n').enumerate() {
        let number = index + 1;
        let bytes = line.len() + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let malformed = |what| SdpError::Malformed { line: number, what };
        if line.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(malformed("character"));
        }
        let (kind, value) = line
            .split_once('=')
            .filter(|(kind, _)| kind.len() == 1 && kind.as_bytes().iter().all(u8::is_ascii_lowercase))
            .ok_or(malformed("line"))?;
        if !started {
            if (kind, value) != ("v", "0") {
                return Err(malformed("version"));
            }
            started = true;
            continue;
        }
        match kind {
            "m" => {
                if let Some(done) = section.take() {
                    session.sections.push(done.finish());
                }
                if session.sections.len() == limits.sections {
                    return Err(SdpError::TooManySections { limit: limits.sections });
                }
                section = Some(SectionBuilder::new(value, &defaults, number)?);
            }
            "a" => {
                let (name, value) = match value.split_once(':') {
                    Some((name, value)) => (name, Some(value)),
                    None => (value, None),
                };
                match &mut section {
                    Some(section) => section.attribute(name, value, number)?,
                    None => session_attribute(&mut session, &mut defaults, (name, value), limits, number)?,
                }
            }
            // Origin, name, times, connection addresses and bandwidths say nothing to a bundled ICE session.
            _ => {}
        }
        if let Some(section) = &mut section {
            section.media.bytes += bytes;
        }
    }
    if !started {
        return Err(SdpError::Malformed { line: 1, what: "version" });
    }
    if let Some(done) = section {
        session.sections.push(done.finish());
    }
    Ok(session)
}

/// What the session level says about every section.
#[derive(Default)]
struct SessionDefaults<'a> {
    direction: Direction,
    extensions: Vec<ExtMap<'a>>,
    extmap_allow_mixed: bool,
}

fn session_attribute<'a>(
    session: &mut SessionDescription<'a>,
    defaults: &mut SessionDefaults<'a>,
    attribute: (&'a str, Option<&'a str>),
    limits: ParseLimits,
    line: usize,
) -> Result<(), SdpError> {
    match attribute {
        ("group", Some(value)) => {
            let mut words = words(value);
            if words.next() == Some("BUNDLE") {
                if session.bundle_groups.len() == MAX_GROUPS {
                    return Err(SdpError::TooManyAttributes { line, what: "group" });
                }
                let mids: Vec<&str> = words.take(limits.sections + 1).collect();
                if mids.len() > limits.sections {
                    return Err(SdpError::TooManySections { limit: limits.sections });
                }
                session.bundle_groups.push(mids);
            }
        }
        ("ice-lite", None) => session.ice_lite = true,
        ("extmap-allow-mixed", None) => defaults.extmap_allow_mixed = true,
        ("extmap", Some(value)) => push_extension(&mut defaults.extensions, value, line)?,
        (name, None) => {
            if let Some(direction) = Direction::from_str(name) {
                defaults.direction = direction;
            }
        }
        (name, Some(value)) => {
            session.transport.attribute(name, value, line)?;
        }
    }
    Ok(())
}

impl<'a> Transport<'a> {
    /// Takes an attribute if it is one of a transport; says whether.
    fn attribute(&mut self, name: &str, value: &'a str, line: usize) -> Result<bool, SdpError> {
        match name {
            "ice-ufrag" => self.ice_ufrag = Some(value),
            "ice-pwd" => self.ice_pwd = Some(value),
            "setup" => {
                self.setup = Some(match value {
                    "active" => Setup::Active,
                    "passive" => Setup::Passive,
                    "actpass" => Setup::ActPass,
                    "holdconn" => Setup::HoldConn,
                    _ => return Err(SdpError::Malformed { line, what: "setup" }),
                });
            }
            "fingerprint" => {
                let fingerprint =
                    value.split_once(' ').ok_or(SdpError::Malformed { line, what: "fingerprint" })?;
                if self.fingerprints.len() == MAX_FINGERPRINTS {
                    return Err(SdpError::TooManyAttributes { line, what: "fingerprint" });
                }
                self.fingerprints.push(fingerprint);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A section being read: the description so far and an index into its payload types.
struct SectionBuilder<'a> {
    media: MediaDescription<'a>,
    /// Position in `media.payloads` by payload type.
    positions: [Option<u8>; PAYLOAD_TYPES],
    /// `a=rtcp-fb:*`.
    feedback_for_all: Feedback,
    /// `a=ssrc:… msid:`, which `a=msid` overrides.
    ssrc_msid: Option<(&'a str, Option<&'a str>)>,
}

impl<'a> SectionBuilder<'a> {
    fn new(value: &'a str, defaults: &SessionDefaults<'a>, line: usize) -> Result<Self, SdpError> {
        let malformed = SdpError::Malformed { line, what: "media" };
        let mut parts = value.splitn(4, ' ');
        let (Some(media), Some(port), Some(protocol), Some(formats)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed);
        };
        // A number of ports after a slash means as many components, which multiplexing leaves no use for.
        let port = port.split('/').next().unwrap_or(port);
        let (false, Ok(port)) = (media.is_empty() || protocol.is_empty(), port.parse()) else {
            return Err(malformed);
        };
        let kind = match (media, protocol) {
            ("audio", protocol) if is_rtp(protocol) => Some(MediaKind::Audio),
            ("video", protocol) if is_rtp(protocol) => Some(MediaKind::Video),
            ("application", "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP") if formats == "webrtc-datachannel" => {
                Some(MediaKind::Application)
            }
            _ => None,
        };
        let mut builder = Self {
            media: MediaDescription {
                media,
                kind,
                port,
                protocol,
                formats,
                direction: defaults.direction,
                extensions: defaults.extensions.clone(),
                extmap_allow_mixed: defaults.extmap_allow_mixed,
                ..Default::default()
            },
            positions: [None; PAYLOAD_TYPES],
            feedback_for_all: Feedback::default(),
            ssrc_msid: None,
        };
        if matches!(kind, Some(MediaKind::Audio | MediaKind::Video)) {
            for format in words(formats) {
                builder.add_payload_type(format, line)?;
            }
        }
        Ok(builder)
    }

    fn add_payload_type(&mut self, format: &str, line: usize) -> Result<(), SdpError> {
        let payload_type: u8 = format.parse().map_err(|_| SdpError::PayloadTypeInvalid { line })?;
        if matches!(payload_type, 64..=95) {
            return Err(SdpError::PayloadTypeInvalid { line });
        }
        let position = u8::try_from(self.media.payloads.len());
        match (self.positions.get_mut(usize::from(payload_type)), position) {
            (Some(slot @ None), Ok(position)) => *slot = Some(position),
            (Some(_), _) => return Err(SdpError::PayloadTypeDuplicate { line }),
            (None, _) => return Err(SdpError::PayloadTypeInvalid { line }),
        }
        self.media.payloads.push(Payload { payload_type, channels: 1, ..Default::default() });
        Ok(())
    }

    /// The payload type named at the start of a value, if the section lists it, and the rest of the value.
    fn payload<'v>(&mut self, value: &'v str) -> Option<(&mut Payload<'a>, &'v str)> {
        let (number, rest) = value.split_once(' ')?;
        let position = self.positions.get(number.parse::<usize>().ok()?).copied().flatten()?;
        Some((self.media.payloads.get_mut(usize::from(position))?, rest))
    }

    fn attribute(&mut self, name: &'a str, value: Option<&'a str>, line: usize) -> Result<(), SdpError> {
        let Some(value) = value else {
            match name {
                "rtcp-mux" => self.media.rtcp_mux = true,
                "rtcp-rsize" => self.media.rtcp_rsize = true,
                "bundle-only" => self.media.bundle_only = true,
                "extmap-allow-mixed" => self.media.extmap_allow_mixed = true,
                name => {
                    if let Some(direction) = Direction::from_str(name) {
                        self.media.direction = direction;
                    }
                }
            }
            return Ok(());
        };
        match name {
            "mid" => self.media.mid = Some(value),
            "rtpmap" => self.rtpmap(value, line)?,
            "fmtp" => {
                if let Some((payload, parameters)) = self.payload(value) {
                    payload.fmtp.get_or_insert(parameters);
                }
            }
            "rtcp-fb" => match value.strip_prefix("* ") {
                Some(feedback) => self.feedback_for_all.add(feedback),
                None => {
                    if let Some((payload, feedback)) = self.payload(value) {
                        payload.feedback.add(feedback);
                    }
                }
            },
            "extmap" => push_extension(&mut self.media.extensions, value, line)?,
            // Of several streams a track belongs to, the first names it.
            "msid" => {
                self.media.msid.get_or_insert(stream_and_track(value));
            }
            "rid" => self.rid(value, line)?,
            "simulcast" => self.simulcast(value, line)?,
            "ssrc" => self.ssrc(value, line)?,
            "ssrc-group" => self.ssrc_group(value, line)?,
            "sctp-port" => {
                let port = value.parse().map_err(|_| SdpError::Malformed { line, what: "sctp-port" })?;
                self.media.sctp_port = Some(port);
            }
            "max-message-size" => {
                let size: u64 =
                    value.parse().map_err(|_| SdpError::Malformed { line, what: "max-message-size" })?;
                self.media.max_message_size = Some(u32::try_from(size).unwrap_or(u32::MAX));
            }
            _ => {
                self.media.transport.attribute(name, value, line)?;
            }
        }
        Ok(())
    }

    fn rtpmap(&mut self, value: &'a str, line: usize) -> Result<(), SdpError> {
        let malformed = SdpError::Malformed { line, what: "rtpmap" };
        let Some((payload, map)) = self.payload(value) else {
            return Ok(());
        };
        let mut parts = map.splitn(3, '/');
        let (Some(encoding), Some(Ok(clock_rate))) = (parts.next(), parts.next().map(str::parse)) else {
            return Err(malformed);
        };
        let Ok(channels) = parts.next().map_or(Ok(1), str::parse) else {
            return Err(malformed);
        };
        if encoding.is_empty() {
            return Err(malformed);
        }
        (payload.encoding, payload.clock_rate, payload.channels) = (encoding, clock_rate, channels);
        Ok(())
    }

    fn rid(&mut self, value: &'a str, line: usize) -> Result<(), SdpError> {
        let malformed = SdpError::Malformed { line, what: "rid" };
        let mut parts = value.splitn(3, ' ');
        let (Some(id), Some(direction)) = (parts.next(), parts.next()) else {
            return Err(malformed);
        };
        // RFC 8851 §10: letters and digits; browsers also let `-` and `_` through.
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || id.len() > MAX_STREAM_NAME || !id.bytes().all(valid) {
            return Err(malformed);
        }
        let sends = match direction {
            "send" => true,
            "recv" => false,
            _ => return Err(malformed),
        };
        if self.media.rids.len() == MAX_RIDS {
            return Err(SdpError::TooManyAttributes { line, what: "rid" });
        }
        self.media.rids.push(Rid { id, sends, restrictions: parts.next().unwrap_or_default().trim() });
        Ok(())
    }

    fn simulcast(&mut self, value: &'a str, line: usize) -> Result<(), SdpError> {
        let mut parts = words(value);
        while let Some(direction) = parts.next() {
            let (Some(streams), "send" | "recv") = (parts.next(), direction) else {
                return Err(SdpError::Malformed { line, what: "simulcast" });
            };
            if direction == "send" {
                // RFC 8853 §5.1: streams are separated by `;`, alternatives by `,`, `~` starts one paused.
                let first = |stream: &'a str| stream.split(',').next().unwrap_or(stream);
                self.media.simulcast_send = streams
                    .split(';')
                    .take(MAX_RIDS)
                    .map(|stream| first(stream).trim_start_matches('~'))
                    .collect();
            }
        }
        Ok(())
    }

    fn ssrc(&mut self, value: &'a str, line: usize) -> Result<(), SdpError> {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc = ssrc.parse().map_err(|_| SdpError::Malformed { line, what: "ssrc" })?;
        if !self.media.ssrcs.contains(&ssrc) {
            if self.media.ssrcs.len() == MAX_SSRCS {
                return Err(SdpError::TooManyAttributes { line, what: "ssrc" });
            }
            self.media.ssrcs.push(ssrc);
        }
        if let Some(msid) = attribute.strip_prefix("msid:") {
            self.ssrc_msid.get_or_insert(stream_and_track(msid));
        }
        Ok(())
    }

    fn ssrc_group(&mut self, value: &'a str, line: usize) -> Result<(), SdpError> {
        let mut parts = words(value);
        let semantics = parts.next().ok_or(SdpError::Malformed { line, what: "ssrc-group" })?;
        let mut members = Vec::new();
        for member in parts {
            if members.len() == MAX_SSRCS {
                return Err(SdpError::TooManyAttributes { line, what: "ssrc" });
            }
            members.push(member.parse().map_err(|_| SdpError::Malformed { line, what: "ssrc-group" })?);
        }
        if self.media.ssrc_groups.len() == MAX_SSRC_GROUPS {
            return Err(SdpError::TooManyAttributes { line, what: "ssrc-group" });
        }
        self.media.ssrc_groups.push((semantics, members));
        Ok(())
    }

    fn finish(mut self) -> MediaDescription<'a> {
        for payload in &mut self.media.payloads {
            payload.feedback.merge(self.feedback_for_all);
        }
        self.media.msid = self.media.msid.or(self.ssrc_msid);
        self.media
    }
}

/// RTP over DTLS-SRTP with feedback, as WebRTC uses it (RFC 8829 §5.1.2).
fn is_rtp(protocol: &str) -> bool {
    matches!(protocol, "UDP/TLS/RTP/SAVPF" | "TCP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "RTP/SAVPF")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// `a=msid:stream track`; the track may be absent (RFC 8830 §2).
fn stream_and_track(value: &str) -> (&str, Option<&str>) {
    match value.split_once(' ') {
        Some((stream, track)) => (stream, Some(track.trim()).filter(|track| !track.is_empty())),
        None => (value, None),
    }
}

fn push_extension<'a>(extensions: &mut Vec<ExtMap<'a>>, value: &'a str, line: usize) -> Result<(), SdpError> {
    let malformed = SdpError::Malformed { line, what: "extmap" };
    let mut parts = words(value);
    let (Some(id), Some(uri)) = (parts.next(), parts.next()) else {
        return Err(malformed);
    };
    let (id, direction) = match id.split_once('/') {
        Some((id, direction)) => match Direction::from_str(direction) {
            Some(direction) => (id, Some(direction)),
            None => return Err(malformed),
        },
        None => (id, None),
    };
    let Ok(id) = id.parse() else {
        return Err(malformed);
    };
    if extensions.len() == MAX_EXTENSIONS {
        return Err(SdpError::TooManyAttributes { line, what: "extmap" });
    }
    extensions.push(ExtMap { id, direction, uri });
    Ok(())
}

/// The bytes of a digest written as `AB:CD:…` (RFC 8122 §5), if it has the length of its hash function.
pub fn parse_digest(algorithm: HashAlgorithm, text: &str) -> Option<Vec<u8>> {
    let mut digest = Vec::with_capacity(algorithm.digest_len());
    for byte in text.trim().split(':') {
        let hexadecimal = byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !hexadecimal || digest.len() == algorithm.digest_len() {
            return None;
        }
        digest.push(u8::from_str_radix(byte, 16).ok()?);
    }
    (digest.len() == algorithm.digest_len()).then_some(digest)
}
