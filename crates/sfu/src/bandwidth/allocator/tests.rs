use proptest::prelude::*;

use super::super::target::LayerRates;
use super::*;

pub(crate) const CAMERA: LayerRates =
    [[60_000, 90_000, 150_000, 0], [200_000, 300_000, 500_000, 0], [700_000, 1_000_000, 1_700_000, 0]];

/// All of [`CAMERA`] is wanted, and nothing sent yet.
pub(crate) fn request(importance: Importance, area: u32) -> Request {
    let ladder = Ladder::new(&CAMERA, LayerTarget::BEST);
    Request {
        importance,
        area,
        ladder,
        reserve: 0,
        current: None,
        may_rise: true,
        may_refine: true,
        beginning: Beginning::Free,
    }
}

fn spatial(targets: &[Option<LayerTarget>]) -> Vec<Option<u8>> {
    targets.iter().map(|target| target.map(|target| target.spatial)).collect()
}

fn cost(requests: &[Request], targets: &[Option<LayerTarget>]) -> u64 {
    let rate = |(request, target): (&Request, &Option<LayerTarget>)| {
        (0..request.ladder.len())
            .filter_map(|index| request.ladder.step(index))
            .find(|step| Some(step.target) == *target)
            .map_or(0, |step| step.rate)
    };
    requests.iter().zip(targets).map(rate).sum()
}

#[test]
fn everybody_is_seen_before_anybody_is_sharp() {
    let tiles = vec![request(Importance::Visible, 640 * 360); 4];
    assert_eq!(spatial(&allocate(4 * 75_000, &tiles)), [Some(0); 4]);
    let targets = allocate(1_000_000, &tiles);
    let steps: Vec<_> =
        tiles.iter().zip(&targets).map(|(tile, target)| tile.ladder.index_of(target.unwrap())).collect();
    assert_eq!(steps, [Some(3), Some(3), Some(2), Some(2)], "equals rise together, step by step");
}

#[test]
fn what_does_not_fit_is_paused_the_least_important_first() {
    let tiles = [
        request(Importance::Visible, 100),
        request(Importance::Speaker, 100),
        request(Importance::Screen, 100),
    ];
    assert_eq!(spatial(&allocate(140_000, &tiles)), [None, Some(0), Some(0)]);
    assert_eq!(spatial(&allocate(10_000, &tiles)), [None; 3]);
}

#[test]
fn the_screen_is_sharp_before_faces_are() {
    let tiles = [request(Importance::Visible, 640 * 360), request(Importance::Screen, 1280 * 720)];
    let targets = allocate(2_030_000, &tiles);
    assert_eq!(targets[1], Some(LayerTarget { spatial: 2, temporal: 2 }));
    assert_eq!(targets[0].map(|target| target.spatial), Some(0));
}

#[test]
fn room_for_the_next_slide_is_kept_from_better_layers_and_from_nobodys_cheapest() {
    let slides = Request { reserve: 1_500_000, ..request(Importance::Screen, 1280 * 720) };
    let slides =
        Request { ladder: Ladder::new(&[[100_000, 0, 0, 0], [0; 4], [0; 4]], LayerTarget::BEST), ..slides };
    let requests = [slides, request(Importance::Visible, 640 * 360)];
    let face = |budget| allocate(budget, &requests)[1];
    assert_eq!(face(800_000), Some(LayerTarget { spatial: 0, temporal: 2 }), "half of it is kept");
    assert_eq!(face(1_800_000).map(|target| target.spatial), Some(1), "700 kbit/s are left");
    assert_eq!(face(200_000), Some(LayerTarget::LOWEST));
    assert_eq!(allocate(200_000, &requests)[0], Some(LayerTarget { spatial: 0, temporal: 0 }));
}

#[test]
fn larger_tiles_come_first() {
    let tiles = [request(Importance::Visible, 320 * 180), request(Importance::Visible, 1280 * 720)];
    let targets = allocate(700_000, &tiles);
    assert!(targets[1] > targets[0], "{targets:?}");
}

#[test]
fn a_layer_is_kept_where_it_would_not_be_begun() {
    let mut tile = request(Importance::Visible, 100);
    let fresh = allocate(510_000, std::slice::from_ref(&tile));
    assert!(fresh[0] < Some(LayerTarget { spatial: 1, temporal: 2 }));
    tile.current = Some(LayerTarget { spatial: 1, temporal: 2 });
    for budget in [510_000, 480_000] {
        assert_eq!(allocate(budget, std::slice::from_ref(&tile))[0], tile.current);
    }
    assert!(allocate(440_000, std::slice::from_ref(&tile))[0] < tile.current, "but not for ever");
}

