//! A channel opens: where its member stands, and what it is sent first.

use protocol::channel::{FromServer, LogState, Sequence};

use crate::Delivery;
use crate::member::Stage;
use crate::output::Handle;
use crate::person::Presence;

impl Delivery {
    pub(crate) fn hello(&mut self, handle: Handle, log: Option<&str>, after: Sequence) {
        let knows_another = log.is_some_and(|log| log != self.log.id);
        if !self.log.is_running() {
            if knows_another {
                self.somebody_knows_another();
            }
            self.stage(handle, Stage::Idle);
            self.tell_opened(handle, false);
            if knows_another {
                self.ask_to_restore(handle);
            }
            return;
        }
        let resumed = !knows_another && log.is_some() && self.log.resumes(after, &self.limits);
        self.tell_opened(handle, resumed);
        if resumed {
            if let Some(member) = self.members.get_mut(&handle) {
                // It has a state of the group, so it has applied what it names.
                (member.reports, member.obliged) = (after > 0, after > 0);
            }
            self.follow(handle, after);
            self.tell_waiting(handle);
        } else {
            self.stage(handle, Stage::WantsBase { since: self.now });
            if knows_another && self.may_be_restored() {
                self.ask_to_restore(handle);
            }
        }
        let Some(identity) = self.members.get(&handle).map(|member| member.identity.clone()) else { return };
        if self.people.presence(&identity) != Presence::Back {
            self.presence(&identity, Presence::Back);
        }
    }

    pub(crate) fn tell_opened(&mut self, handle: Handle, resumed: bool) {
        let state = match () {
            () if self.log.is_running() => LogState::Running,
            () if self.is_restoring() => LogState::Restoring,
            () => LogState::Empty,
        };
        let opened = FromServer::Opened { log: self.log.id.clone(), head: self.log.head(), state, resumed };
        self.send(handle, opened);
    }

    pub(crate) fn stage(&mut self, handle: Handle, stage: Stage) {
        if let Some(member) = self.members.get_mut(&handle) {
            member.stage = stage;
        }
    }

    /// Everybody hears anew how the log stands.
    pub(crate) fn tell_everybody_opened(&mut self) {
        let idle: Vec<Handle> = self
            .members
            .iter()
            .filter(|(_, member)| member.stage != Stage::Opening)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in idle {
            self.tell_opened(handle, false);
        }
    }
}
