//! A server that lies, and people who send what they like: honest members agree or visibly stop, and nobody without the
//! link gets keys.

mod groups;
mod log;
mod statements;
#[allow(dead_code, reason = "shared with the other files of tests")]
#[path = "../world/mod.rs"]
mod world;

use std::cell::Cell;
use std::rc::Rc;

use protocol::channel::{FromServer, Kind};
use world::World;

/// Others see that this one does not follow, and it stops sending.
fn is_visibly_apart(world: &World, apart: usize, others: &[usize]) {
    let peer = &world.peers[apart];
    assert!(!world.is_member(apart), "{:?}", peer.state);
    assert_eq!(peer.sending, None);
    for &index in others {
        let roster = world.peers[index].roster.as_ref().unwrap();
        let seen = roster.members.iter().find(|member| member.identity == peer.identity);
        assert!(seen.is_none_or(|member| member.silent_since.is_some()));
    }
}

/// Keeps the next entry of a kind from peer 3, and numbers what follows so that nothing is missing; until it asks for a
/// base. Says from which entry on, and `u64::MAX` after the base.
fn hide_one(world: &mut World, kind: Kind) -> Rc<Cell<Option<u64>>> {
    let since = Rc::new(Cell::new(None));
    let flag = Rc::clone(&since);
    world.lie = Box::new(move |_, peer, message| match message {
        FromServer::Entry(mut entry) if peer == 3 => match flag.get() {
            None if entry.kind == kind => {
                flag.set(Some(entry.seq));
                vec![]
            }
            Some(from) if entry.seq > from => {
                entry.seq -= 1;
                vec![FromServer::Entry(entry)]
            }
            _ => vec![FromServer::Entry(entry)],
        },
        FromServer::Base { .. } => {
            flag.set(Some(u64::MAX));
            vec![message]
        }
        other => vec![other],
    });
    since
}
