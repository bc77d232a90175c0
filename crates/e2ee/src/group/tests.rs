//! The group, and the attacks that its checks are for. Attackers use the library past our own code.

use openmls::prelude::{LeafNodeParameters, MlsMessageBodyIn};
use proptest::prelude::*;

use super::*;
use crate::identity::identity_of;
use crate::keys::RoomKeys;
use crate::link::LinkSecret;
use crate::name;
use crate::policy::{PolicyError, Presence};
use crate::statement::{Action, Place, Statement};

const ROOM: &str = "standup";
const GROUP_ID: [u8; 32] = [9; 32];

fn keys(link: u8) -> RoomKeys {
    RoomKeys::new(LinkSecret::from_random([link; 20]), ROOM)
}

fn psk(link: u8) -> Psk {
    Psk { id: keys(link).psk_id(0), key: keys(link).psk(None) }
}

fn own(seed: u8) -> Own {
    let key = Rc::new(LeafKey::from_seed(&[seed; 32]));
    let identity = identity_of(&key.public());
    let sealed_name = name::seal(&keys(1).name(), ROOM, &identity, &format!("member {seed}"), [seed; 12]);
    Own { key, sealed_name }
}

fn identity(seed: u8) -> String {
    identity_of(&own(seed).key.public())
}

fn place() -> Place {
    Place { origin: "https://meet.example".into(), room: ROOM.into(), group_id: GROUP_ID.to_vec() }
}

/// Member 1 hosts.
fn policy() -> Policy {
    let mut policy = Policy::new(place(), own(1).key.public());
    for seed in 1..=9 {
        policy.presence_changed(&identity(seed), Presence::Here);
    }
    policy
}

fn created() -> Group {
    Group::create([1; 32], own(1), GROUP_ID, &own(1).key.public()).unwrap()
}

fn join(group: &Group, seed: u8) -> (Group, Vec<u8>) {
    let fresh = [seed ^ (group.epoch() as u8) << 4; 32];
    Group::join(fresh, own(seed), &group.group_info().unwrap(), &psk(1)).unwrap()
}

fn fold_join(group: &mut Group, seed: u8, commit: &[u8]) -> Result<Change, Refused> {
    group.fold(&Entry { joins: true, from: &identity(seed), adds: &[], bytes: commit }, &policy(), &psk(1))
}

fn fold_commit(group: &mut Group, commit: &[u8], policy: &Policy) -> Result<Change, Refused> {
    group.fold(&Entry { joins: false, from: "", adds: &[], bytes: commit }, policy, &psk(1))
}

/// Groups of members 1 to `count`, all in the same state.
fn meeting(count: u8) -> Vec<Group> {
    let mut groups = vec![created()];
    for seed in 2..=count {
        let (group, commit) = join(&groups[0], seed);
        for other in &mut groups {
            fold_join(other, seed, &commit).unwrap();
        }
        groups.push(group);
    }
    agree(&groups);
    groups
}

fn agree(groups: &[Group]) {
    for group in groups {
        assert_eq!(group.authenticator(), groups[0].authenticator());
        assert_eq!(group.members(), groups[0].members());
        assert_eq!(group.epoch(), groups[0].epoch());
    }
}

/// An external commit made past our own code: without a PSK, or with several.
fn crafted(group: &Group, own: &Own, psks: &[Psk]) -> Vec<u8> {
    let info = group.group_info().unwrap();
    let MlsMessageBodyIn::GroupInfo(info) = MlsMessageIn::tls_deserialize_exact(&info).unwrap().extract()
    else {
        unreachable!()
    };
    let provider = Provider::new([77; 32]);
    let psks: Vec<_> =
        psks.iter().map(|psk| PreSharedKeyProposal::new(store(&provider, psk).unwrap())).collect();
    let (_, bundle) = MlsGroup::external_commit_builder()
        .with_config(join_config())
        .build_group(&provider, info, own.credential())
        .unwrap()
        .leaf_node_parameters(LeafNodeParameters::builder().with_capabilities(capabilities()).build())
        .add_psk_proposals(psks)
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), own.key.as_ref(), |_| true)
        .unwrap()
        .finalize(&provider)
        .unwrap();
    bundle.into_commit().tls_serialize_detached().unwrap()
}

