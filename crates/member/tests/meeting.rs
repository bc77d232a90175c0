//! Members in a room of the real server: they share keys, words, sound and pictures.

use std::time::Duration;

use client::media::{Codec, IvfVideo, SyntheticAudio};
use client::{Options, TappedPacket};
use member::e2ee::link::LinkSecret;
use member::e2ee::media::{self, Kind, Refusal, Stream};
use member::e2ee::message::Content;
use member::e2ee::session::{Roster, State, Stop};
use member::{Access, Config, Invitation, Lie, Member, MemberError};
use server::Server;
use server::cli::ServeArgs;
use server::config::{Config as ServerConfig, Settings};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the payload descriptor that the client writes before a part of a picture.
const DESCRIPTOR: usize = 6;

/// Header and 10 pictures at 10 a second: frame tag of VP8, and bytes that say which picture it is.
fn film() -> IvfVideo {
    let mut bytes = b"DKIF\0\0\x20\0VP80".to_vec();
    bytes.extend([64, 1, 180, 0]);
    bytes.extend(10_u32.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0; 8]);
    for (time, number) in (0_u64..10).zip(0_u8..) {
        let picture = picture(number);
        bytes.extend((picture.len() as u32).to_le_bytes());
        bytes.extend(time.to_le_bytes());
        bytes.extend(picture);
    }
    IvfVideo::parse(&bytes).expect("a film")
}

/// Larger than a packet. The first is a key frame.
fn picture(number: u8) -> Vec<u8> {
    let mut picture = vec![0x10 | u8::from(number != 0), 0, 0, 0x9D, 0x01, 0x2A, 64, 1, 180, 0];
    picture.extend([number; 2000]);
    picture
}

async fn start() -> Server {
    let args = ServeArgs { dev: true, port: Some(0), ..ServeArgs::default() };
    let config = ServerConfig { workers: Some(1), ..ServerConfig::default() };
    let mut settings = Settings::resolve(config, &args).expect("they make sense");
    settings.metrics = ([127, 0, 0, 1], 0).into();
    Server::start(settings).await.expect("a free port exists")
}

fn invitation(server: &Server, secret: u8) -> Invitation {
    let fragment = LinkSecret::from_random([secret; 20]).fragment();
    let link = format!("http://127.0.0.1:{}/Kitchen{fragment}", server.address().port());
    Invitation::parse(&link).expect("an invitation")
}

fn config(invitation: &Invitation, name: &str) -> Config {
    Config {
        invitation: invitation.clone(),
        access: Access::dev(),
        name: name.to_owned().into(),
        options: Options::default(),
    }
}

/// Names by identity, once everybody is in one epoch.
async fn roster(member: &Member, names: &[&str]) -> Roster {
    let complete = |roster: &Roster| {
        let mut known: Vec<&str> = roster.members.iter().filter_map(|m| m.name.as_deref()).collect();
        known.sort_unstable();
        known == names
    };
    let roster = |known: &member::Known| known.roster.clone().filter(complete);
    member.wait_for("everybody in the roster", PATIENCE, roster).await.expect("a roster")
}

/// What came of a track, frame by frame, as it lies on the wire.
struct Wire {
    packets: mpsc::Receiver<TappedPacket>,
    codec: Codec,
    track: String,
    parts: Vec<u8>,
}

impl Wire {
    async fn next(&mut self) -> Vec<u8> {
        loop {
            let packet = timeout(PATIENCE, self.packets.recv()).await.expect("frames come").expect("a tap");
            if packet.track_sid != self.track {
                continue;
            }
            let skip = if self.codec == Codec::Opus { 0 } else { DESCRIPTOR };
            self.parts.extend_from_slice(packet.payload.get(skip..).unwrap_or_default());
            if self.codec == Codec::Opus || packet.marker {
                return std::mem::take(&mut self.parts);
            }
        }
    }
}

/// Opens frames of somebody as they come.
struct Watching<'a> {
    member: &'a Member,
    wire: Wire,
    stream: Stream,
    codec: media::Codec,
}

impl Watching<'_> {
    async fn next(&mut self) -> Result<Vec<u8>, Refusal> {
        let frame = self.wire.next().await;
        let mut opened = Vec::new();
        let result = self
            .member
            .with_keyring(|keyring| keyring.open(&mut self.stream, self.codec, &frame, 0, &mut opened));
        result.map(|()| opened)
    }

    /// The first frame from now on of which the outcome is so.
    async fn until<T>(&mut self, mut pick: impl FnMut(Result<Vec<u8>, Refusal>) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(picked) = pick(self.next().await) {
                    return picked;
                }
            }
        };
        timeout(PATIENCE, looking).await.expect("such a frame comes")
    }
}

async fn watching<'a>(
    tapped: (&'a Member, mpsc::Receiver<TappedPacket>),
    of: (&Roster, &Member, String),
    codec: (Codec, media::Codec, Kind),
) -> Watching<'a> {
    let (member, packets) = tapped;
    let (roster, sender, track) = of;
    let leaf =
        roster.members.iter().find(|known| known.identity == sender.identity()).expect("a member").leaf;
    let wire = Wire { packets, codec: codec.0, track, parts: Vec::new() };
    Watching { member, wire, stream: Stream::new(leaf, codec.2), codec: codec.1 }
}

fn chat(id: &str, text: &str) -> Content {
    Content::Chat { id: id.into(), text: text.into() }
}

