//! Clients with two peer connections, as older ones have them: the server offers the one that they receive on, and what
//! they answer. The other one, which they offer and publish on, is as that of clients with one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocol::livekit;
use sfu::command::{Keyed, SessionCommand};
use sfu::peer::keying::SrtpKeys;
use sfu::peer::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use sfu::peer::transport::SrtpProfile;

use super::{Client, JoinOptions};
use crate::description::{Answered, Dialect, read_answer, write_answer};

/// Which of a client's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The only one, or of two the one that the client receives on.
    Main,
    /// Of two the one that the client publishes on.
    Publisher,
}

/// What a client with two connections has more than others.
pub struct Pair {
    /// From where it publishes.
    pub address: SocketAddr,
    /// The core's half of that connection's keys.
    keys: SrtpKeys,
    /// Ids and payload types of what it receives: the server's.
    pub dialect: Dialect,
    pub(super) sender: SrtpSender,
    pub(super) receiver: SrtpReceiver,
}

impl Pair {
    pub(super) fn new(number: usize, options: &JoinOptions, keys: &SrtpKeys) -> Result<Self, SrtpError> {
        let port = 50_000 + u16::try_from(number).unwrap_or_default();
        let mine = keys.mirrored();
        Ok(Self {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            keys: keys.clone(),
            dialect: Dialect::of_server(&options.codecs, options.red),
            sender: SrtpSender::new(options.profile, &mine.local)?,
            receiver: SrtpReceiver::new(options.profile, &mine.remote)?,
        })
    }
}

impl Client {
    /// Where a connection of the client's is.
    pub fn address_of(&self, connection: Connection) -> SocketAddr {
        match (&self.pair, connection) {
            (Some(pair), Connection::Publisher) => pair.address,
            _ => self.address,
        }
    }

    /// Which of its connections is there.
    pub fn connection_at(&self, address: SocketAddr) -> Option<Connection> {
        let connections = [Connection::Main, Connection::Publisher];
        connections.into_iter().find(|connection| self.address_of(*connection) == address)
    }

    /// The core's end of its connections.
    pub fn keyed(&self, profile: SrtpProfile) -> Keyed {
        let publisher = self.pair.as_ref().map(|pair| {
            Box::new(Keyed { remote: pair.address, profile, keys: pair.keys.clone(), publisher: None })
        });
        Keyed { remote: self.address, profile, keys: self.keys.clone(), publisher }
    }

    /// How what it receives is named.
    pub fn reads(&self) -> &Dialect {
        self.pair.as_ref().map_or(&self.dialect, |pair| &pair.dialect)
    }

    /// The server offers what it wants to send: all of it is taken, in the codecs that the client has.
    pub(super) fn offered(&mut self, offer: &livekit::SessionDescription) -> Result<(), String> {
        let pair = self.pair.as_mut().ok_or("an offer to a client with one connection")?;
        pair.dialect.learn(&offer.sdp);
        let answer = write_answer(&pair.dialect, &offer.sdp);
        let before = std::mem::take(&mut self.declared);
        for section in read_answer(&offer.sdp)?.iter().filter(|section| section.sends) {
            self.take(&before, section)?;
        }
        let named: BTreeMap<&String, &String> = offer.mid_to_track_id.iter().collect();
        let declared: BTreeMap<&String, &String> =
            self.declared.values().map(|(track, mid)| (mid, track)).collect();
        if named != declared {
            return Err(format!("sections {named:?} of {declared:?}"));
        }
        let declared = &self.declared;
        self.receptions.retain(|ssrc, _| declared.contains_key(ssrc) || !before.contains_key(ssrc));
        self.say(SessionCommand::Answer(livekit::SessionDescription {
            r#type: "answer".to_owned(),
            sdp: answer,
            id: offer.id,
            mid_to_track_id: Default::default(),
        }));
        Ok(())
    }

    fn take(&mut self, before: &BTreeMap<u32, (String, String)>, section: &Answered) -> Result<(), String> {
        let mid = &section.mid;
        let (Some(track), Some(ssrc)) = (&section.track, section.ssrc) else {
            return Err(format!("section {mid} sends nothing that has a name and a source"));
        };
        // Receivers keep the id of the track that a section began with.
        if let Some((other, _)) = before.values().find(|(other, known)| known == mid && other != track) {
            return Err(format!("section {mid} changes from {other} to {track}"));
        }
        if self.declared.values().any(|(known, _)| known == track) {
            return Err(format!("{track} is sent on two sections"));
        }
        self.announced.insert(ssrc);
        self.declared.insert(ssrc, (track.clone(), mid.clone()));
        if let Some(rtx) = section.rtx_ssrc {
            self.pairs.insert(rtx, ssrc);
        }
        Ok(())
    }
}