#[test]
fn whoever_has_the_link_joins_and_all_have_the_same_secrets() {
    let groups = meeting(4);
    let secrets: Vec<_> = groups.iter().map(|group| group.export("x", b"", 32).unwrap()).collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_eq!(groups[3].host(), Some(own(1).key.public()));
    let names: Vec<_> = groups[0]
        .members()
        .iter()
        .map(|member| {
            name::open(&keys(1).name(), ROOM, &identity_of(&member.key), &member.sealed_name).unwrap()
        })
        .collect();
    assert_eq!(names, ["member 1", "member 2", "member 3", "member 4"]);
}

#[test]
fn without_the_link_nobody_gets_in_and_nothing_changes() {
    let mut groups = meeting(2);
    let before = groups[0].authenticator();
    let info = groups[0].group_info().unwrap();
    let wrong_key = Psk { id: psk(1).id, key: psk(2).key };
    for (bad, refused) in [(psk(2), Refused::Mls), (wrong_key, Refused::Mls)] {
        let (joined, commit) = Group::join([3; 32], own(3), &info, &bad).unwrap();
        assert_eq!(fold_join(&mut groups[0], 3, &commit), Err(refused));
        assert_ne!(joined.authenticator(), groups[0].authenticator());
    }
    for psks in [vec![], vec![psk(1), psk(1)]] {
        let commit = crafted(&groups[0], &own(3), &psks);
        assert_eq!(fold_join(&mut groups[0], 3, &commit), Err(Refused::Psk));
    }
    assert_eq!(groups[0].authenticator(), before);
    agree(&groups);
}

#[test]
fn who_lost_its_state_comes_back_in_the_place_of_its_old_leaf() {
    let mut groups = meeting(3);
    let (again, commit) = join(&groups[0], 2);
    let change = fold_join(&mut groups[0], 2, &commit).unwrap();
    assert_eq!(groups[0].members().len(), 3);
    assert_eq!(change.added.len(), 0, "the same key in the same place");
    assert_eq!(again.authenticator(), groups[0].authenticator());
}

#[test]
fn an_external_commit_is_what_the_log_calls_it_and_by_whom_the_log_says() {
    let mut groups = meeting(2);
    let (_, commit) = join(&groups[0], 3);
    assert_eq!(fold_commit(&mut groups[0], &commit, &policy()), Err(Refused::Kind));
    assert_eq!(fold_join(&mut groups[0], 4, &commit), Err(Refused::Credential));
    let update = groups[1].commit(vec![], &[], &psk(1)).unwrap();
    assert_eq!(fold_join(&mut groups[0], 2, &update.commit), Err(Refused::Kind));
    groups[1].abandon();
    fold_join(&mut groups[0], 3, &commit).unwrap();
}

#[test]
fn keys_that_were_in_the_tree_before_are_refused() {
    let mut groups = meeting(2);
    let mut join_with = |seed: [u8; 32]| {
        let info = groups[0].group_info().unwrap();
        let (_, commit) = Group::join(seed, own(3), &info, &psk(1)).unwrap();
        fold_join(&mut groups[0], 3, &commit)
    };
    join_with([50; 32]).unwrap();
    // The same random numbers give the same keys on the path. Merging that would leave members half-way.
    assert_eq!(join_with([50; 32]), Err(Refused::Tree));
    join_with([51; 32]).unwrap();
}

#[test]
fn those_who_wait_are_added_in_one_commit() {
    let mut groups = meeting(2);
    let (three, package_three) = WaitingKeys::new([3; 32], own(3)).unwrap();
    let (four, package_four) = WaitingKeys::new([4; 32], own(4)).unwrap();
    let packages: Vec<_> =
        [package_three, package_four].iter().map(|bytes| groups[0].key_package(bytes).unwrap().0).collect();
    let committed = groups[0].commit(packages, &[], &psk(1)).unwrap();
    // Fresh copies, since a refused commit has used up its key.
    let folds = |adds: &[String]| {
        let entry = Entry { joins: false, from: "", adds, bytes: &committed.commit };
        meeting(2)[1].fold(&entry, &policy(), &psk(1)).map(|change| change.added)
    };
    assert_eq!(folds(&[identity(3), identity(4), identity(5)]), Err(Refused::NotAdded));
    assert_eq!(folds(&[identity(4), identity(3)]), Ok(vec![2, 3]));
    let change = fold_commit(&mut groups[1], &committed.commit, &policy()).unwrap();
    assert_eq!(change.added, [2, 3]);
    assert_eq!(groups[0].confirm().unwrap(), change);
    let welcome = committed.welcome.unwrap();
    groups.push(three.join(&welcome, &psk(1)).unwrap());
    assert!(four.join(&welcome, &psk(2)).is_err(), "another link");
    agree(&groups);
    let claims = Claims::read(&committed.group_info).unwrap();
    assert!(groups.iter().all(|group| group.is_at(&claims)));
}

