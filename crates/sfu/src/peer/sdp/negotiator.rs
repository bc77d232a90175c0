//! One peer's media sections through all its offers: which of them carry what the client publishes, which
//! carry a track to it, and which are free.
//!
//! A section that carried a track is not given another one before an answer has said `inactive`: a client
//! reports a track when its section begins to send (W3C WebRTC §4.4.1.5, "process the addition of a remote
//! track"). Browsers also report one that replaces another (tried in Chromium 156 and Firefox 153), but
//! nothing obliges the native clients to.

use std::collections::HashSet;

use rtp::codec::CodecKind;
use rtp::extension::{ExtensionKind, ExtensionMap};

use super::answer::{self, Answer};
use super::bundle::{PeerTransport, accepted_mids, bundled_mids, check_mids, peer_transport};
use super::parse::{self, MediaDescription, ParseLimits, SessionDescription};
use super::section::{Preferences, ReceiveSection, RtpSection, SendSection, SendTrack, SharedCodecs, Taken};
use super::text::LocalTransport;
use super::{HashAlgorithm, MediaKind, SdpError, SectionIndex, Setup};

/// Port of data channels where none is named (RFC 8841 §5).
const DEFAULT_SCTP_PORT: u16 = 5000;
/// Largest message where none is named (RFC 8841 §6).
const DEFAULT_MAX_MESSAGE_SIZE: u32 = 65_536;
/// Which part of the longest offer is kept for what the client publishes itself: a sixteenth of 1 MiB holds
/// twelve picture sections of Chromium's.
const OWN_SHARE: usize = 16;
/// Which part of the rest only sound may use: a quarter holds 240 sound sections of Chromium's.
const SOUND_SHARE: usize = 4;
/// Bytes assumed of a section of a kind that was not offered yet: a picture section of Chromium 156 has 5,075.
const UNKNOWN_SECTION: usize = 6_000;

/// What a [`Negotiator`] takes.
#[derive(Clone, Debug)]
pub struct NegotiatorSettings {
    /// Bounds of an offer.
    pub limits: ParseLimits,
    /// Codecs the core forwards.
    pub codecs: Vec<CodecKind>,
    /// Header extensions the core reads or carries over.
    pub extensions: Vec<ExtensionKind>,
    /// Identifies our side of the session in `o=`; below 2^63, best random.
    pub session_id: u64,
}

impl Default for NegotiatorSettings {
    /// Every codec, and the extensions that clients were seen to need.
    fn default() -> Self {
        Self {
            limits: ParseLimits { bytes: 1 << 20, sections: 1000 },
            codecs: CodecKind::ALL.to_vec(),
            extensions: vec![
                ExtensionKind::Mid,
                ExtensionKind::Rid,
                ExtensionKind::RepairedRid,
                ExtensionKind::TransportCc,
                ExtensionKind::AbsSendTime,
                ExtensionKind::AudioLevel,
                ExtensionKind::DependencyDescriptor,
                ExtensionKind::AbsCaptureTime,
            ],
            session_id: 1,
        }
    }
}

/// What an accepted offer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferSummary {
    /// The client's ICE user fragment.
    pub ice_ufrag: String,
    /// The client's ICE password.
    pub ice_pwd: String,
    /// Whether the credentials changed since the last accepted offer (RFC 8839 §4.4.1.1.1).
    pub ice_restart: bool,
    /// Hash function and digest of the client's certificate.
    pub fingerprint: (HashAlgorithm, Vec<u8>),
    /// The DTLS role the client asked for: active, or either.
    pub setup: Setup,
    /// Whether data channels were offered.
    pub has_data: bool,
    /// The client's SCTP port; 5000 if none was named.
    pub sctp_port: u16,
    /// Bytes of the largest message the client takes; 0 means any (RFC 8841 §6).
    pub max_message_size: u32,
    /// Whether any section differs from the last accepted offer.
    pub changed: bool,
    /// The sections that differ, in order.
    pub changed_sections: Vec<SectionIndex>,
    /// Tracks that lost their section because the client no longer receives on it.
    pub lost: Vec<(SectionIndex, SendTrack)>,
}