#[test]
fn the_tolerance_is_used_once() {
    let rates = [[99, 104, 0, 0], [0; 4], [0; 4]];
    let current = Some(LayerTarget { spatial: 0, temporal: 1 });
    let ladder = Ladder::new(&rates.map(|layer| layer.map(|rate| rate * 10_000)), LayerTarget::BEST);
    let tile = Request { ladder, current, ..request(Importance::Visible, 100) };
    let targets = allocate(950_000, std::slice::from_ref(&tile));
    assert_eq!(targets, [Some(LayerTarget::LOWEST)], "its first step overdraws already");
}

#[test]
fn who_may_not_rise_falls_all_the_same() {
    let mut tile = request(Importance::Visible, 100);
    (tile.current, tile.may_rise) = (Some(LayerTarget { spatial: 0, temporal: 1 }), false);
    let finest = Some(LayerTarget { spatial: 0, temporal: 2 });
    assert_eq!(allocate(9_000_000, std::slice::from_ref(&tile))[0], finest, "of the same size");
    tile.may_refine = false;
    assert_eq!(allocate(9_000_000, std::slice::from_ref(&tile))[0], tile.current);
    assert_eq!(allocate(1_000, std::slice::from_ref(&tile))[0], None);
}

#[test]
fn equals_do_not_take_from_each_other_what_they_have() {
    let step = request(Importance::Visible, 100).ladder.step(1).expect("a second step").rate;
    let low = request(Importance::Visible, 100).ladder.step(0).expect("a step").rate;
    let tile = |current| Request { current, ..request(Importance::Visible, 100) };
    let one = Some(request(Importance::Visible, 100).ladder.step(1).expect("a second step").target);
    let both = [tile(Some(LayerTarget::LOWEST)), tile(one)];
    assert_eq!(allocate(low + step, &both), [Some(LayerTarget::LOWEST), one]);
    let black = [tile(None), tile(Some(LayerTarget::LOWEST))];
    assert_eq!(allocate(low + low / 2, &black), [None, Some(LayerTarget::LOWEST)]);
    let most = low + low * (100 + RISE_MARGIN) / 100;
    assert_eq!(
        allocate(most, &[tile(None), tile(one)]),
        [Some(LayerTarget::LOWEST); 2],
        "nobody is black for it"
    );
}

#[test]
fn a_layer_that_was_replaced_by_a_better_one_is_no_pause() {
    // An encoder with nothing to do: the larger picture costs no more than the smaller one.
    let ladder = Ladder::new(&[[23, 0, 0, 0], [32, 0, 0, 0], [22, 0, 0, 0]], LayerTarget::BEST);
    let tile = Request {
        ladder,
        current: Some(LayerTarget { spatial: 0, temporal: 3 }),
        beginning: Beginning::Waits,
        may_rise: false,
        ..request(Importance::Visible, 100)
    };
    let replaced = Some(LayerTarget { spatial: 2, temporal: 0 });
    assert_eq!(allocate(1000, std::slice::from_ref(&tile)), [replaced]);
    assert_eq!(allocate(10, &[tile]), [None]);
}

#[test]
fn a_rise_taken_back_is_tried_again_later_and_later() {
    let start = crate::test_start();
    let (low, high) = (Some(LayerTarget::LOWEST), Some(LayerTarget::BEST));
    let mut patience = Patience::default();
    let mut now = start;
    let mut waits = Vec::new();
    for _ in 0..8 {
        patience.changed(now, low, high, 1000);
        now += Duration::from_secs(2);
        patience.changed(now, high, low, 500);
        let until = patience.waits_until(now).expect("waits");
        waits.push((until - now).as_secs());
        assert!(!patience.may_refine(now) && patience.may_refine(now + SETTLING));
        now = until;
    }
    assert_eq!(waits, [2, 4, 8, 16, 30, 30, 30, 30]);
    patience.changed(now, low, high, 1000);
    patience.changed(now, high, low, 500);
    assert!(
        !patience.may_rise(now, estimated(1100))
            && patience.beginning(now, estimated(1100)) == Beginning::Waits
    );
    assert!(
        patience.may_rise(now, estimated(1900))
            && patience.beginning(now, estimated(1900)) == Beginning::Free,
        "the line is another"
    );
    now = patience.waits_until(now).expect("waits");
    patience.changed(now, low, high, 1000);
    now += REGRET;
    patience.changed(now, high, low, 500);
    assert_eq!(patience.waits_until(now), Some(now + SETTLING), "a rise that held was none");
}

