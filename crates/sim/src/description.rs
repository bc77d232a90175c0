//! Session descriptions as the simulated clients write and read them: offers in the manner of browsers, every
//! client with payload types and extension ids of its own, and the lines of answers that matter.

use std::fmt::Write;

use fastrand::Rng;
use rtp::extension::ExtensionKind;

use crate::codec::Codec;
use crate::red;

/// Extensions of sound sections.
const AUDIO_EXTENSIONS: [ExtensionKind; 5] = [
    ExtensionKind::AudioLevel,
    ExtensionKind::AbsSendTime,
    ExtensionKind::TransportCc,
    ExtensionKind::Mid,
    ExtensionKind::AbsCaptureTime,
];

/// Extensions of picture sections. Some of them the core does not take.
const VIDEO_EXTENSIONS: [ExtensionKind; 9] = [
    ExtensionKind::TransmissionOffset,
    ExtensionKind::AbsSendTime,
    ExtensionKind::VideoOrientation,
    ExtensionKind::TransportCc,
    ExtensionKind::Mid,
    ExtensionKind::Rid,
    ExtensionKind::RepairedRid,
    ExtensionKind::DependencyDescriptor,
    ExtensionKind::AbsCaptureTime,
];

/// Stands for a payload type that is not known yet; none has this number.
const UNKNOWN: u8 = u8::MAX;

/// A payload type and that of its retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// Which codec.
    pub codec: Codec,
    /// Its payload type.
    pub media: u8,
    /// Payload type of retransmissions; none for sound.
    pub rtx: Option<u8>,
}

/// How one client names things.
#[derive(Clone, Debug)]
pub struct Dialect {
    ids: Vec<(ExtensionKind, u8)>,
    payload_types: Vec<PayloadType>,
    /// Whether sound may come with redundancy.
    has_red: bool,
    allow_mixed: bool,
}

impl Dialect {
    /// Random ids and payload types for these codecs. With `two_byte` some ids need two-byte headers.
    pub fn random(rng: &mut Rng, codecs: &[Codec], two_byte: bool) -> Self {
        let mut ids: Vec<u8> =
            if two_byte { (1..=30).filter(|id| *id != 15).collect() } else { (1..=14).collect() };
        rng.shuffle(&mut ids);
        let mut kinds = VIDEO_EXTENSIONS.to_vec();
        kinds.push(ExtensionKind::AudioLevel);
        let mut payload_types: Vec<u8> = (96..=127).chain(35..=63).collect();
        rng.shuffle(&mut payload_types);
        let mut next = payload_types.into_iter();
        let payload_types = codecs
            .iter()
            .filter_map(|codec| {
                Some(PayloadType {
                    codec: *codec,
                    media: next.next()?,
                    rtx: if codec.is_video() { Some(next.next()?) } else { None },
                })
            })
            .collect();
        Self {
            ids: kinds.into_iter().zip(ids).collect(),
            payload_types,
            has_red: false,
            allow_mixed: two_byte,
        }
    }

    /// Also reads and offers RED, under libwebrtc's payload types; whoever had them before takes free ones.
    pub fn with_red(mut self) -> Self {
        self.payload_types.retain(|known| known.codec != Codec::Opus);
        let reserved = |number: &u8| [red::OPUS, red::RED].contains(number);
        let used: Vec<u8> =
            self.payload_types.iter().flat_map(|known| [Some(known.media), known.rtx]).flatten().collect();
        let mut free = (96..=127).filter(|number| !reserved(number) && !used.contains(number));
        for known in &mut self.payload_types {
            for number in [Some(&mut known.media), known.rtx.as_mut()].into_iter().flatten() {
                if reserved(number) {
                    *number = free.next().unwrap_or_default();
                }
            }
        }
        self.payload_types.push(PayloadType { codec: Codec::Opus, media: red::OPUS, rtx: None });
        self.has_red = true;
        self
    }

    /// How a server names what it offers, for a client with these codecs; nothing is known before [`Self::learn`].
    pub fn of_server(codecs: &[Codec], red: bool) -> Self {
        let unknown = |codec: &Codec| PayloadType { codec: *codec, media: UNKNOWN, rtx: None };
        Self {
            ids: Vec::new(),
            payload_types: codecs.iter().map(unknown).collect(),
            has_red: red,
            allow_mixed: true,
        }
    }

