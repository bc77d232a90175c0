//! From where newcomers start.

use protocol::channel::{FromServer, Kind, Submission, ToServer};

use super::support::{Room, blob};
use crate::Handle;
use crate::limits::{ASK_WAIT, ASKS, BASE_WAIT};

fn info(room: &mut Room, handle: Handle) -> Option<(u64, String)> {
    room.base(handle).map(|(seq, info, _)| (seq, info))
}

fn answer(room: &mut Room, handle: Handle, seq: u64, content: &str) {
    room.say(handle, ToServer::GroupInfo { seq, group_info: blob(content) });
}

#[test]
fn the_first_entry_serves_at_once() {
    let (mut room, _, _) = Room::running(&[]);
    let head = room.delivery.head();
    let ben = room.enter("ben");
    assert_eq!(
        room.base(ben),
        Some((head + 1, "group".into(), vec![(2, Kind::Back), (head + 1, Kind::Back)]))
    );
}

#[test]
fn a_commit_that_another_applied_serves_at_once() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[]);
    let statement = room.append(ada, Submission::Statement, "s").expect("appended");
    let cleo = room.enter("cleo");
    assert_eq!(info(&mut room, cleo), Some((statement + 1, "info of c".into())));
}

#[test]
fn a_commit_that_nobody_confirmed_waits_for_a_word_about_it() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    let cleo = room.enter("cleo");
    assert_eq!(room.base(cleo), None);
    room.report(others[0], seq, &[]);
    assert_eq!(info(&mut room, cleo), Some((seq + 1, "info of c".into())));
}

#[test]
fn a_commit_that_others_refuse_is_not_served() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "bad").expect("appended");
    let cleo = room.enter("cleo");
    room.report(others[0], seq, &[seq]);
    assert_eq!(info(&mut room, cleo), Some((seq + 1, "group".into())), "it changed nothing");
}

#[test]
fn a_commit_that_some_refuse_comes_after_the_base() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[seq]);
    let emil = room.enter("emil");
    room.pass(BASE_WAIT);
    let told = room.take(emil);
    assert!(matches!(&told[1], FromServer::Base { seq: base, .. } if *base == seq - 1), "{told:?}");
    assert!(matches!(&told[2], FromServer::Entry(entry) if entry.seq == seq));
}

#[test]
fn a_commit_that_nobody_speaks_of_is_served_after_a_while() {
    let (mut room, ada, _) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    let cleo = room.enter("cleo");
    room.pass(BASE_WAIT - 1);
    assert_eq!(room.base(cleo), None);
    room.pass(1);
    assert_eq!(info(&mut room, cleo), Some((seq + 1, "info of c".into())));
}

#[test]
fn newer_commits_do_not_hold_a_newcomer_up_for_ever() {
    let (mut room, ada, _) = Room::running(&["ben"]);
    room.append(ada, Submission::Commit, "c").expect("appended");
    let cleo = room.enter("cleo");
    room.pass(BASE_WAIT / 2);
    room.append(ada, Submission::Commit, "d").expect("appended");
    room.pass(BASE_WAIT / 2);
    assert!(room.base(cleo).is_some());
}

#[test]
fn alone_there_is_nobody_to_wait_for() {
    let (mut room, ada, _) = Room::running(&[]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    let ben = room.enter("ben");
    assert_eq!(info(&mut room, ben), Some((seq + 1, "info of c".into())));
}

#[test]
fn after_its_base_a_newcomer_gets_every_entry_once() {
    let (mut room, ada, _) = Room::running(&[]);
    let ben = room.enter("ben");
    let (seq, ..) = room.base(ben).expect("a base");
    room.append(ada, Submission::Commit, "c").expect("appended");
    room.append(ada, Submission::Statement, "s").expect("appended");
    let seqs: Vec<u64> = room.entries(ben).into_iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [seq + 1, seq + 2]);
}

#[test]
fn a_base_that_is_asked_for_again_starts_anew() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[]);
    room.take(others[0]);
    room.say(others[0], ToServer::WantBase { bad: None });
    assert_eq!(info(&mut room, others[0]), Some((seq, "info of c".into())));
    let next = room.append(ada, Submission::Statement, "s").expect("appended");
    assert_eq!(room.kinds(others[0]), [(next, Kind::Statement, "ada".into())]);
}