#[test]
fn a_commit_removes_only_who_left_or_was_kicked() {
    let mut groups = meeting(3);
    let kicked = own(3).key.public();
    let remove = groups[1].commit(vec![], &[2], &psk(1)).unwrap();
    let refused = Err(Refused::Policy(PolicyError::NotLeft));
    assert_eq!(fold_commit(&mut groups[0], &remove.commit, &policy()), refused);
    groups[1].abandon();
    let remove = groups[1].commit(vec![], &[2], &psk(1)).unwrap();
    let mut left = policy();
    left.presence_changed(&identity(3), Presence::Expired);
    let change = fold_commit(&mut groups[0], &remove.commit, &left).unwrap();
    assert_eq!(change.removed, [kicked]);
    let change = fold_commit(&mut groups[2], &remove.commit, &left).unwrap();
    assert!(change.evicted);
    assert!(groups[2].export("x", b"", 32).is_err());
}

#[test]
fn between_a_hosts_word_and_the_removal_nobody_gets_in() {
    let mut groups = meeting(3);
    let mut kicking = policy();
    let host = LeafKey::from_seed(&[1; 32]);
    let kick = Action::Kick(own(3).key.public());
    kicking.statement(&Statement::sign(&host, &place(), 1, &kick)).unwrap();
    let refused = Err(Refused::Policy(PolicyError::Kicked));
    for newcomer in [3, 4] {
        let (_, commit) = join(&groups[0], newcomer);
        let entry = Entry { joins: true, from: &identity(newcomer), adds: &[], bytes: &commit };
        assert_eq!(groups[0].fold(&entry, &kicking, &psk(1)), refused);
    }
    let (_, package) = WaitingKeys::new([4; 32], own(4)).unwrap();
    let (package, _) = groups[1].key_package(&package).unwrap();
    let add = groups[1].commit(vec![package], &[2], &psk(1)).unwrap();
    assert_eq!(fold_commit(&mut groups[0], &add.commit, &kicking), refused);
    groups[1].abandon();
    let remove = groups[1].commit(vec![], &[2], &psk(1)).unwrap();
    let change = fold_commit(&mut groups[0], &remove.commit, &kicking).unwrap();
    assert_eq!(change.removed, [own(3).key.public()]);
}

#[test]
fn a_locked_group_takes_back_its_members_only() {
    let mut groups = meeting(2);
    let mut locked = policy();
    let host = LeafKey::from_seed(&[1; 32]);
    locked.statement(&Statement::sign(&host, &place(), 1, &Action::Lock(true))).unwrap();
    let (_, commit) = join(&groups[0], 3);
    let entry = Entry { joins: true, from: &identity(3), adds: &[], bytes: &commit };
    let refused = Err(Refused::Policy(PolicyError::Locked));
    assert_eq!(groups[0].fold(&entry, &locked, &psk(1)), refused);
    let (_, commit) = join(&groups[0], 2);
    let entry = Entry { joins: true, from: &identity(2), adds: &[], bytes: &commit };
    assert!(groups[0].fold(&entry, &locked, &psk(1)).is_ok());
}

#[test]
fn a_key_package_that_was_left_over_evicts_nobody() {
    let mut groups = meeting(3);
    let (_, left_over) = WaitingKeys::new([3; 32], own(3)).unwrap();
    let (package, _) = groups[1].key_package(&left_over).unwrap();
    let commit = groups[1].commit(vec![package], &[2], &psk(1)).unwrap();
    let refused = Err(Refused::Policy(PolicyError::NotLeft));
    assert_eq!(fold_commit(&mut groups[0], &commit.commit, &policy()), refused);
}

#[test]
fn a_commit_that_renews_no_keys_is_refused() {
    let mut groups = meeting(2);
    let (_, package) = WaitingKeys::new([3; 32], own(3)).unwrap();
    let (package, _) = groups[1].key_package(&package).unwrap();
    let proposal = groups[1].psk_proposal(&psk(1)).unwrap();
    let Group { provider, own, mls } = &mut groups[1];
    let bundle = mls
        .commit_builder()
        .propose_adds([package])
        .add_proposals([proposal])
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), own.key.as_ref(), |_| true)
        .unwrap()
        .stage_commit(&*provider)
        .unwrap();
    let commit = bundle.into_commit().tls_serialize_detached().unwrap();
    assert_eq!(fold_commit(&mut groups[0], &commit, &policy()), Err(Refused::Path));
}

