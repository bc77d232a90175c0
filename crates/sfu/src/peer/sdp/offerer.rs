//! The connection that the server offers: what a client with two peer connections is sent (LiveKit's subscriber
//! transport). Sections for tracks, data channels in the first; one offer at a time, changes go into the next.
//!
//! The opposite of [`Negotiator`](super::Negotiator) with the same words towards the room: a track is bound to a
//! section, and once the client has answered, the section says what the client takes there.

use std::collections::HashMap;

use super::bundle::{PeerTransport, accepted_mids, bundled_mids, check_mids, peer_transport};
use super::offered::{Catalogue, section_bytes};
use super::parse::{self, MediaDescription, ParseLimits, SessionDescription};
use super::section::{Preferences, RtpSection, SendSection, SendTrack, SharedCodecs, Taken};
use super::text::{Lines, LocalTransport};
use super::{HashAlgorithm, MediaKind, NegotiatorSettings, SdpError, SectionIndex, Setup};

/// Which part of the longest offer only sound may use, so that whoever comes late is heard: an eighth of 1 MiB
/// holds more than 100 sound sections.
const SOUND_SHARE: usize = 8;

/// An offer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The number that its answer repeats; the first is 1.
    pub id: u32,
    /// The session description.
    pub sdp: String,
    /// Which track is sent on which section: LiveKit's `SessionDescription.mid_to_track_id`.
    pub mid_to_track_id: HashMap<String, String>,
}

/// What an accepted answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// The client's ICE user fragment.
    pub ice_ufrag: String,
    /// The client's ICE password.
    pub ice_pwd: String,
    /// Hash function and digest of the client's certificate.
    pub fingerprint: (HashAlgorithm, Vec<u8>),
    /// The DTLS role the client took; always active.
    pub setup: Setup,
    /// Sections that the client takes for the first time with the track that they carry.
    pub taken: Vec<SectionIndex>,
    /// Tracks that lost their section, or did not get it: the client does not receive on it.
    pub refused: Vec<(SectionIndex, SendTrack)>,
}

/// Why an answer belongs to no offer. It is ignored; the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerIgnored {
    /// No offer waits for one.
    #[error("no offer waits for an answer")]
    Unexpected,
    /// It names another offer than the one that waits.
    #[error("the answer is to another offer")]
    Stale,
}

impl AnswerIgnored {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unexpected => "answer-unexpected",
            Self::Stale => "answer-stale",
        }
    }
}

/// A media section of our offers. Its place never changes.
#[derive(Debug)]
struct Section {
    mid: String,
    kind: MediaKind,
    send: Option<SendSection>,
    /// Whether an offer had it, so that the client knows it.
    offered: bool,
    /// Whether the last offer said that we send.
    announced: bool,
    /// Whether the client has agreed that it is off, or refused it. Its place is then free for another section,
    /// under another mid (RFC 8829 §5.2.2).
    rejected: bool,
}

impl Section {
    fn new(mid: String, kind: MediaKind) -> Self {
        Self { mid, kind, send: None, offered: false, announced: false, rejected: false }
    }

