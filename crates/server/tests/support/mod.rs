//! A server in this process on a free port, and bare-handed HTTP, WebSocket and UDP to talk to it with.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::livekit::{self, SignalRequest, SignalResponse, signal_request, signal_response};
use protocol::prost::Message as _;
use protocol::token::{ApiKeys, Claims, VideoGrants};
use server::Server;
use server::cli::ServeArgs;
use server::config::{Config, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestServer {
    pub server: Server,
    pub address: SocketAddr,
}

/// As with `--dev --port 0`, with two workers.
pub fn settings() -> Settings {
    let args = ServeArgs { dev: true, port: Some(0), ..Default::default() };
    let mut settings =
        Settings::resolve(Config { workers: Some(2), ..Default::default() }, &args).expect("they make sense");
    settings.metrics = (Ipv4Addr::LOCALHOST, 0).into();
    settings
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(settings()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let server = Server::start(settings).await.expect("a free port exists");
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.address().port());
        Self { server, address }
    }

    pub fn ws(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.http("GET", path, &[], "").await
    }

    pub async fn join(&self, room: &str, body: &str) -> Answer {
        let path = format!("/api/v1/rooms/{room}/join");
        self.http("POST", &path, &[("content-type", "application/json")], body).await
    }

    pub async fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        raw(self.address, format!("{head}\r\n{body}").as_bytes()).await
    }

    /// Opens a signalling connection; the error is the refusal's status and body.
    pub async fn connect(&self, token: &str, more: &str) -> Result<Signal, (u16, String)> {
        self.connect_to(&format!("/rtc/v1?access_token={token}{more}"), None).await
    }

    pub async fn connect_to(&self, path: &str, bearer: Option<&str>) -> Result<Signal, (u16, String)> {
        let mut request = format!("{}{path}", self.ws()).into_client_request().expect("a request");
        if let Some(token) = bearer {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("authorization", value);
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Signal { socket }),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
            }
            Err(error) => panic!("neither joined nor refused: {error}"),
        }
    }

    /// Connects and waits for `join`.
    pub async fn joined(&self, room: &str, identity: &str) -> (Signal, livekit::JoinResponse) {
        let mut signal = self.connect(&token(room, identity), "").await.expect("the token is good");
        let join = signal
            .until(|message| match message {
                signal_response::Message::Join(join) => Some(join),
                _ => None,
            })
            .await;
        (signal, join)
    }

    pub async fn metric(&self, name: &str) -> f64 {
        let answer = raw(
            self.server.metrics_address(),
            b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        )
        .await;
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    pub async fn rejected(&self, layer: &str, code: &str) -> f64 {
        self.metric(&format!("konklave_rejected_total{{layer=\"{layer}\",code=\"{code}\"}}")).await
    }
}

/// Waits for a condition; the steps are only how often it is looked at.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The stable code of a refusal, with its status.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let json = self.json();
        assert_eq!(json["status"], self.status);
        (self.status, json["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Sends bytes and reads an HTTP answer until the server closes.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // A refusal may come and the connection close while a large body is still being written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server answers");
    parse(&answer)
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let bytes = answer.get(end + 4..).unwrap_or_default().to_vec();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned(), bytes }
}

/// A signalling connection as a client has it.
pub struct Signal {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Signal {
    pub async fn send(&mut self, message: signal_request::Message) {
        let request = SignalRequest { message: Some(message) };
        self.send_raw(Message::Binary(request.encode_to_vec().into())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection is open");
    }

    /// The next message, or how the connection was closed.
    pub async fn next(&mut self) -> Result<signal_response::Message, Option<CloseFrame>> {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("the server says something");
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let response = SignalResponse::decode(bytes).expect("a SignalResponse");
                    return Ok(response.message.expect("with a message"));
                }
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Reads until a message that `pick` takes.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(signal_response::Message) -> Option<T>) -> T {
        loop {
            match self.next().await {
                Ok(message) => {
                    if let Some(picked) = pick(message) {
                        return picked;
                    }
                }
                Err(frame) => panic!("closed before: {frame:?}"),
            }
        }
    }

    /// Reads until the connection is closed; the code, 0 without a close frame.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(frame) = self.next().await {
                return frame
                    .map_or((0, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
            }
        }
    }

    pub async fn ping(&mut self) -> livekit::Pong {
        self.send(signal_request::Message::PingReq(livekit::Ping { timestamp: 1, rtt: 0 })).await;
        self.until(|message| match message {
            signal_response::Message::PongResp(pong) => Some(pong),
            _ => None,
        })
        .await
    }
}

pub fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

pub fn claims(room: &str, identity: &str) -> Claims {
    Claims {
        iss: "devkey".into(),
        sub: identity.into(),
        exp: unix_now() + 600,
        video: VideoGrants { room: room.into(), room_join: true, ..Default::default() },
        ..Default::default()
    }
}

pub fn sign(claims: &Claims) -> String {
    let mut keys = ApiKeys::new();
    keys.insert("devkey", "secret");
    keys.insert("foreign", "foreign");
    keys.sign(claims).expect("the key is known")
}

pub fn token(room: &str, identity: &str) -> String {
    sign(&claims(room, identity))
}