#[test]
fn leaves_that_members_would_judge_by_their_clocks_are_refused() {
    let mut groups = meeting(2);
    let provider = Provider::new([60; 32]);
    let newcomer = own(3);
    let bundle = KeyPackage::builder()
        .key_package_lifetime(Lifetime::init(0, u64::MAX - 1))
        .leaf_node_capabilities(capabilities())
        .build(SUITE, &provider, newcomer.key.as_ref(), newcomer.credential())
        .unwrap();
    let package = bundle.key_package().clone();
    assert!(groups[0].key_package(&package.tls_serialize_detached().unwrap()).is_none());
    let commit = groups[1].commit(vec![package], &[], &psk(1)).unwrap();
    assert_eq!(fold_commit(&mut groups[0], &commit.commit, &policy()), Err(Refused::Lifetime));
}

#[test]
fn nobody_joins_whom_the_log_does_not_know() {
    let mut groups = meeting(2);
    let (_, package) = WaitingKeys::new([30; 32], own(30)).unwrap();
    let (package, _) = groups[1].key_package(&package).unwrap();
    let commit = groups[1].commit(vec![package], &[], &psk(1)).unwrap();
    let refused = Err(Refused::Policy(PolicyError::NotHere));
    assert_eq!(fold_commit(&mut groups[0], &commit.commit, &policy()), refused);
}

#[test]
fn a_key_is_in_the_group_once() {
    let mut groups = meeting(2);
    let (_, package) = WaitingKeys::new([2; 32], own(2)).unwrap();
    let (package, _) = groups[0].key_package(&package).unwrap();
    match groups[0].commit(vec![package], &[], &psk(1)) {
        Err(_) => {}
        Ok(commit) => {
            assert_eq!(fold_commit(&mut groups[1], &commit.commit, &policy()), Err(Refused::DuplicateKey));
        }
    }
}

#[test]
fn messages_open_once_for_members_and_for_two_epochs() {
    let mut groups = meeting(3);
    let sealed = groups[1].seal(b"hello").unwrap();
    assert_eq!(groups[1].open(&sealed), Err(OpenError::Own));
    let opened = groups[0].open(&sealed).unwrap();
    assert_eq!((opened.leaf, opened.content.as_slice()), (1, b"hello".as_slice()));
    assert_eq!(groups[0].open(&sealed), Err(OpenError::Forged), "a replay");
    let (mut joined, commit) = join(&groups[0], 4);
    assert_eq!(joined.open(&sealed).err(), Some(OpenError::Forged), "from before they came");
    let early = joined.seal(b"early").unwrap();
    assert_eq!(groups[2].open(&early), Err(OpenError::Future(joined.epoch())));
    for group in &mut groups {
        fold_join(group, 4, &commit).unwrap();
    }
    assert_eq!(groups[2].open(&early).unwrap().content, b"early");
    assert_eq!(groups[2].open(&sealed).unwrap().content, b"hello", "one epoch ago");
    let old = groups[0].seal(b"old").unwrap();
    for _ in 0..3 {
        let update = groups[0].commit(vec![], &[], &psk(1)).unwrap();
        groups[0].confirm().unwrap();
        fold_commit(&mut groups[2], &update.commit, &policy()).unwrap();
    }
    assert_eq!(groups[2].open(&old), Err(OpenError::Past));
}

#[test]
fn a_commit_that_waits_is_not_replaced_and_gives_way() {
    let mut groups = meeting(2);
    groups[0].commit(vec![], &[], &psk(1)).unwrap();
    assert!(groups[0].commit(vec![], &[], &psk(1)).is_err());
    let other = groups[1].commit(vec![], &[], &psk(1)).unwrap();
    groups[1].confirm().unwrap();
    fold_commit(&mut groups[0], &other.commit, &policy()).unwrap();
    assert!(!groups[0].is_committing());
    agree(&groups);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_refused_and_changes_nothing(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        real in any::<bool>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut groups = meeting(2);
        if real {
            (_, bytes) = join(&groups[0], 3);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        let before = groups[1].authenticator();
        let joins = fold_join(&mut groups[1], 3, &bytes);
        prop_assert!(joins.is_err());
        prop_assert!(fold_commit(&mut groups[1], &bytes, &policy()).is_err());
        prop_assert!(groups[1].open(&bytes).is_err());
        prop_assert_eq!(groups[1].authenticator(), before);
        let _ = groups[1].key_package(&bytes);
        let _ = Claims::read(&bytes);
        prop_assert!(Group::join([4; 32], own(4), &bytes, &psk(1)).is_err());
    }
}
