//! Scenarios with offers recorded from real clients.

mod answers;
mod fixtures;
mod offers;
mod parsing;
mod properties;
mod refusals;
mod renegotiation;

use std::net::SocketAddr;

use super::parse::{MediaDescription, ParseLimits, SessionDescription, parse};
use super::{Answer, LocalTransport, MediaKind, Negotiator, NegotiatorSettings, SectionIndex, SendTrack};

const LIMITS: ParseLimits = ParseLimits { bytes: 1 << 20, sections: 1000 };

const CHROMIUM_FIRST: &str = include_str!("../../../../testdata/sdp/chromium-156-first-offer.sdp");
const CHROMIUM_VP8: &str =
    include_str!("../../../../testdata/sdp/chromium-156-offer-after-publish-vp8-simulcast.sdp");
const CHROMIUM_VP9: &str =
    include_str!("../../../../testdata/sdp/chromium-156-offer-after-publish-vp9-svc.sdp");
const CHROMIUM_AV1: &str = include_str!("../../../../testdata/sdp/chromium-156-offer-after-publish-av1.sdp");
const NODE_FIRST: &str = include_str!("../../../../testdata/sdp/libwebrtc-node-1.1.0-first-offer.sdp");
const PYTHON_FIRST: &str = include_str!("../../../../testdata/sdp/libwebrtc-python-1.2.1-first-offer.sdp");
const PYTHON_PUBLISH: &str =
    include_str!("../../../../testdata/sdp/libwebrtc-python-1.2.1-offer-after-publish.sdp");
const FIREFOX_FIRST: &str = include_str!("../../../../testdata/sdp/firefox-esr-153-first-offer.sdp");
const FIREFOX_PUBLISH: &str =
    include_str!("../../../../testdata/sdp/firefox-esr-153-offer-after-publish-vp8-simulcast.sdp");
const CHROMIUM_ANSWER: &str = include_str!("../../../../testdata/sdp/answer-accepted-by-chromium-156.sdp");
const PYTHON_ANSWER: &str = include_str!("../../../../testdata/sdp/answer-accepted-by-libwebrtc-python.sdp");

/// Every recorded offer.
const OFFERS: [(&str, &str); 9] = [
    ("chromium first", CHROMIUM_FIRST),
    ("chromium VP8", CHROMIUM_VP8),
    ("chromium VP9", CHROMIUM_VP9),
    ("chromium AV1", CHROMIUM_AV1),
    ("node first", NODE_FIRST),
    ("python first", PYTHON_FIRST),
    ("python publish", PYTHON_PUBLISH),
    ("firefox first", FIREFOX_FIRST),
    ("firefox publish", FIREFOX_PUBLISH),
];

const UFRAG: &str = "aServer";
const PASSWORD: &str = "serverPassword/0123456789+";
const FINGERPRINT: &str =
    "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

fn negotiator() -> Negotiator {
    Negotiator::new(NegotiatorSettings::default())
}

/// A negotiator that accepted the offer.
fn after(offer: &str) -> Negotiator {
    let mut negotiator = negotiator();
    negotiator.accept_offer(offer).expect("the offer is good");
    negotiator
}

fn answer(negotiator: &mut Negotiator) -> Answer {
    let candidates: [SocketAddr; 2] = [([192, 0, 2, 1], 7880).into(), ([127, 0, 0, 1], 7880).into()];
    negotiator.answer(&local(&candidates))
}

fn local(candidates: &[SocketAddr]) -> LocalTransport<'_> {
    LocalTransport {
        ice_ufrag: UFRAG,
        ice_pwd: PASSWORD,
        candidates,
        fingerprint: FINGERPRINT,
        sctp_port: 5000,
        max_message_size: 262_144,
    }
}

fn read(sdp: &str) -> SessionDescription<'_> {
    parse(sdp, LIMITS).expect("the description is readable")
}

fn section<'s, 'a>(description: &'s SessionDescription<'a>, mid: &str) -> &'s MediaDescription<'a> {
    description.sections.iter().find(|section| section.mid == Some(mid)).expect("the section exists")
}

/// The lines of one section.
fn lines<'a>(sdp: &'a str, mid: &str) -> Vec<&'a str> {
    sdp.split("\r\nm=")
        .skip(1)
        .map(|section| section.lines().collect::<Vec<_>>())
        .find(|lines| lines.iter().any(|line| *line == format!("a=mid:{mid}")))
        .expect("the section exists")
}

fn track(kind: MediaKind, number: u32) -> SendTrack {
    SendTrack {
        kind,
        participant_sid: "PA_alice".to_owned(),
        track_sid: format!("TR_{number}"),
        stream: "camera",
        ssrc: 1000 + number,
        rtx_ssrc: (kind == MediaKind::Video).then_some(2000 + number),
        cname: "alice".to_owned(),
        stereo: false,
    }
}

fn indices(sections: impl IntoIterator<Item = usize>) -> Vec<SectionIndex> {
    sections.into_iter().map(SectionIndex).collect()
}