#[test]
fn what_one_cannot_use_another_member_replaces() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report_all(&others);
    for handle in [ada, others[0], others[1]] {
        room.take(handle);
    }
    let dora = room.enter("dora");
    let (base, ..) = room.base(dora).expect("a base");
    room.report_all(&[ada, others[0], others[1]]);
    room.say(dora, ToServer::WantBase { bad: Some(base) });
    assert_eq!(room.base(dora), None);
    assert!(!room.is_told(ada, &FromServer::GroupInfoWanted), "it was hers");
    assert!(room.is_told(others[0], &FromServer::GroupInfoWanted));
    answer(&mut room, others[0], seq, "better");
    assert_eq!(info(&mut room, dora), Some((base, "better".into())));
    let emil = room.enter("emil");
    assert_eq!(info(&mut room, emil), Some((base + 1, "better".into())), "it is kept");
}

#[test]
fn questions_for_a_group_info_come_to_an_end() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora", "emil", "fritz"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report_all(&others);
    let mallory = room.enter("mallory");
    room.report_all(&others);
    let mut asked = 0;
    for _ in 0..20 {
        room.say(mallory, ToServer::WantBase { bad: Some(seq) });
        for handle in &others {
            if room.is_told(*handle, &FromServer::GroupInfoWanted) {
                asked += 1;
                let head = room.delivery.head();
                answer(&mut room, *handle, head, "good");
            }
        }
    }
    assert_eq!(asked, usize::from(ASKS));
}

#[test]
fn who_does_not_answer_is_asked_no_longer_than_a_while() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let (seq, _) = {
        let seq = room.append(ada, Submission::Commit, "c").expect("appended");
        room.report(others[0], seq, &[]);
        (seq, ())
    };
    let cleo = room.enter("cleo");
    room.report_all(&others);
    room.take(others[0]);
    room.say(cleo, ToServer::WantBase { bad: Some(seq) });
    assert!(room.is_told(others[0], &FromServer::GroupInfoWanted));
    room.pass(ASK_WAIT);
    answer(&mut room, others[0], seq, "late, but asked again");
    assert!(room.base(cleo).is_some());
    answer(&mut room, others[0], seq, "nobody asked");
    assert!(room.rejected.contains(&"group-info-unasked"));
}

#[test]
fn an_answer_about_an_older_state_is_not_used() {
    let (mut room, ada, others) = Room::running(&["ben"]);
    let seq = room.append(ada, Submission::Commit, "c").expect("appended");
    room.report(others[0], seq, &[]);
    let cleo = room.enter("cleo");
    room.report_all(&others);
    room.say(cleo, ToServer::WantBase { bad: Some(seq) });
    room.take(cleo);
    answer(&mut room, others[0], seq - 1, "old");
    assert_eq!(room.base(cleo), None);
    assert!(room.rejected.contains(&"group-info-stale"));
}

#[test]
fn who_skipped_an_entry_answers_for_the_state_before_it() {
    let (mut room, ada, others) = Room::running(&["ben", "cleo", "dora"]);
    let &[ben, cleo, dora] = others.as_slice() else { panic!() };
    room.append(ada, Submission::Commit, "c").expect("appended");
    room.report_all(&others);
    room.report_all(&[ada]);
    let emil = room.enter("emil");
    let (base, ..) = room.base(emil).expect("a base");
    // Ben skips what comes next, and nobody else has said anything of it yet.
    let garbage = room.append(ada, Submission::Commit, "garbage").expect("appended");
    room.report(ben, garbage, &[garbage]);
    room.say(emil, ToServer::WantBase { bad: Some(base) });
    room.pass(BASE_WAIT);
    for handle in [cleo, dora] {
        assert!(!room.is_told(handle, &FromServer::GroupInfoWanted));
    }
    assert!(room.is_told(ben, &FromServer::GroupInfoWanted));
    answer(&mut room, ben, garbage, "of the state before");
    assert_eq!(info(&mut room, emil), Some((garbage - 1, "of the state before".into())));
}
