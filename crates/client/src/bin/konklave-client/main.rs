//! `konklave-client`: joins a room of any server that speaks the LiveKit protocol, for trying things by hand.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use client::media::{
    AnnexBVideo, IvfVideo, Kind, MediaSource, OggOpus, SyntheticAudio, SyntheticVideo, VideoLayerSpec,
};
use client::{Client, ClientError, ClientState, DataOptions, Event, Options, TokenPlace, token};

mod check;

/// Headless participant for servers that speak the LiveKit protocol.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a room, publish, subscribe, and say what arrived.
    Join(Join),
    /// Let two clients meet and check that media, data, mute and leaving work; fails if they do not.
    Check(Server),
    /// Print a token.
    Token(Who),
}

#[derive(Args, Clone)]
struct Server {
    /// Address of the server.
    #[arg(long, default_value = "ws://127.0.0.1:7880", env = "KONKLAVE_URL")]
    url: String,
    /// API key.
    #[arg(long, default_value = "devkey")]
    key: String,
    /// Secret of the API key.
    #[arg(long, default_value = "secret")]
    secret: String,
    /// Room.
    #[arg(long, default_value = "test")]
    room: String,
}

#[derive(Args, Clone)]
struct Who {
    #[command(flatten)]
    server: Server,
    /// Identity.
    #[arg(long, default_value = "headless")]
    identity: String,
}

#[derive(Args)]
struct Join {
    #[command(flatten)]
    who: Who,
    /// Token to use instead of making one.
    #[arg(long)]
    token: Option<String>,
    /// Send the token in the query, as browsers do.
    #[arg(long)]
    token_in_query: bool,
    /// `synthetic` or an Ogg file of Opus.
    #[arg(long)]
    audio: Option<String>,
    /// `vp8`, `h264`, `vp9` (synthetic), `simulcast` (synthetic VP8 in three layers), or a file `.ivf` or `.h264`.
    #[arg(long)]
    video: Option<String>,
    /// Width, height and frames per second of a `.h264` file.
    #[arg(long, num_args = 3, default_values_t = [640, 360, 30])]
    h264_format: Vec<u32>,
    /// Text to send to all every second.
    #[arg(long)]
    say: Option<String>,
    /// Subscribe to nothing.
    #[arg(long)]
    deaf: bool,
    /// Leave after this many seconds; otherwise on Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
    /// Print events as they happen.
    #[arg(long)]
    events: bool,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Join(join) => run(join).await,
        Command::Check(server) => check::run(&server).await,
        Command::Token(who) => {
            let token = token::join(&who.server.key, &who.server.secret, &who.server.room, &who.identity);
            say(format_args!("{token}"));
            Ok(())
        }
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "konklave-client: {} ({})", error, error.code());
            std::process::ExitCode::FAILURE
        }
    }
}

/// Prints a line; a closed pipe is no reason to fail.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn run(join: Join) -> Result<(), ClientError> {
    let server = &join.who.server;
    let token = join
        .token
        .clone()
        .unwrap_or_else(|| token::join(&server.key, &server.secret, &server.room, &join.who.identity));
    let mut options = Options::default();
    options.auto_subscribe = !join.deaf;
    if join.token_in_query {
        options.token_place = TokenPlace::Query;
    }
    let client = Client::connect(&server.url, &token, options).await?;
    let printer = join.events.then(|| print_events(&client));
    say(format_args!("joined as {}", client.with_state(|state| state.local.identity.clone())));
    if let Some(audio) = &join.audio {
        let sid = match audio.as_str() {
            "synthetic" => client.publish_audio(SyntheticAudio::new(80)).await?,
            path => client.publish_audio(OggOpus::open(path)?).await?,
        };
        say(format_args!("publishing {audio} as {sid}"));
    }
    if let Some(video) = &join.video {
        let sid = client.publish_video(video_source(video, &join.h264_format)?).await?;
        say(format_args!("publishing {video} as {sid}"));
    }
    let end = async {
        match join.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => {
                // Without a handler for Ctrl-C the process ends by it anyway.
                let _ = tokio::signal::ctrl_c().await;
            }
        }
    };
    let talk = async {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            if let Some(text) = &join.say {
                client.publish_data(text.as_bytes(), DataOptions::reliable("k")).await?;
            }
        }
    };
    let result = tokio::select! {
        () = end => Ok(()),
        failed = talk => failed,
        closed = client.wait_closed(Duration::from_secs(u32::MAX.into())) => closed.map(|cause| {
            say(format_args!("connection ended: {cause:?}"));
        }),
    };
    let state = client.leave().await;
    if let Some(printer) = printer {
        printer.abort();
    }
    report(&state);
    result
}

fn video_source(name: &str, h264: &[u32]) -> Result<Box<dyn MediaSource>, ClientError> {
    let single = || vec![VideoLayerSpec::single()];
    Ok(match name {
        "vp8" => Box::new(SyntheticVideo::vp8(single())),
        "h264" => Box::new(SyntheticVideo::h264(single())),
        "vp9" => Box::new(SyntheticVideo::vp9(VideoLayerSpec::single())),
        "simulcast" => Box::new(SyntheticVideo::vp8(VideoLayerSpec::simulcast())),
        path if PathBuf::from(path).extension().is_some_and(|extension| extension == "ivf") => {
            Box::new(IvfVideo::open(path)?)
        }
        path => {
            let [width, height, fps] = *h264 else {
                return Err(ClientError::Media("width, height and rate are needed".into()));
            };
            Box::new(AnnexBVideo::open(path, width, height, fps)?)
        }
    })
}

fn print_events(client: &Client) -> tokio::task::JoinHandle<()> {
    let mut events = client.events();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(Event::Data(data)) => say(format_args!(
                    "data from {}: {:?}",
                    data.packet.participant_identity,
                    data.payload().map(String::from_utf8_lossy)
                )),
                Ok(event) => say(format_args!("{event:?}")),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => {
                    say(format_args!("({missed} events missed)"));
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    })
}

fn report(state: &ClientState) {
    let millis = |from: Option<std::time::Instant>| {
        from.zip(state.milestones.started).map_or_else(
            || "never".to_owned(),
            |(at, start)| format!("{} ms", at.saturating_duration_since(start).as_millis()),
        )
    };
    say(format_args!(
        "joined after {}, media after {}, data after {}",
        millis(state.milestones.joined),
        millis(state.milestones.media),
        millis(state.milestones.data)
    ));
    for (sid, track) in &state.published {
        say(format_args!(
            "sent {sid} {}: {} packets, {} bytes, {} key frames asked for",
            track.codec.mime(),
            track.packets,
            track.bytes,
            track.key_frame_requests
        ));
    }
    for (sid, track) in &state.subscribed {
        let kind = if track.kind == Kind::Audio { "audio" } else { "video" };
        say(format_args!("received {sid} {kind}: {:#?}", track.report()));
    }
    say(format_args!("data packets {}, {:?}", state.data.len(), state.counters));
}