    /// Reads the names that an offer uses, of the codecs that the client has; one without media says nothing new.
    pub fn learn(&mut self, offer: &str) {
        let numbered = |name: &'static str| {
            let lines = offer.lines().filter_map(move |line| line.strip_prefix(name)?.split_once(' '));
            lines.filter_map(|(number, value)| Some((number.parse::<u8>().ok()?, value)))
        };
        for (id, uri) in numbered("a=extmap:") {
            if let Some(kind) = ExtensionKind::from_uri(uri)
                && self.id(kind).is_none()
            {
                self.ids.push((kind, id));
            }
        }
        let rtx = |media: u8| {
            numbered("a=fmtp:").find(|(_, value)| *value == format!("apt={media}")).map(|(number, _)| number)
        };
        let mut learnt = Vec::new();
        for (media, name) in numbered("a=rtpmap:") {
            let known =
                self.payload_types.iter().find(|known| known.codec.rtpmap().eq_ignore_ascii_case(name));
            if let Some(codec) = known.map(|known| known.codec) {
                learnt.push(PayloadType { codec, media, rtx: rtx(media) });
            }
        }
        learnt.retain(|new| !self.payload_types.contains(new));
        learnt.dedup();
        self.payload_types.extend(learnt);
    }

    /// Whether this payload type is RED's.
    pub fn is_red(&self, payload_type: u8) -> bool {
        self.has_red && payload_type == red::RED
    }

    /// The id of an extension.
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        self.ids.iter().find(|(known, _)| *known == kind).map(|(_, id)| *id)
    }

    /// The extension of an id.
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        self.ids.iter().find(|(_, known)| *known == id).map(|(kind, _)| *kind)
    }

    /// Payload types of a codec; `None` if the client does not have it.
    pub fn payload_type(&self, codec: Codec) -> Option<PayloadType> {
        self.payload_types.iter().find(|known| known.codec == codec).copied()
    }

    /// What a payload type stands for, and whether for retransmissions.
    pub fn meaning(&self, payload_type: u8) -> Option<(Codec, bool)> {
        if self.is_red(payload_type) {
            return Some((Codec::Opus, false));
        }
        self.payload_types.iter().find_map(|known| {
            let rtx = known.rtx == Some(payload_type);
            (rtx || known.media == payload_type).then_some((known.codec, rtx))
        })
    }
}

/// What a section carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels.
    Data,
}

/// What the client does on a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Receives.
    Receive,
    /// Sends a publication.
    Publish(Published),
    /// Nothing any more.
    Idle,
}

/// A publication in an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Number of the publication.
    pub number: u32,
    /// Id of the track, as announced.
    pub cid: String,
    /// The codec that is sent.
    pub codec: Codec,
    /// Names of simulcast layers; empty without.
    pub rids: Vec<&'static str>,
    /// Source and source of retransmissions, without simulcast.
    pub ssrc: Option<(u32, Option<u32>)>,
}

/// A media section of a client's offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Media id.
    pub mid: String,
    /// What it carries.
    pub medium: Medium,
    /// What for.
    pub purpose: Purpose,
}