    /// Whether it is offered with port 0: what carried a track carries no other, for the client's receiver would
    /// keep the first one's id, by which some clients (LiveKit's Rust and Python SDKs) know tracks.
    fn is_off(&self) -> bool {
        self.rejected || self.send.is_none() && self.kind != MediaKind::Application
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Offerer {
    settings: NegotiatorSettings,
    sections: Vec<Section>,
    peer: Option<PeerTransport>,
    /// The offer that waits for its answer.
    waiting: Option<u32>,
    /// Offers made; the version of our description and the last offer's id.
    version: u32,
    /// Mids used so far.
    mids: u32,
    /// Whether an offer is due for another reason than tracks: the first, and one with new ICE credentials.
    is_due: bool,
}

impl Offerer {
    /// A connection that was not offered yet. Its first section is for data channels.
    pub fn new(settings: NegotiatorSettings) -> Self {
        let mut offerer = Self {
            settings,
            sections: Vec::new(),
            peer: None,
            waiting: None,
            version: 0,
            mids: 0,
            is_due: true,
        };
        offerer.add_section(MediaKind::Application);
        offerer
    }

    /// Binds a track to a section that is free, or to a new one; the next offer tells the client. `None`: no
    /// further section fits, or an offer waits for its answer, which is about the sections as they were.
    pub fn bind(&mut self, send: SendTrack) -> Option<SectionIndex> {
        if self.is_waiting() {
            return None;
        }
        let is_free =
            |section: &Section| section.kind == send.kind && section.send.is_none() && !section.offered;
        let index = match self.sections.iter().position(is_free) {
            Some(index) => index,
            None => self.new_section(send.kind)?,
        };
        let section = self.sections.get_mut(index)?;
        section.send = Some(SendSection {
            mid: section.mid.clone(),
            kind: send.kind,
            track: send,
            codecs: [].into(),
            extensions: Default::default(),
            announced: false,
        });
        Some(SectionIndex(index))
    }

    /// Takes the track off a section. The next offer ends the section, and its place is free then. One that no
    /// offer had is free at once.
    pub fn unbind(&mut self, index: SectionIndex) {
        if let Some(section) = self.sections.get_mut(index.0) {
            section.send = None;
        }
    }

    /// The track on this section with what the client takes for it: nothing until it has answered.
    pub fn send_section(&self, index: SectionIndex) -> Option<&SendSection> {
        self.sections.get(index.0)?.send.as_ref()
    }

    /// Whether a section carries this track, answered or not.
    pub fn carries(&self, track_sid: &str) -> bool {
        self.bound().any(|send| send.track.track_sid == track_sid)
    }

    /// Sections of every offer.
    pub fn section_count(&self) -> usize {
        self.sections.len()
    }

    /// Whether an offer waits for its answer; meanwhile none may follow.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether the client has to be told something.
    pub fn needs_offer(&self) -> bool {
        let differs = |section: &Section| match &section.send {
            Some(send) => !send.announced,
            None => section.announced,
        };
        self.is_due || self.sections.iter().any(differs)
    }

    /// Makes an offer due though no track changed, and waits no longer for an answer: the signalling connection
    /// that carried the last offer is gone, and with it the answer, perhaps. One that comes nevertheless is stale.
    /// After [`Transport::restart_ice`] the offer tells the new credentials.
    ///
    /// [`Transport::restart_ice`]: crate::peer::transport::Transport::restart_ice
    pub fn abandon_offer(&mut self) {
        self.waiting = None;
        self.is_due = true;
    }

    /// The offer of everything that is bound now; `None` while another waits for its answer. It takes any
    /// DTLS role in theory, but ours is the server's: the answer has to say `active`.
    pub fn offer(&mut self, transport: &LocalTransport<'_>) -> Option<Offer> {
        if self.waiting.is_some() {
            return None;
        }
        self.version = self.version.wrapping_add(1).max(1); // 0 is what clients without ids send
        self.waiting = Some(self.version);
        self.is_due = false;
        for section in &mut self.sections {
            section.offered = true;
            section.announced = section.send.is_some();
            if let Some(send) = &mut section.send {
                send.announced = true;
            }
        }
        let mid_to_track_id =
            self.bound().map(|send| (send.mid.clone(), send.track.track_sid.clone())).collect();
        Some(Offer { id: self.version, sdp: self.write(transport), mid_to_track_id })
    }

    /// Whether an answer with this id is the one that is waited for; older clients send 0.
    ///
    /// # Errors
    /// Why it is to be ignored.
    pub fn check_id(&self, id: u32) -> Result<(), AnswerIgnored> {
        match self.waiting {
            None => Err(AnswerIgnored::Unexpected),
            Some(waiting) if id != 0 && id != waiting => Err(AnswerIgnored::Stale),
            Some(_) => Ok(()),
        }
    }

    /// Takes the answer to the offer that waits (RFC 8829 §5.11); [`Self::check_id`] comes before.
    ///
    /// # Errors
    /// Any [`SdpError`]; then nothing has changed, and the offer still waits.
    pub fn accept_answer(&mut self, sdp: &str) -> Result<AnswerSummary, SdpError> {
        let answer = parse::parse(sdp, self.settings.limits)?;
        if answer.ice_lite {
            return Err(SdpError::IceLite);
        }
        check_mids(&answer)?;
        self.check_sections(&answer)?;
        let bundled = bundled_mids(&answer)?;
        let is_taken = |media: &&MediaDescription<'_>| {
            media.port != 0 && media.mid.is_some_and(|mid| bundled.contains(mid))
        };
        let taken_mids = answer.sections.iter().filter(is_taken).filter_map(|media| media.mid);
        let peer = peer_transport(&answer, &accepted_mids(&answer, taken_mids))?;
        // RFC 5763 §5: an answer decides; and it decides for us to be the server.
        if peer.setup != Setup::Active {
            return Err(SdpError::SetupUnsupported);
        }
        if self.peer.as_ref().is_some_and(|known| known.fingerprint != peer.fingerprint) {
            return Err(SdpError::FingerprintChanged);
        }
        let settings = Taken { codecs: &self.settings.codecs, extensions: &self.settings.extensions };
        let mut shared = SharedCodecs::default();
        let mut read = Vec::with_capacity(answer.sections.len());
        for (index, media) in answer.sections.iter().enumerate() {
            let rtp = match media.kind.filter(|_| is_taken(&media)) {
                Some(kind @ (MediaKind::Audio | MediaKind::Video)) => {
                    let mid = media.mid.unwrap_or_default();
                    RtpSection::new(media, kind, SectionIndex(index), mid, settings, &mut shared)?
                }
                _ => None,
            };
            read.push((rtp, is_taken(&media)));
        }

        // Nothing below fails.
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for (index, (section, (rtp, is_taken))) in self.sections.iter_mut().zip(read).enumerate() {
            let index = SectionIndex(index);
            section.rejected = !is_taken;
            if section.rejected {
                section.announced = false; // it is not offered again
            }
            let Some(send) = &mut section.send else { continue };
            match rtp.filter(|rtp| rtp.direction.receives()) {
                Some(rtp) => {
                    if send.codecs.is_empty() {
                        taken.push(index);
                    }
                    send.codecs = rtp.codec_set.codecs.clone();
                    send.extensions = rtp.send_extensions;
                }
                None => refused.extend(section.send.take().map(|send| (index, send.track))),
            }
        }
        self.waiting = None;
        self.peer = Some(peer.clone());
        Ok(AnswerSummary {
            ice_ufrag: peer.ice_ufrag,
            ice_pwd: peer.ice_pwd,
            fingerprint: peer.fingerprint,
            setup: peer.setup,
            taken,
            refused,
        })
    }

    fn bound(&self) -> impl Iterator<Item = &SendSection> {
        self.sections.iter().filter_map(|section| section.send.as_ref())
    }

    /// A place for a section that is not there yet: one that was refused, or behind all others.
    fn new_section(&mut self, kind: MediaKind) -> Option<usize> {
        let ParseLimits { bytes, sections } = self.settings.limits;
        let mut used = section_bytes(kind);
        used += self.sections.iter().filter(|s| !s.rejected).map(|s| section_bytes(s.kind)).sum::<usize>();
        let usable = if kind == MediaKind::Video { bytes - bytes / SOUND_SHARE } else { bytes };
        if used > usable {
            return None;
        }
        // The first place is the data channels', whose section a client of data alone could still refuse.
        let refused =
            self.sections.iter().skip(1).position(|section| section.rejected && section.send.is_none());
        if let Some(place) = refused.and_then(|place| place.checked_add(1)) {
            let mid = self.next_mid();
            let section = self.sections.get_mut(place)?;
            *section = Section::new(mid, kind);
            return Some(place);
        }
        (self.sections.len() < sections).then(|| self.add_section(kind))
    }

    fn add_section(&mut self, kind: MediaKind) -> usize {
        let mid = self.next_mid();
        self.sections.push(Section::new(mid, kind));
        self.sections.len() - 1
    }

    fn next_mid(&mut self) -> String {
        let mid = self.mids;
        self.mids = self.mids.saturating_add(1);
        mid.to_string()
    }

    /// An answer has the offer's sections, in their order (RFC 3264 §6).
    fn check_sections(&self, answer: &SessionDescription<'_>) -> Result<(), SdpError> {
        if answer.sections.len() != self.sections.len() {
            return Err(SdpError::SectionCount {
                sections: answer.sections.len(),
                before: self.sections.len(),
            });
        }
        for (index, (offered, media)) in self.sections.iter().zip(&answer.sections).enumerate() {
            // What is refused may come without anything but its `m=` line.
            if media.mid.is_some_and(|mid| mid != offered.mid) {
                return Err(SdpError::MidChanged { section: index });
            }
            if media.kind.is_some_and(|kind| kind != offered.kind) {
                return Err(SdpError::KindChanged { section: index });
            }
        }
        Ok(())
    }

    fn write(&self, transport: &LocalTransport<'_>) -> String {
        let catalogue = Catalogue::of(&self.settings);
        let bundle: Vec<&str> =
            self.sections.iter().filter(|section| !section.is_off()).map(|s| s.mid.as_str()).collect();
        let size = self.sections.iter().map(|section| section_bytes(section.kind)).sum();
        let mut lines = Lines::new(size, self.settings.session_id, u64::from(self.version), &bundle);
        for section in &self.sections {
            let first = bundle.first().is_some_and(|mid| *mid == section.mid);
            match section.kind {
                _ if section.is_off() => {
                    let (protocol, format) = match section.kind {
                        MediaKind::Application => ("UDP/DTLS/SCTP", "webrtc-datachannel"),
                        _ => ("UDP/TLS/RTP/SAVPF", "0"),
                    };
                    lines.rejected(medium(section.kind), protocol, format, &section.mid);
                }
                MediaKind::Application => {
                    lines.data(
                        medium(section.kind),
                        "UDP/DTLS/SCTP",
                        &section.mid,
                        transport,
                        Setup::ActPass,
                        first,
                    );
                }
                kind => {
                    let rtp = catalogue.section(kind);
                    lines.media(medium(kind), "UDP/TLS/RTP/SAVPF", rtp, Preferences::default());
                    lines.transport(&section.mid, transport, Setup::ActPass, first);
                    lines.rtp(rtp, section.send.as_ref(), Preferences::default());
                }
            }
        }
        lines.into_text()
    }
}

/// The media type of an `m=` line.
fn medium(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Application => "application",
    }
}
