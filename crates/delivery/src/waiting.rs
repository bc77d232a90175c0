//! Those who wait to be added by a member.

use protocol::channel::{Blob, ClosingCode, FromServer};
use protocol::ids::Identity;

use crate::Delivery;
use crate::output::Handle;

impl Delivery {
    pub(crate) fn key_package(&mut self, handle: Handle, data: Blob) {
        if data.0.len() > self.limits.key_package_bytes {
            return self.hang_up(handle, ClosingCode::Malformed, "key-package-too-large");
        }
        let Some(identity) = self.members.get(&handle).map(|member| member.identity.clone()) else { return };
        // Everybody is told of it, so it counts as a submission.
        let (rate, now) = (self.limits.submissions, self.now);
        if !self.people.get_mut(&identity).is_some_and(|person| person.submissions.take(rate, now)) {
            return self.hang_up(handle, ClosingCode::TooOften, "key-package-too-often");
        }
        let from = identity.expose().to_owned();
        let reporting = self.reporting(Some(handle));
        self.packages.insert(identity, data.clone());
        self.send_all(reporting, FromServer::Waiting { from, data });
    }

    /// Tells somebody who can add others who waits.
    pub(crate) fn tell_waiting(&mut self, handle: Handle) {
        let Some(member) = self.members.get(&handle).filter(|member| member.reports) else { return };
        let waiting: Vec<FromServer> = self
            .packages
            .iter()
            .filter(|(identity, _)| **identity != member.identity)
            .map(|(identity, data)| FromServer::Waiting {
                from: identity.expose().to_owned(),
                data: data.clone(),
            })
            .collect();
        for message in waiting {
            self.send(handle, message);
        }
    }

    /// Somebody waits no longer.
    pub(crate) fn unwait(&mut self, identity: &Identity) {
        if self.packages.remove(identity).is_some() {
            let own = self.channels.get(identity).copied();
            let reporting = self.reporting(own);
            self.send_all(reporting, FromServer::NotWaiting { from: identity.expose().to_owned() });
        }
    }

    /// Those who can add others, without one.
    fn reporting(&self, without: Option<Handle>) -> Vec<Handle> {
        let reporting =
            self.members.iter().filter(|(handle, member)| member.reports && Some(**handle) != without);
        reporting.map(|(handle, _)| *handle).collect()
    }
}