/// What an offered section is to us.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Audio or video that is taken.
    Rtp(Box<RtpSection>),
    /// Data channels.
    Data { sctp_port: u16, max_message_size: u32 },
    /// Refused by the client or by us. The client may use its place for another section (RFC 8829 §5.2.2).
    Rejected,
}

/// A media section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) mid: String,
    /// Media type, protocol and formats as offered; repeated when the section is refused.
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: String,
    pub(super) content: Content,
    /// Bytes of it in the offer.
    bytes: usize,
    /// What is sent on it.
    pub(super) send: Option<SendSection>,
    pub(super) preferences: Preferences,
    /// Whether the last answer said that we send.
    announced: bool,
    /// Whether it ever carried a track to the client.
    used: bool,
}

impl Section {
    fn rtp(&self) -> Option<&RtpSection> {
        match &self.content {
            Content::Rtp(rtp) => Some(rtp),
            Content::Data { .. } | Content::Rejected => None,
        }
    }

    fn receive(&self) -> Option<&ReceiveSection> {
        self.rtp().map(|rtp| &rtp.receive)
    }

    /// Whether it can carry a track of this kind from now on.
    fn is_free(&self, kind: MediaKind) -> bool {
        self.send.is_none()
            && !self.announced
            && self.rtp().is_some_and(|rtp| rtp.receive.kind == kind && rtp.direction.receives())
    }

    fn same_content(&self, other: &Self) -> bool {
        self.mid == other.mid && self.content == other.content
    }
}

/// The state of one peer's media sections. The client offers, we answer.
#[derive(Debug)]
pub struct Negotiator {
    settings: NegotiatorSettings,
    peer: Option<PeerTransport>,
    /// Mids of the accepted sections in the order of the offer's group.
    bundle: Vec<String>,
    sections: Vec<Section>,
    extensions: ExtensionMap,
    /// Answers made, the version of our description.
    version: u64,
    /// Bytes of the last accepted offer.
    offered: usize,
}

impl Negotiator {
    /// A peer that has offered nothing yet.
    pub fn new(settings: NegotiatorSettings) -> Self {
        Self {
            settings,
            peer: None,
            bundle: Vec::new(),
            sections: Vec::new(),
            extensions: ExtensionMap::default(),
            version: 0,
            offered: 0,
        }
    }