#[test]
fn what_is_paused_goes_on_early_where_there_is_ample_room() {
    let mut now = crate::test_start();
    let mut patience = Patience::default();
    for _ in 0..4 {
        patience.changed(now, None, Some(LayerTarget::BEST), 1000);
        now += SETTLING;
        patience.changed(now, Some(LayerTarget::BEST), None, 500);
    }
    let found = |at| Capacity { estimate: 1000, found: Some((at, 900)) };
    let soon = now + SHORTEST_BLACK;
    assert_eq!(patience.beginning(soon - SETTLING, found(now + SETTLING)), Beginning::Waits);
    assert_eq!(patience.beginning(soon, estimated(1000)), Beginning::Waits, "nothing was found");
    assert_eq!(patience.beginning(soon, found(now)), Beginning::Waits, "that was before");
    let beginning = patience.beginning(soon, found(now + SETTLING));
    assert_eq!(beginning, Beginning::WhereAmple { unproven: 100 });
    assert_eq!(patience.beginning(now + LONGEST_BLACK, estimated(1000)), Beginning::Free);
    let tile = Request { beginning, ..request(Importance::Visible, 100) };
    let price = tile.ladder.step(0).expect("a step").rate;
    assert_eq!(allocate(price * 2 + 99, std::slice::from_ref(&tile)), [None]);
    assert!(allocate(price * 2 + 100, std::slice::from_ref(&tile))[0].is_some());
    let slides = Request { ladder: Ladder::default(), reserve: price, ..request(Importance::Screen, 100) };
    assert_eq!(
        allocate(price * 2 + 100, &[slides.clone(), tile.clone()])[1],
        None,
        "that is for the next slide"
    );
    let kept = Request { current: Some(LayerTarget::LOWEST), ..tile };
    assert!(allocate(price, &[slides, kept])[1].is_some());
}

#[test]
fn after_three_rises_the_line_is_no_longer_believed_to_be_another() {
    let start = crate::test_start();
    let (low, high) = (Some(LayerTarget::LOWEST), Some(LayerTarget::BEST));
    let mut patience = Patience::default();
    let mut now = start;
    for round in 0..MOST_RISES {
        assert!(patience.may_rise(now, estimated(1900)), "rise {round}");
        patience.changed(now, low, high, 1000);
        patience.changed(now, high, low, 500);
        now += Duration::from_millis(100);
    }
    assert!(
        !patience.may_rise(now, estimated(1900))
            && patience.beginning(now, estimated(1900)) == Beginning::Waits
    );
    let later = start + RISES_WITHIN;
    assert!(
        patience.may_rise(later, estimated(1900))
            && patience.beginning(later, estimated(1900)) == Beginning::Free
    );
    patience.renew();
    assert!(patience.may_rise(now, estimated(1000)), "it wants more now");
}

#[test]
fn another_frame_rate_settles_and_is_neither_rise_nor_mistake() {
    let mut patience = Patience::default();
    let target = |spatial, temporal| Some(LayerTarget { spatial, temporal });
    let start = crate::test_start();
    patience.changed(start, target(0, 2), target(1, 0), 1000);
    for tick in 0..20 {
        let now = start + Duration::from_millis(500) * tick;
        let (from, to) = if tick % 2 == 0 { (0, 2) } else { (2, 0) };
        patience.changed(now, target(1, from), target(1, to), 1000);
        assert!(!patience.may_rise(now, estimated(1000)), "it settles");
    }
    let settled = start + Duration::from_millis(500) * 19 + SETTLING;
    assert!(patience.may_rise(settled, estimated(1000)), "and nothing more");
    patience.changed(settled, target(1, 2), target(0, 2), 1000);
    assert!(!patience.may_rise(settled + SETTLING, estimated(1000)), "another picture size is a mistake");
}

/// A line of which only an estimate is known.
fn estimated(estimate: u64) -> Capacity {
    Capacity { estimate, found: None }
}

#[test]
fn what_a_probe_found_since_the_fall_halves_the_wait() {
    let start = crate::test_start();
    let (low, high) = (Some(LayerTarget::LOWEST), Some(LayerTarget::BEST));
    let mut patience = Patience::default();
    for _ in 0..3 {
        patience.changed(start, low, high, 1000);
        patience.changed(start + SETTLING, high, low, 500);
    }
    let found = |after: u32, rate| Capacity { estimate: 1150, found: Some((start + SETTLING * after, rate)) };
    let half = start + SETTLING * 5;
    assert!(!patience.may_rise(half, found(4, 1100)), "not so much more");
    assert!(!patience.may_rise(half, found(1, 1200)), "it was found before");
    assert!(!patience.may_rise(half - SETTLING / 2, found(4, 1200)), "no half yet");
    assert!(patience.may_rise(half, found(4, 1200)));
    assert!(patience.may_rise(start + SETTLING * 9, estimated(1000)), "all of it");
}