async fn hears(member: &Member, from: &Member, content: Content) {
    let heard = |known: &member::Known| {
        known.heard.iter().any(|heard| heard.from == from.identity() && heard.content == content)
    };
    member.wait_until("a word", PATIENCE, heard).await.expect("it is heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_names_keys_and_words() {
    let test = async {
        let server = start().await;
        let link = invitation(&server, 1);
        let ada = Member::join(config(&link, "Ada")).await.expect("she joins");
        let ben = Member::join(config(&link, "Ben")).await.expect("he joins");
        let (seen_by_ada, seen_by_ben) =
            (roster(&ada, &["Ada", "Ben"]).await, roster(&ben, &["Ada", "Ben"]).await);
        assert_eq!(seen_by_ada.epoch, seen_by_ben.epoch);
        assert_eq!(seen_by_ada.digits, seen_by_ben.digits);
        ada.say(chat("1", "hello")).await.expect("it is sent");
        hears(&ben, &ada, chat("1", "hello")).await;
        ben.say(chat("2", "hello yourself")).await.expect("it is sent");
        hears(&ada, &ben, chat("2", "hello yourself")).await;
        // The server knows neither the name nor anything in its place.
        let local = ben.client().with_state(|state| state.local.clone());
        assert_eq!((local.name.as_str(), local.metadata.as_str()), ("", ""));
        assert_eq!(local.identity, ben.identity());

        ben.leave().await.expect("he leaves");
        roster(&ada, &["Ada"]).await;
        assert!(matches!(ada.known().state, State::Member { .. }));
        ada.leave().await.expect("she leaves");
        server.shutdown().await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_said_arrives_in_order_also_while_keys_change() {
    let test = async {
        let server = start().await;
        let link = invitation(&server, 2);
        let ada = Member::join(config(&link, "Ada")).await.expect("she joins");
        let ben = Member::join(config(&link, "Ben")).await.expect("he joins");
        roster(&ada, &["Ada", "Ben"]).await;
        let talk = async {
            for number in 0..300 {
                ada.say(chat(&number.to_string(), "word")).await.expect("it is sent");
            }
        };
        let come_and_go = async {
            for _ in 0..3 {
                let guest = Member::join(config(&link, "Guest")).await.expect("the guest joins");
                guest.leave().await.expect("the guest leaves");
            }
        };
        tokio::join!(talk, come_and_go);
        let all = |known: &member::Known| known.heard.len() == 300;
        ben.wait_until("all words", PATIENCE, all).await.expect("they arrive");
        for (number, heard) in ben.known().heard.iter().enumerate() {
            assert!(heard.content == chat(&number.to_string(), "word"), "the word at {number}");
        }
        server.shutdown().await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_pictures_open_for_members_and_lies_do_not() {
    let test = async {
        let server = start().await;
        let link = invitation(&server, 3);
        let mut ada = Member::join(config(&link, "Ada")).await.expect("she joins");
        let sound = ada.publish_microphone(SyntheticAudio::new(40)).await.expect("published");
        let film = ada.publish_camera(film()).await.expect("published");

        let join = |name| {
            let (tap, packets) = mpsc::channel(10_000);
            let mut config = config(&link, name);
            config.options.packet_tap = Some(tap);
            async { (Member::join(config).await.expect("somebody joins"), packets) }
        };
        let (ben, pictures) = join("Ben").await;
        let (cem, sounds) = join("Cem").await;
        let all = roster(&ben, &["Ada", "Ben", "Cem"]).await;
        let announced = ben
            .client()
            .wait_for("Ada's tracks", PATIENCE, |state| {
                Some(state.participants.get(ada.identity())?.tracks.clone()).filter(|all| all.len() == 2)
            })
            .await
            .expect("they are announced");
        assert!(announced.iter().all(|track| track.encryption() == client::livekit::encryption::Type::Gcm));

        let opus = (Codec::Opus, media::Codec::Opus, Kind::Microphone);
        let mut heard = watching((&cem, sounds), (&all, &ada, sound), opus).await;
        let packet = heard.until(Result::ok).await;
        assert_eq!((packet.len(), packet[0]), (41, 0xF8));

        let vp8 = (Codec::Vp8, media::Codec::Vp8, Kind::Camera);
        let mut seen = watching((&ben, pictures), (&all, &ada, film), vp8).await;
        let mut numbers = Vec::new();
        while numbers.len() < 10 {
            let opened = seen.until(Result::ok).await;
            assert_eq!(opened, picture(opened[10]));
            numbers.push(opened[10]);
        }
        assert!(numbers.is_sorted_by_key(|number| (number + 10 - numbers[0]) % 10), "{numbers:?}");

        ada.lie(Lie::Plain).await.expect("she lies");
        // A sealed frame begins with the same byte, and then its key id.
        seen.until(|result| result.is_err().then_some(())).await;
        for _ in 0..10 {
            assert!(seen.next().await.is_err());
        }
        ada.lie(Lie::Replay).await.expect("she lies");
        seen.until(|result| (result == Err(Refusal::Replayed)).then_some(())).await;
        for _ in 0..10 {
            assert_eq!(seen.next().await, Err(Refusal::Replayed));
        }
        ada.lie(Lie::None).await.expect("she is honest again");
        let under_old_keys = seen.until(Result::ok).await;
        assert_eq!(under_old_keys, picture(under_old_keys[10]));

        cem.leave().await.expect("he leaves");
        let fewer = roster(&ben, &["Ada", "Ben"]).await;
        assert!(fewer.epoch > all.epoch);
        server.shutdown().await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_another_link_does_not_get_in() {
    let test = async {
        let server = start().await;
        let ada = Member::join(config(&invitation(&server, 4), "Ada")).await.expect("she joins");
        let mallory = Member::join(config(&invitation(&server, 5), "Mallory")).await;
        let error = mallory.expect_err("another link");
        assert!(matches!(error, MemberError::Stopped(Stop::OtherLink)), "{error}");
        assert_eq!(roster(&ada, &["Ada"]).await.members.len(), 1);
        server.shutdown().await;
    };
    LocalSet::new().run_until(test).await;
}