    /// Takes an offer (RFC 8829 §5.10): reads it, compares it with the one before and keeps what is bound.
    ///
    /// # Errors
    /// Any [`SdpError`]; then nothing has changed.
    pub fn accept_offer(&mut self, sdp: &str) -> Result<OfferSummary, SdpError> {
        let offer = parse::parse(sdp, self.settings.limits)?;
        if offer.ice_lite {
            return Err(SdpError::IceLite);
        }
        check_mids(&offer)?;
        self.check_continuity(&offer)?;
        let bundled = bundled_mids(&offer)?;
        let (mut sections, extensions) = self.read_sections(&offer, &bundled)?;
        let accepted = sections.iter().filter(|section| section.content != Content::Rejected);
        let bundle = accepted_mids(&offer, accepted.map(|section| section.mid.as_str()));
        let peer = peer_transport(&offer, &bundle)?;
        let mut ice_restart = false;
        if let Some(known) = &self.peer {
            if known.fingerprint != peer.fingerprint {
                return Err(SdpError::FingerprintChanged);
            }
            ice_restart = (&known.ice_ufrag, &known.ice_pwd) != (&peer.ice_ufrag, &peer.ice_pwd);
        }

        // Nothing below fails.
        let mut changed_sections = Vec::new();
        let mut lost = Vec::new();
        let mut before = std::mem::take(&mut self.sections).into_iter();
        for (index, section) in sections.iter_mut().enumerate() {
            let before = before.next();
            if !before.as_ref().is_some_and(|before| before.same_content(section)) {
                changed_sections.push(SectionIndex(index));
            }
            if let Some(before) = before
                && let Some(send) = section.carry_over(before)
            {
                lost.push((SectionIndex(index), send.track));
            }
        }
        let data = sections.iter().find_map(|section| match section.content {
            Content::Data { sctp_port, max_message_size } => Some((sctp_port, max_message_size)),
            Content::Rtp(_) | Content::Rejected => None,
        });
        self.sections = sections;
        self.extensions = extensions;
        self.bundle = bundle;
        self.peer = Some(peer.clone());
        self.offered = sdp.len();
        Ok(OfferSummary {
            ice_ufrag: peer.ice_ufrag,
            ice_pwd: peer.ice_pwd,
            ice_restart,
            fingerprint: peer.fingerprint,
            setup: peer.setup,
            has_data: data.is_some(),
            sctp_port: data.map_or(DEFAULT_SCTP_PORT, |(port, _)| port),
            max_message_size: data.map_or(DEFAULT_MAX_MESSAGE_SIZE, |(_, size)| size),
            changed: !changed_sections.is_empty(),
            changed_sections,
            lost,
        })
    }

    /// The sections on which the client publishes now, in order.
    pub fn receiving(&self) -> impl Iterator<Item = &ReceiveSection> {
        self.sections.iter().filter_map(Section::receive).filter(|receive| receive.active)
    }

    /// The section as one the client publishes on, whether or not it does now; `None` if it was refused.
    pub fn receive_section(&self, index: SectionIndex) -> Option<&ReceiveSection> {
        self.section(index)?.receive()
    }

    /// The header extensions of the whole connection, to be read on packets whose section is not known yet.
    pub fn extensions(&self) -> &ExtensionMap {
        &self.extensions
    }

    /// Asks the client to encode what it publishes on a section in this way, from the next answer on.
    pub fn prefer(&mut self, index: SectionIndex, preferences: Preferences) {
        if let Some(section) = self.sections.get_mut(index.0) {
            section.preferences = preferences;
        }
    }

    /// Binds a track to a free section; `None` if there is none: then the client has to be asked for more.
    /// Sections that carried a track before come first, then the lowest index.
    pub fn bind(&mut self, send: SendTrack) -> Option<SectionIndex> {
        let (index, section) = self
            .sections
            .iter_mut()
            .enumerate()
            .filter(|(_, section)| section.is_free(send.kind))
            .min_by_key(|(index, section)| (!section.used, *index))?;
        let rtp = section.rtp()?;
        section.send = Some(SendSection {
            mid: section.mid.clone(),
            kind: send.kind,
            codecs: rtp.codec_set.codecs.clone(),
            extensions: rtp.send_extensions,
            track: send,
            announced: false,
        });
        section.used = true;
        Some(SectionIndex(index))
    }

    /// Takes the track off a section. The next answer says `inactive`; after it the section is free. One
    /// that no answer announced is free at once.
    pub fn unbind(&mut self, index: SectionIndex) {
        if let Some(section) = self.sections.get_mut(index.0) {
            section.send = None;
        }
    }

    /// The sections that carry a track to the client, in order.
    pub fn sending(&self) -> impl Iterator<Item = (SectionIndex, &SendSection)> {
        self.sections
            .iter()
            .enumerate()
            .filter_map(|(index, section)| Some((SectionIndex(index), section.send.as_ref()?)))
    }

    /// The track on this section, with what was negotiated for it.
    pub fn send_section(&self, index: SectionIndex) -> Option<&SendSection> {
        self.section(index)?.send.as_ref()
    }

