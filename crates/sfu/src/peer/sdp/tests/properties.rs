//! What holds for every input.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A change to a text: cut, repeat, move or replace lines, or flip a byte.
#[derive(Clone, Debug)]
pub(super) enum Mutation {
    Delete(prop::sample::Index),
    Duplicate(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Replace(prop::sample::Index, String),
    Splice(prop::sample::Index, prop::sample::Index),
    Truncate(prop::sample::Index),
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Mutation::Delete),
        index().prop_map(Mutation::Duplicate),
        (index(), index()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (index(), "[ -~]{0,40}").prop_map(|(at, line)| Mutation::Replace(at, line)),
        (index(), index()).prop_map(|(a, b)| Mutation::Splice(a, b)),
        index().prop_map(Mutation::Truncate),
    ]
}

pub(super) fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for mutation in mutations {
        if lines.is_empty() {
            break;
        }
        let at = |index: &prop::sample::Index| index.index(lines.len());
        match mutation {
            Mutation::Delete(line) => {
                let line = at(line);
                lines.remove(line);
            }
            Mutation::Duplicate(line) => {
                let line = at(line);
                lines.insert(line, lines[line].clone());
            }
            Mutation::Swap(a, b) => {
                let (a, b) = (at(a), at(b));
                lines.swap(a, b);
            }
            Mutation::Replace(line, with) => {
                let line = at(line);
                lines[line] = with.clone();
            }
            // The value of one line under the name of another.
            Mutation::Splice(a, b) => {
                let (a, b) = (at(a), at(b));
                let value = lines[b].split_once([':', '=']).map_or("", |(_, value)| value).to_owned();
                let name = lines[a].split_inclusive([':', '=']).next().unwrap_or_default().to_owned();
                lines[a] = name + &value;
            }
            Mutation::Truncate(line) => {
                let line = at(line);
                lines.truncate(line);
            }
        }
    }
    lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect()
}

/// What holds after every accepted offer.
fn check_answer(negotiator: &mut Negotiator, offer: &str) -> Result<(), TestCaseError> {
    let Answer { sdp, mid_to_track_id } = answer(negotiator);
    let (offered, answered) = (read(offer), read(&sdp));
    prop_assert_eq!(answered.sections.len(), offered.sections.len());
    for (ours, theirs) in answered.sections.iter().zip(&offered.sections) {
        prop_assert_eq!(ours.mid, theirs.mid);
        prop_assert_eq!(ours.media, theirs.media);
        // RFC 3264 §6.1: nobody is sent what it does not take, nor asked for what it does not send.
        prop_assert!(
            !ours.direction.sends()
                || theirs.direction.receives()
                || ours.port == 0
                || ours.kind == Some(MediaKind::Application)
        );
        prop_assert!(
            !ours.direction.receives()
                || theirs.direction.sends()
                || ours.port == 0
                || ours.kind == Some(MediaKind::Application)
        );
        for payload in &ours.payloads {
            prop_assert!(theirs.payloads.iter().any(|theirs| theirs.payload_type == payload.payload_type));
        }
    }
    let group: HashSet<&str> = answered.bundle_groups.first().into_iter().flatten().copied().collect();
    for section in &answered.sections {
        let in_group = section.mid.is_some_and(|mid| group.contains(mid));
        prop_assert_eq!(in_group, section.port != 0);
    }
    for (mid, track_sid) in &mid_to_track_id {
        let track = section(&answered, mid).msid.and_then(|(_, track)| track);
        prop_assert_eq!(track, Some(track_sid.as_str()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text, LIMITS);
        let _ = negotiator().accept_offer(&text);
    }

    #[test]
    fn any_lines_are_read_or_refused(lines in prop::collection::vec("[vmaoct]=[a-z0-9:/;=, *~-]{0,30}", 0..40)) {
        let _ = negotiator().accept_offer(&format!("v=0\r\n{}", lines.join("\r\n")));
    }

    #[test]
    fn a_damaged_offer_is_refused_or_answered_in_full(
        which in 0..OFFERS.len(),
        mutations in prop::collection::vec(mutation(), 1..12),
    ) {
        let offer = mutate(OFFERS[which].1, &mutations);
        let mut negotiator = negotiator();
        if negotiator.accept_offer(&offer).is_ok() {
            negotiator.bind(track(MediaKind::Audio, 1));
            negotiator.bind(track(MediaKind::Video, 2));
            check_answer(&mut negotiator, &offer)?;
        }
    }

    #[test]
    fn a_damaged_offer_after_a_good_one_is_refused_without_trace_or_answered_in_full(
        which in 0..OFFERS.len(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let offer = OFFERS[which].1;
        let damaged = mutate(offer, &mutations);
        let mut negotiator = after(offer);
        negotiator.bind(track(MediaKind::Audio, 1));
        negotiator.bind(track(MediaKind::Video, 2));
        check_answer(&mut negotiator, offer)?;
        match negotiator.accept_offer(&damaged) {
            Ok(summary) => {
                prop_assert_eq!(summary.lost.len() + negotiator.sending().count(), 2);
                check_answer(&mut negotiator, &damaged)?;
            }
            Err(_) => {
                prop_assert_eq!(negotiator.sending().count(), 2);
                check_answer(&mut negotiator, offer)?;
            }
        }
    }

    /// Against a model: which track is where, and which sections the client believes to be sending.
    #[test]
    fn bindings_follow_the_model(steps in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..80)) {
        let mut negotiator = after(CHROMIUM_VP8);
        let mut bound: HashMap<SectionIndex, u32> = HashMap::new();
        let mut announced: HashSet<SectionIndex> = HashSet::new();
        for (number, (step, index)) in (0..).zip(steps) {
            match step {
                0 | 1 => {
                    let kind = if step == 0 { MediaKind::Audio } else { MediaKind::Video };
                    let sections = if step == 0 { 0..3 } else { 3..6 };
                    let free = indices(sections)
                        .into_iter()
                        .filter(|index| !bound.contains_key(index) && !announced.contains(index))
                        .count();
                    prop_assert_eq!(negotiator.free(kind), free);
                    let taken = negotiator.bind(track(kind, number));
                    prop_assert_eq!(taken.is_some(), free > 0);
                    if let Some(index) = taken {
                        prop_assert!(!announced.contains(&index));
                        prop_assert_eq!(bound.insert(index, number), None);
                    }
                }
                2 if !bound.is_empty() => {
                    let mut all: Vec<_> = bound.keys().copied().collect();
                    all.sort();
                    let index = *index.get(&all);
                    negotiator.unbind(index);
                    bound.remove(&index);
                }
                _ => {
                    negotiator.accept_offer(CHROMIUM_VP8).expect("the offer is good");
                    check_answer(&mut negotiator, CHROMIUM_VP8)?;
                    announced = bound.keys().copied().collect();
                    prop_assert!(!negotiator.needs_offer());
                }
            }
            let sending: HashMap<_, _> = negotiator
                .sending()
                .map(|(index, send)| (index, send.track.ssrc - 1000))
                .collect();
            prop_assert_eq!(&sending, &bound);
            let unbound = indices(0..6).iter().filter(|index| !bound.contains_key(index)).count();
            let available = negotiator.available(MediaKind::Audio) + negotiator.available(MediaKind::Video);
            prop_assert_eq!(available, unbound);
        }
    }
}