fn any_request() -> impl Strategy<Value = Request> {
    let importance = prop_oneof![
        (1u32..4).prop_map(Importance::Explicit),
        Just(Importance::Screen),
        Just(Importance::Main),
        Just(Importance::Speaker),
        Just(Importance::Visible),
    ];
    let target = (0u8..3, 0u8..4).prop_map(|(spatial, temporal)| LayerTarget { spatial, temporal });
    let rates = prop::array::uniform3(prop::array::uniform4(prop_oneof![Just(0u64), 0..4_000_000u64]));
    let beginning = prop_oneof![
        Just(Beginning::Waits),
        any::<u64>().prop_map(|unproven| Beginning::WhereAmple { unproven }),
        Just(Beginning::Free)
    ];
    let may = (any::<bool>(), any::<bool>(), beginning, 0..3_000_000u64);
    (importance, any::<u32>(), rates, target.clone(), prop::option::of(target), may).prop_map(
        |(importance, area, rates, wanted, current, (may_rise, may_refine, beginning, reserve))| Request {
            reserve,
            importance,
            area,
            ladder: Ladder::new(&rates, wanted),
            current,
            may_rise,
            may_refine,
            beginning,
        },
    )
}

#[test]
fn what_takes_the_place_of_a_layer_that_is_gone_is_kept_with_the_tolerance() {
    let mut rates = [[0; 4]; 3];
    rates[1][0] = 100;
    let request = Request {
        importance: Importance::Visible,
        area: 0,
        ladder: Ladder::new(&rates, LayerTarget::BEST),
        reserve: 0,
        current: Some(LayerTarget::LOWEST),
        may_rise: false,
        may_refine: false,
        beginning: Beginning::Waits,
    };
    let cheapest = Some(LayerTarget { spatial: 1, temporal: 0 });
    assert_eq!(allocate(95, std::slice::from_ref(&request)), [cheapest]);
    assert_eq!(allocate(94, &[request]), [None]);
}

proptest! {
    /// The sum stays within the budget but for the tolerance, nobody gets what is not on its ladder, and who may
    /// not rise does not.
    #[test]
    fn no_more_than_there_is(
        budget in 0u64..20_000_000,
        requests in prop::collection::vec(any_request(), 0..30),
    ) {
        let targets = allocate(budget, &requests);
        prop_assert_eq!(targets.len(), requests.len());
        let kept: u64 = requests
            .iter()
            .filter_map(|request| request.ladder.step(request.current_step()?))
            .map(|step| step.rate)
            .sum();
        prop_assert!(cost(&requests, &targets) <= budget + kept * KEEP_TOLERANCE / 100 + 1);
        for (request, target) in requests.iter().zip(&targets) {
            let on_ladder = (0..request.ladder.len()).filter_map(|index| request.ladder.step(index));
            prop_assert!(target.is_none() || on_ladder.into_iter().any(|step| Some(step.target) == *target));
            let current = request.current_step();
            let granted = target.and_then(|target| request.ladder.index_of(target));
            let had = current.and_then(|current| request.ladder.step(current)).map(|step| step.target.spatial);
            let is_finer = request.may_refine && target.is_some_and(|target| Some(target.spatial) == had);
            let may_begin = request.beginning != Beginning::Waits;
            let most = current.max(may_begin.then_some(0));
            prop_assert!(request.may_rise || is_finer || granted <= most);
            prop_assert!(may_begin || granted.is_none() || current.is_some());
        }
    }

    /// More bandwidth never means less picture for the most important, and the same question has the same answer.
    #[test]
    fn more_is_never_less_for_the_most_important(
        budget in 0u64..10_000_000,
        more in 0u64..10_000_000,
        requests in prop::collection::vec(any_request(), 1..20),
    ) {
        let first = (0..requests.len()).min_by_key(|index| requests[*index].rank());
        let first = first.unwrap_or_default();
        let (little, much) = (allocate(budget, &requests), allocate(budget + more, &requests));
        prop_assert_eq!(&little, &allocate(budget, &requests));
        let is_alone = requests.iter().filter(|other| other.rank() == requests[first].rank()).count() == 1;
        let enough = requests.iter().filter_map(|request| request.ladder.step(0)).map(|step| step.rate * 2).sum::<u64>();
        if is_alone && budget > enough {
            prop_assert!(much[first] >= little[first]);
        }
    }
}
