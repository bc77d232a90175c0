//! The participants, by identity.

use std::collections::BTreeMap;
use std::path::Path;

use client::media::{AudioLevel, IvfVideo, SyntheticAudio};
use client::{Client, ClientError, DataOptions, Options, token};
use member::e2ee::message::Content;
use member::{Access, Config, Invitation, Member, MemberError};

use tokio::task::{JoinHandle, spawn_local};

use crate::order::Order;
use crate::record::record;

/// dBov of a microphone that hears nothing.
const SILENCE: i8 = -127;

/// Payload of one packet of sound in bytes: little to send, enough for a stamp.
const SOUND: usize = 40;

/// Why an order was not obeyed; it ends the process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrowdError {
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error("not an order")]
    Order,
    #[error("this participant is not here, or has no such thing")]
    Unknown,
}

impl CrowdError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Member(error) => error.code(),
            Self::Order => "order",
            Self::Unknown => "unknown",
        }
    }
}

impl From<ClientError> for CrowdError {
    fn from(error: ClientError) -> Self {
        Self::Member(error.into())
    }
}

enum Who {
    /// Holds the keys.
    Member(Box<Member>),
    /// Another program.
    Foreign(Client),
}

/// Somebody in the crowd.
pub(crate) struct Participant {
    who: Who,
    level: Option<AudioLevel>,
}

/// Who joined, if they did.
pub(crate) type Joined = Result<(String, Participant), CrowdError>;

/// Everybody whom the orders let in.
pub(crate) struct Crowd {
    invitation: Invitation,
    access: Access,
    all: BTreeMap<String, Participant>,
    /// Messages said so far: each has an id of its own.
    said: u64,
}

impl Crowd {
    /// Nobody yet, who have this link.
    pub(crate) fn of(link: &str, access: Access) -> Result<Self, CrowdError> {
        Ok(Self { invitation: Invitation::parse(link)?, access, all: BTreeMap::new(), said: 0 })
    }

    /// Lets somebody into the room, who then goes on to the group by themselves: many go at once, as people do. What
    /// comes of it is for [`Self::joined`].
    pub(crate) async fn join(&self, name: &str, media: &[&str]) -> Result<JoinHandle<Joined>, CrowdError> {
        let config = Config {
            invitation: self.invitation.clone(),
            access: self.access.clone(),
            name: name.to_owned().into(),
            options: options(),
        };
        let member = Member::enter(config).await?;
        let media = media.iter().map(|&source| source.to_owned()).collect();
        Ok(spawn_local(come_in(member, media)))
    }

    /// Somebody is there; returns the identity.
    pub(crate) fn joined(&mut self, joined: Joined) -> Result<String, CrowdError> {
        let (identity, participant) = joined?;
        self.all.insert(identity.clone(), participant);
        Ok(identity)
    }

    /// Obeys any other order; returns the identity of whom it was for.
    pub(crate) async fn obey(&mut self, order: Order<'_>) -> Result<String, CrowdError> {
        let identity = match order {
            Order::Join { .. } => return Err(CrowdError::Order),
            Order::JoinAs { identity, metadata, media } => {
                self.join_as(identity, metadata, &media).await?;
                identity
            }
            Order::Level { identity, dbov } => {
                self.get(identity)?.level.as_ref().ok_or(CrowdError::Unknown)?.set(dbov);
                identity
            }
            Order::Say { identity, times, text } => {
                self.say(identity, times, text).await?;
                identity
            }
            Order::Lie { identity, lie } => {
                let Who::Member(member) = &mut self.get(identity)?.who else {
                    return Err(CrowdError::Unknown);
                };
                member.lie(lie).await?;
                identity
            }
            Order::Host { identity, word } => {
                let Who::Member(member) = &self.get(identity)?.who else {
                    return Err(CrowdError::Unknown);
                };
                member.say_as_host(word).await?;
                identity
            }
            Order::Record { identity, file, packets } => {
                let Invitation { origin, room, .. } = &self.invitation;
                let token = token::join(&self.access.key, &self.access.secret, room, identity);
                record(origin, &token, Path::new(file), packets).await?;
                identity
            }
            Order::Leave { identity } => {
                self.all.remove(identity).ok_or(CrowdError::Unknown)?.leave().await;
                identity
            }
        };
        Ok(identity.to_owned())
    }

    /// Everybody leaves.
    pub(crate) async fn leave(self) {
        for (_, participant) in self.all {
            participant.leave().await;
        }
    }

    fn get(&mut self, identity: &str) -> Result<&mut Participant, CrowdError> {
        self.all.get_mut(identity).ok_or(CrowdError::Unknown)
    }

    async fn join_as(&mut self, identity: &str, metadata: &str, media: &[&str]) -> Result<(), CrowdError> {
        let Invitation { origin, room, .. } = &self.invitation;
        let token = token::join(&self.access.key, &self.access.secret, room, identity);
        let mut options = options();
        metadata.clone_into(&mut options.metadata);
        let client = Client::connect(origin, &token, options).await?;
        let mut level = None;
        for source in media {
            if *source == "audio" {
                client.publish_audio(sound(&mut level)).await?;
            } else {
                client.publish_video(IvfVideo::open(source)?).await?;
            }
        }
        self.all.insert(identity.to_owned(), Participant { who: Who::Foreign(client), level });
        Ok(())
    }

    async fn say(&mut self, identity: &str, times: u32, text: &str) -> Result<(), CrowdError> {
        for number in 0..times {
            self.said += 1;
            let id = self.said.to_string();
            let text = text.replace("{n}", &number.to_string());
            match &self.get(identity)?.who {
                Who::Member(member) => member.say(Content::Chat { id, text }).await?,
                Who::Foreign(client) => {
                    client.publish_data(text.as_bytes(), DataOptions::reliable("k")).await?;
                }
            }
        }
        Ok(())
    }
}

impl Participant {
    async fn leave(self) {
        match self.who {
            Who::Member(member) => {
                member.leave().await;
            }
            Who::Foreign(client) => {
                client.leave().await;
            }
        }
    }
}

/// The way into the group, and what is sent there.
async fn come_in(mut member: Member, media: Vec<String>) -> Joined {
    member.wait_joined().await?;
    let mut level = None;
    for source in media {
        if source == "audio" {
            member.publish_microphone(sound(&mut level)).await?;
        } else {
            member.publish_camera(IvfVideo::open(source)?).await?;
        }
    }
    let identity = member.identity().to_owned();
    Ok((identity, Participant { who: Who::Member(Box::new(member)), level }))
}

/// Nobody here looks or listens.
fn options() -> Options {
    let mut options = Options::default();
    options.auto_subscribe = false;
    options.receive_sections = (0, 0);
    options
}

/// A microphone that hears nothing yet.
fn sound(level: &mut Option<AudioLevel>) -> SyntheticAudio {
    let audio = SyntheticAudio::new(SOUND).with_pauses();
    level.insert(audio.level()).set(SILENCE);
    audio
}
