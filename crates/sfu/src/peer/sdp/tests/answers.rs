//! What holds for every answer to an offer of the server's.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::{Offer, Offerer};
use super::offers::{answer_to, offer, offerer};
use super::properties::{mutate, mutation};
use super::*;

const ALL_VIDEO: [&str; 4] = ["VP8", "VP9", "H264", "AV1"];

/// An offerer whose client took a voice and a picture, and waits for the answer to one more of each.
fn waiting() -> (Offerer, Vec<SectionIndex>, Offer) {
    let mut offerer = offerer();
    let mut sections = Vec::new();
    for numbers in [[1, 2], [3, 4]] {
        sections.extend(offerer.bind(track(MediaKind::Audio, numbers[0])));
        sections.extend(offerer.bind(track(MediaKind::Video, numbers[1])));
        let offer = offer(&mut offerer);
        if numbers == [3, 4] {
            return (offerer, sections, offer);
        }
        offerer.accept_answer(&answer_to(&offer.sdp, &ALL_VIDEO)).expect("the answer is good");
    }
    unreachable!("the second round returns")
}

/// What the client is sent under: offered to it on that section, and at least one codec.
fn check_section(offerer: &Offerer, index: SectionIndex, offered: &str) -> Result<(), TestCaseError> {
    let offered = read(offered);
    let send = offerer.send_section(index).expect("it is bound");
    prop_assert!(!send.codecs.is_empty());
    for codec in send.codecs.iter() {
        let is_offered = |number: u8| {
            offered.sections[index.0].payloads.iter().any(|payload| payload.payload_type == number)
        };
        prop_assert!(is_offered(codec.payload_type), "{} was not offered", codec.payload_type);
        prop_assert!(codec.rtx_payload_type.is_none_or(is_offered));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_an_answer_or_refused(text in any::<String>()) {
        let (mut offerer, _, _) = waiting();
        let _ = offerer.accept_answer(&text);
    }

    #[test]
    fn a_damaged_answer_is_refused_without_trace_or_says_what_became_of_each_track(
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let (mut offerer, sections, made) = waiting();
        let good = answer_to(&made.sdp, &ALL_VIDEO);
        match offerer.accept_answer(&mutate(&good, &mutations)) {
            Ok(summary) => {
                let lost: Vec<_> = summary.refused.iter().map(|(index, _)| *index).collect();
                for index in sections {
                    prop_assert_eq!(offerer.send_section(index).is_none(), lost.contains(&index));
                    if !lost.contains(&index) {
                        check_section(&offerer, index, &made.sdp)?;
                    }
                }
                prop_assert!(summary.taken.iter().all(|index| !lost.contains(index)));
                prop_assert!(!offerer.is_waiting());
                read(&offer(&mut offerer).sdp);
            }
            Err(_) => {
                prop_assert!(offerer.is_waiting(), "the offer still waits");
                let summary = offerer.accept_answer(&good).expect("the good answer is taken");
                prop_assert_eq!(summary.taken, &sections[2..]);
                prop_assert!(summary.refused.is_empty());
            }
        }
    }

    /// Against a model: which track is where, what the client was told, and what it takes.
    #[test]
    fn bindings_follow_the_model(steps in prop::collection::vec((0..6u8, any::<prop::sample::Index>()), 1..80)) {
        let mut offerer = offerer();
        let mut bound: HashMap<SectionIndex, (MediaKind, u32)> = HashMap::new();
        let mut new: Vec<SectionIndex> = Vec::new();
        let mut waiting: Option<String> = None;
        for (number, (step, index)) in (0..).zip(steps) {
            match step {
                0 | 1 => {
                    let kind = if step == 0 { MediaKind::Audio } else { MediaKind::Video };
                    let taken = offerer.bind(track(kind, number));
                    prop_assert_eq!(taken.is_none(), waiting.is_some(), "only while an offer waits");
                    if let Some(index) = taken {
                        prop_assert_eq!(bound.insert(index, (kind, number)), None);
                        prop_assert!(offerer.needs_offer());
                        new.push(index);
                    }
                }
                2 if !bound.is_empty() => {
                    let mut all: Vec<_> = bound.keys().copied().collect();
                    all.sort();
                    let index = *index.get(&all);
                    offerer.unbind(index);
                    let (_, number) = bound.remove(&index).expect("it was bound");
                    new.retain(|new| *new != index);
                    let is_carried = offerer.carries(&format!("TR_{number}"));
                    prop_assert!(!is_carried);
                }
                3 if waiting.is_none() => {
                    let Offer { sdp, mid_to_track_id, .. } = offer(&mut offerer);
                    let offered = read(&sdp);
                    prop_assert_eq!(mid_to_track_id.len(), bound.len());
                    for (at, section) in offered.sections.iter().enumerate() {
                        if section.kind == Some(MediaKind::Application) {
                            continue;
                        }
                        let is_sent = section.port != 0 && section.direction.sends();
                        let track = bound.get(&SectionIndex(at)).map(|(_, number)| format!("TR_{number}"));
                        prop_assert_eq!(is_sent, track.is_some());
                        let named = section.mid.and_then(|mid| mid_to_track_id.get(mid));
                        prop_assert_eq!(named, track.as_ref());
                    }
                    waiting = Some(sdp);
                }
                4 | 5 => {
                    let Some(sdp) = waiting.take() else { continue };
                    let video: &[&str] = if step == 4 { &ALL_VIDEO } else { &[] };
                    let summary = offerer.accept_answer(&answer_to(&sdp, video)).expect("the answer is good");
                    let is_refused =
                        |index: &SectionIndex| step == 5 && bound[index].0 == MediaKind::Video;
                    let mut refused: Vec<_> = bound.keys().copied().filter(is_refused).collect();
                    let mut taken: Vec<_> = new.drain(..).filter(|index| !is_refused(index)).collect();
                    refused.sort();
                    taken.sort();
                    prop_assert_eq!(summary.taken, taken);
                    prop_assert_eq!(summary.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), refused.clone());
                    bound.retain(|index, _| !refused.contains(index));
                    for index in bound.keys() {
                        check_section(&offerer, *index, &sdp)?;
                    }
                }
                _ => {}
            }
            prop_assert_eq!(offerer.is_waiting(), waiting.is_some());
            for (index, (_, number)) in &bound {
                let send = offerer.send_section(*index).expect("it is bound");
                prop_assert_eq!(&send.track.track_sid, &format!("TR_{number}"));
            }
        }
    }
}