/// Writes an offer.
pub fn write_offer(dialect: &Dialect, sections: &[Section], version: u32) -> String {
    let mut lines = Lines(String::new());
    lines.put("v=0");
    lines.put(format_args!("o=- 4242 {version} IN IP4 127.0.0.1"));
    lines.put("s=-");
    lines.put("t=0 0");
    let mids: Vec<&str> = sections.iter().map(|section| section.mid.as_str()).collect();
    lines.put(format_args!("a=group:BUNDLE {}", mids.join(" ")));
    if dialect.allow_mixed {
        lines.put("a=extmap-allow-mixed");
    }
    lines.put("a=msid-semantic: WMS *");
    for section in sections {
        lines.section(dialect, section);
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn put(&mut self, line: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    fn section(&mut self, dialect: &Dialect, section: &Section) {
        let (medium, extensions): (_, &[ExtensionKind]) = match section.medium {
            Medium::Audio => ("audio", &AUDIO_EXTENSIONS),
            Medium::Video => ("video", &VIDEO_EXTENSIONS),
            Medium::Data => {
                self.put("m=application 9 UDP/DTLS/SCTP webrtc-datachannel");
                self.transport(&section.mid);
                self.put("a=sctp-port:5000");
                return;
            }
        };
        let mut types: Vec<PayloadType> = dialect
            .payload_types
            .iter()
            .filter(|known| known.codec.is_video() == (section.medium == Medium::Video))
            .copied()
            .collect();
        if let Purpose::Publish(published) = &section.purpose {
            // The preferred codec comes first.
            types.sort_by_key(|known| known.codec != published.codec);
        }
        let mut numbers = String::new();
        for number in types.iter().flat_map(|known| [Some(known.media), known.rtx]).flatten() {
            let _ = write!(numbers, " {number}");
        }
        let has_red = dialect.has_red && section.medium == Medium::Audio;
        if has_red {
            let _ = write!(numbers, " {}", red::RED);
        }
        self.put(format_args!("m={medium} 9 UDP/TLS/RTP/SAVPF{numbers}"));
        self.transport(&section.mid);
        for kind in extensions {
            if let Some(id) = dialect.id(*kind) {
                self.put(format_args!("a=extmap:{id} {}", kind.uri()));
            }
        }
        self.put(match &section.purpose {
            Purpose::Receive => "a=recvonly",
            Purpose::Publish(_) => "a=sendonly",
            Purpose::Idle => "a=inactive",
        });
        if let Purpose::Publish(published) = &section.purpose {
            self.put(format_args!("a=msid:stream {}", published.cid));
        }
        self.put("a=rtcp-mux");
        self.put("a=rtcp-rsize");
        for known in types {
            self.payload_type(known);
        }
        if has_red {
            self.put(format_args!("a=rtpmap:{} red/48000/2", red::RED));
            self.put(format_args!("a=rtcp-fb:{} transport-cc", red::RED));
            self.put(format_args!("a=fmtp:{} {1}/{1}", red::RED, red::OPUS));
        }
        if let Purpose::Publish(published) = &section.purpose {
            self.sources(published);
        }
    }

    fn transport(&mut self, mid: &str) {
        self.put("c=IN IP4 0.0.0.0");
        self.put("a=ice-ufrag:simu");
        self.put("a=ice-pwd:simulatedsimulatedsimulated");
        self.put("a=ice-options:trickle");
        self.put(format_args!("a=fingerprint:sha-256 {}", ["5A"; 32].join(":")));
        self.put("a=setup:actpass");
        self.put(format_args!("a=mid:{mid}"));
    }

    fn payload_type(&mut self, known: PayloadType) {
        let PayloadType { codec, media, rtx } = known;
        self.put(format_args!("a=rtpmap:{media} {}", codec.rtpmap()));
        self.put(format_args!("a=rtcp-fb:{media} transport-cc"));
        if codec.is_video() {
            for feedback in ["ccm fir", "nack", "nack pli"] {
                self.put(format_args!("a=rtcp-fb:{media} {feedback}"));
            }
        }
        if !codec.fmtp().is_empty() {
            self.put(format_args!("a=fmtp:{media} {}", codec.fmtp()));
        }
        if let Some(rtx) = rtx {
            self.put(format_args!("a=rtpmap:{rtx} rtx/90000"));
            self.put(format_args!("a=fmtp:{rtx} apt={media}"));
        }
    }

    fn sources(&mut self, published: &Published) {
        for rid in &published.rids {
            self.put(format_args!("a=rid:{rid} send"));
        }
        if !published.rids.is_empty() {
            self.put(format_args!("a=simulcast:send {}", published.rids.join(";")));
        }
        if let Some((media, rtx)) = published.ssrc {
            if let Some(rtx) = rtx {
                self.put(format_args!("a=ssrc-group:FID {media} {rtx}"));
            }
            for ssrc in [Some(media), rtx].into_iter().flatten() {
                self.put(format_args!("a=ssrc:{ssrc} cname:simulated"));
            }
        }
    }
}

/// Writes the answer of a client that takes all of an offer, in the codecs of its dialect.
pub fn write_answer(dialect: &Dialect, offer: &str) -> String {
    let mut lines = Lines(String::new());
    let is_taken = |number: &str| number.parse().is_ok_and(|number| dialect.meaning(number).is_some());
    let mut is_media = false;
    for line in offer.lines() {
        if let Some(rest) = line.strip_prefix("m=") {
            let mut words: Vec<&str> = rest.split(' ').collect();
            is_media = !rest.starts_with("application") && words.get(1) != Some(&"0");
            if is_media {
                let types = words.split_off(3.min(words.len()));
                words.extend(types.into_iter().filter(|number| is_taken(number)));
            }
            lines.put(format_args!("m={}", words.join(" ")));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let number = value.split(' ').next().unwrap_or_default();
        match name {
            "a=ice-lite" | "a=candidate" | "a=end-of-candidates" | "a=msid" | "a=ssrc" | "a=ssrc-group" => {}
            "a=rtpmap" | "a=fmtp" | "a=rtcp-fb" if is_media && !is_taken(number) => {}
            "a=ice-ufrag" => lines.put("a=ice-ufrag:simu"),
            "a=ice-pwd" => lines.put("a=ice-pwd:simulatedsimulatedsimulated"),
            "a=fingerprint" => lines.put(format_args!("a=fingerprint:sha-256 {}", ["5A"; 32].join(":"))),
            "a=setup" => lines.put("a=setup:active"),
            "a=sendonly" => lines.put("a=recvonly"),
            _ => lines.put(line),
        }
    }
    lines.0
}

/// What an answer says of one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Media id.
    pub mid: String,
    /// Port 0.
    pub rejected: bool,
    /// Whether the server sends on it.
    pub sends: bool,
    /// Whether the server receives on it.
    pub receives: bool,
    /// Track of `a=msid`.
    pub track: Option<String>,
    /// Source of the media.
    pub ssrc: Option<u32>,
    /// Source of retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Extension ids and names.
    pub extensions: Vec<(u8, String)>,
    /// Payload types of the `m=` line.
    pub payload_types: Vec<u8>,
    /// Layers taken.
    pub rids: Vec<String>,
}

/// Reads an answer, or an offer of the server's; errors name what cannot be read.
pub fn read_answer(sdp: &str) -> Result<Vec<Answered>, String> {
    let mut sections: Vec<Answered> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ');
            let (_, port) = (words.next(), words.next());
            let payload_types = words.skip(1).filter_map(|word| word.parse().ok()).collect();
            sections.push(Answered { rejected: port == Some("0"), payload_types, ..Answered::default() });
            continue;
        }
        let (Some(section), Some(attribute)) = (sections.last_mut(), line.strip_prefix("a=")) else {
            continue;
        };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let unreadable = || format!("cannot read {line}");
        match name {
            "mid" => section.mid = value.to_owned(),
            "sendonly" => section.sends = true,
            "recvonly" => section.receives = true,
            "sendrecv" => (section.sends, section.receives) = (true, true),
            "msid" => section.track = value.split(' ').nth(1).map(str::to_owned),
            "ssrc" => {
                let ssrc =
                    value.split(' ').next().and_then(|ssrc| ssrc.parse().ok()).ok_or_else(unreadable)?;
                if section.rtx_ssrc != Some(ssrc) {
                    section.ssrc.get_or_insert(ssrc);
                }
            }
            "ssrc-group" => {
                let numbers: Vec<u32> =
                    value.split(' ').skip(1).filter_map(|ssrc| ssrc.parse().ok()).collect();
                let [media, rtx] = numbers[..] else { return Err(unreadable()) };
                (section.ssrc, section.rtx_ssrc) = (Some(media), Some(rtx));
            }
            "extmap" => {
                let (id, uri) = value.split_once(' ').ok_or_else(unreadable)?;
                let id = id.split('/').next().and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
                section.extensions.push((id, uri.to_owned()));
            }
            "rid" => section.rids.extend(value.split(' ').next().map(str::to_owned)),
            _ => {}
        }
    }
    Ok(sections)
}