    /// Sections on which a track of this kind can be bound at once.
    pub fn free(&self, kind: MediaKind) -> usize {
        self.sections.iter().filter(|section| section.is_free(kind)).count()
    }

    /// Sections on which a track of this kind can be bound at once or, where the client still believes that
    /// another one is sent, after the next answer.
    pub fn available(&self, kind: MediaKind) -> usize {
        let is_available = |section: &&Section| {
            section.send.is_none()
                && section.rtp().is_some_and(|rtp| rtp.receive.kind == kind && rtp.direction.receives())
        };
        self.sections.iter().filter(is_available).count()
    }

    /// Sections on which the client receives or could receive.
    pub fn receivable(&self, kind: MediaKind) -> usize {
        let receives = |rtp: &RtpSection| rtp.receive.kind == kind && rtp.direction.receives();
        self.sections.iter().filter(|section| section.rtp().is_some_and(receives)).count()
    }

    /// How many of so many further audio and video sections fit into the client's offers. Each is taken to be as
    /// long as the longest of its kind so far. Pictures leave a part to sound, so that whoever comes late is
    /// heard, and both leave some room to what the client will publish itself.
    pub fn affordable(&self, audios: usize, videos: usize) -> (usize, usize) {
        let ParseLimits { bytes, sections } = self.settings.limits;
        let lengths = |kind| {
            let of_kind = move |section: &&Section| section.receive().is_some_and(|has| has.kind == kind);
            self.sections.iter().filter(of_kind).map(|section| section.bytes)
        };
        let longest = |kind| lengths(kind).max().unwrap_or(UNKNOWN_SECTION).max(1);
        let places = sections.saturating_sub(self.sections.len());
        let usable = bytes - bytes / OWN_SHARE;
        let free = usable.saturating_sub(self.offered);
        let audios = audios.min(free / longest(MediaKind::Audio)).min(places);
        let for_pictures =
            (usable - usable / SOUND_SHARE).saturating_sub(lengths(MediaKind::Video).sum::<usize>());
        let free = for_pictures.min(free - audios * longest(MediaKind::Audio));
        (audios, videos.min(free / longest(MediaKind::Video)).min(places - audios))
    }

    /// Sections of every offer and answer, refused ones included.
    pub fn section_count(&self) -> usize {
        self.sections.len()
    }

    /// Whether bindings differ from what the last answer said, so that the client has to offer again.
    pub fn needs_offer(&self) -> bool {
        self.sections.iter().any(|section| match &section.send {
            Some(send) => !send.announced,
            None => section.announced,
        })
    }

    /// The answer to the last accepted offer with the present bindings. Before the first accepted offer it
    /// has no sections and answers nothing.
    pub fn answer(&mut self, transport: &LocalTransport<'_>) -> Answer {
        self.version += 1;
        let answer =
            answer::write(self.settings.session_id, self.version, &self.bundle, &self.sections, transport);
        for section in &mut self.sections {
            section.announced = section.send.is_some();
            if let Some(send) = &mut section.send {
                send.announced = true;
            }
        }
        answer
    }

    fn section(&self, index: SectionIndex) -> Option<&Section> {
        self.sections.get(index.0)
    }

    /// Sections never vanish nor change their identity; only refused ones may be put to another use.
    fn check_continuity(&self, offer: &SessionDescription<'_>) -> Result<(), SdpError> {
        if offer.sections.len() < self.sections.len() {
            return Err(SdpError::SectionCount {
                sections: offer.sections.len(),
                before: self.sections.len(),
            });
        }
        for (index, (before, media)) in self.sections.iter().zip(&offer.sections).enumerate() {
            if before.content == Content::Rejected {
                continue;
            }
            // A section that the client stops may come without anything but its `m=` line.
            if media.mid.is_some_and(|mid| mid != before.mid) {
                return Err(SdpError::MidChanged { section: index });
            }
            if media.media != before.media {
                return Err(SdpError::KindChanged { section: index });
            }
        }
        Ok(())
    }

