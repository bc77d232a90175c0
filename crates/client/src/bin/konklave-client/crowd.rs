//! Many participants in one process that do what each line of the input says: tests of pages fill a room with them.

use std::collections::BTreeMap;

use client::media::{AudioLevel, IvfVideo, SyntheticAudio};
use client::{Client, ClientError, DataOptions, Options, token};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{Server, say};

/// dBov of a microphone that hears nothing.
const SILENCE: i8 = -127;

/// Payload of one packet of sound in bytes: little to send, enough for a stamp.
const SOUND: usize = 40;

struct Member {
    client: Client,
    level: Option<AudioLevel>,
}

/// One line; its parts are separated by tabs.
enum Order<'line> {
    /// `join IDENTITY METADATA [audio] [FILE.ivf]`
    Join { identity: &'line str, metadata: &'line str, media: Vec<&'line str> },
    /// `level IDENTITY DBOV`
    Level { identity: &'line str, dbov: i8 },
    /// `say IDENTITY TIMES TEXT`; each `{n}` in the text becomes the number of the message.
    Say { identity: &'line str, times: u32, text: &'line str },
    /// `leave IDENTITY`
    Leave { identity: &'line str },
}

impl<'line> Order<'line> {
    fn parse(line: &'line str) -> Option<Self> {
        let mut parts = line.split('\t');
        let (verb, identity) = (parts.next()?, parts.next()?);
        Some(match verb {
            "join" => Self::Join { identity, metadata: parts.next()?, media: parts.collect() },
            "level" => Self::Level { identity, dbov: parts.next()?.parse().ok()? },
            "say" => Self::Say { identity, times: parts.next()?.parse().ok()?, text: parts.next()? },
            "leave" => Self::Leave { identity },
            _ => return None,
        })
    }
}

/// Runs until the end of the input; answers each line with the line, once it is done.
pub(crate) async fn run(server: &Server) -> Result<(), ClientError> {
    let mut members = BTreeMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let order =
            Order::parse(&line).ok_or_else(|| ClientError::Protocol(format!("not an order: {line:?}")))?;
        obey(server, &mut members, order).await?;
        say(format_args!("{line}"));
    }
    for (_, member) in members {
        member.client.leave().await;
    }
    Ok(())
}

async fn obey(
    server: &Server,
    members: &mut BTreeMap<String, Member>,
    order: Order<'_>,
) -> Result<(), ClientError> {
    let unknown = |identity: &str| ClientError::Protocol(format!("{identity} is not here"));
    match order {
        Order::Join { identity, metadata, media } => {
            let member = join(server, identity, metadata, &media).await?;
            members.insert(identity.to_owned(), member);
        }
        Order::Level { identity, dbov } => {
            let level = members.get(identity).and_then(|member| member.level.as_ref());
            level.ok_or_else(|| unknown(identity))?.set(dbov);
        }
        Order::Say { identity, times, text } => {
            let client = &members.get(identity).ok_or_else(|| unknown(identity))?.client;
            for number in 0..times {
                let text = text.replace("{n}", &number.to_string());
                client.publish_data(text.as_bytes(), DataOptions::reliable("k")).await?;
            }
        }
        Order::Leave { identity } => {
            let member = members.remove(identity).ok_or_else(|| unknown(identity))?;
            member.client.leave().await;
        }
    }
    Ok(())
}

async fn join(
    server: &Server,
    identity: &str,
    metadata: &str,
    media: &[&str],
) -> Result<Member, ClientError> {
    let token = token::join(&server.key, &server.secret, &server.room, identity);
    let mut options = Options::default();
    options.auto_subscribe = false;
    options.receive_sections = (0, 0);
    metadata.clone_into(&mut options.metadata);
    let client = Client::connect(&server.url, &token, options).await?;
    let mut level = None;
    for source in media {
        if *source == "audio" {
            let audio = SyntheticAudio::new(SOUND);
            let handle = audio.level();
            handle.set(SILENCE);
            level = Some(handle);
            client.publish_audio(audio).await?;
        } else {
            client.publish_video(IvfVideo::open(source)?).await?;
        }
    }
    Ok(Member { client, level })
}