/// What is wrong with an answer to an offer of these sections, whatever the server wants to send.
pub fn check_answer(dialect: &Dialect, offered: &[Section], answered: &[Answered]) -> Result<(), String> {
    if offered.len() != answered.len() {
        return Err(format!("{} sections answered of {}", answered.len(), offered.len()));
    }
    let mut tracks = std::collections::BTreeSet::new();
    for (offer, answer) in offered.iter().zip(answered) {
        let mid = &offer.mid;
        if answer.mid != *mid {
            return Err(format!("section {mid} is answered as {}", answer.mid));
        }
        if answer.rejected {
            return Err(format!("section {mid} is rejected"));
        }
        for (id, uri) in &answer.extensions {
            if dialect.kind(*id).is_none_or(|kind| kind.uri() != uri) {
                return Err(format!("section {mid}: extension {id} is not {uri}"));
            }
        }
        if offer.medium == Medium::Data {
            continue;
        }
        for payload_type in &answer.payload_types {
            let video = dialect.meaning(*payload_type).map(|(codec, _)| codec.is_video());
            if video != Some(offer.medium == Medium::Video) {
                return Err(format!("section {mid}: payload type {payload_type} was not offered"));
            }
        }
        let may_receive = matches!(offer.purpose, Purpose::Publish(_));
        if answer.receives != may_receive || (answer.sends && offer.purpose != Purpose::Receive) {
            return Err(format!("section {mid}: the direction does not fit {:?}", offer.purpose));
        }
        if let Purpose::Publish(published) = &offer.purpose
            && published.rids.iter().any(|rid| !answer.rids.iter().any(|answered| answered == rid))
        {
            return Err(format!("section {mid}: layers {:?} of {:?}", answer.rids, published.rids));
        }
        if answer.sends {
            let Some(track) = &answer.track else { return Err(format!("section {mid} sends no track")) };
            if !tracks.insert(track) {
                return Err(format!("{track} is sent on two sections"));
            }
            if answer.ssrc.is_none() || (offer.medium == Medium::Video) != answer.rtx_ssrc.is_some() {
                return Err(format!("section {mid}: sources are missing"));
            }
        }
    }
    Ok(())
}