    fn read_sections(
        &self,
        offer: &SessionDescription<'_>,
        bundled: &HashSet<&str>,
    ) -> Result<(Vec<Section>, ExtensionMap), SdpError> {
        let taken = Taken { codecs: &self.settings.codecs, extensions: &self.settings.extensions };
        let mut shared = SharedCodecs::default();
        let mut meanings: [Option<ExtensionKind>; 256] = [None; 256];
        let mut extensions = ExtensionMap::default();
        let mut has_data = false;
        let mut sections = Vec::with_capacity(offer.sections.len());
        for (index, media) in offer.sections.iter().enumerate() {
            let mid = media.mid.unwrap_or_default();
            let usable = (media.port != 0 || media.bundle_only) && bundled.contains(mid);
            let content = match media.kind.filter(|_| usable) {
                Some(MediaKind::Application) if !has_data => {
                    has_data = true;
                    Content::Data {
                        sctp_port: media.sctp_port.unwrap_or(DEFAULT_SCTP_PORT),
                        max_message_size: media.max_message_size.unwrap_or(DEFAULT_MAX_MESSAGE_SIZE),
                    }
                }
                Some(kind @ (MediaKind::Audio | MediaKind::Video)) => {
                    match RtpSection::new(media, kind, SectionIndex(index), mid, taken, &mut shared)? {
                        Some(rtp) => {
                            note_extensions(&rtp, index, &mut meanings, &mut extensions)?;
                            Content::Rtp(Box::new(rtp))
                        }
                        None => Content::Rejected,
                    }
                }
                Some(MediaKind::Application) | None => Content::Rejected,
            };
            sections.push(Section::new(media, mid, content));
        }
        Ok((sections, extensions))
    }
}

impl Section {
    fn new(media: &MediaDescription<'_>, mid: &str, content: Content) -> Self {
        Self {
            mid: mid.to_owned(),
            media: media.media.to_owned(),
            protocol: media.protocol.to_owned(),
            // Only a refused section needs them again.
            formats: if content == Content::Rejected { media.formats.to_owned() } else { String::new() },
            content,
            bytes: media.bytes,
            send: None,
            preferences: Preferences::default(),
            announced: false,
            used: false,
        }
    }

    /// Takes over what the section was before this offer; gives back the binding that has no place any more.
    fn carry_over(&mut self, before: Self) -> Option<SendSection> {
        // A place given to another section starts afresh, and so does one that was stopped.
        if before.content == Content::Rejected || self.content == Content::Rejected {
            return before.send;
        }
        self.used = before.used;
        let track = |section: &Self| section.receive().and_then(|receive| receive.track_id.clone());
        if track(&before) == track(self) {
            self.preferences = before.preferences;
        }
        let Some(rtp) = self.rtp().filter(|rtp| rtp.direction.receives()) else {
            return before.send;
        };
        let send = before.send.map(|send| SendSection {
            codecs: rtp.codec_set.codecs.clone(),
            extensions: rtp.send_extensions,
            ..send
        });
        self.announced = before.announced;
        self.send = send;
        None
    }
}

/// Adds a section's extensions to those of the connection (RFC 9143 §10: one id, one meaning).
fn note_extensions(
    rtp: &RtpSection,
    section: usize,
    meanings: &mut [Option<ExtensionKind>; 256],
    extensions: &mut ExtensionMap,
) -> Result<(), SdpError> {
    for extension in &rtp.extensions {
        let Some(meaning) = meanings.get_mut(usize::from(extension.id)) else { continue };
        match meaning {
            Some(known) if *known != extension.kind => return Err(SdpError::ExtensionConflict { section }),
            Some(_) => {}
            None => {
                *meaning = Some(extension.kind);
                if extensions.id(extension.kind).is_none() {
                    extensions.insert(extension.kind, extension.id);
                }
            }
        }
    }
    Ok(())
}
