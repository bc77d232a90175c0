//! The configuration: one TOML file (docs/configuration.md), and what it comes to together with the command
//! line.
//!
//! Errors name the line and never show it: it may hold a secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use protocol::token::ApiKeys;
use serde::Deserialize;

use crate::cli::ServeArgs;
use crate::keys::ADMISSION_KEY;
use crate::proxies::{Network, TrustedProxies};

/// Port for HTTP and media unless another is given.
const DEFAULT_PORT: u16 = 7880;

/// Where the counters are served unless another address is given.
const DEFAULT_METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7881);

/// File that is read from the working directory if none is named.
const DEFAULT_FILE: &str = "konklave.toml";

/// Most workers: the ICE user fragment names one of 32.
const MAX_WORKERS: usize = 32;

/// Characters of an API secret outside development. Whoever sees one token can try secrets against it at
/// leisure; 32 random characters are beyond that, and LiveKit's server warns below as many.
const MIN_SECRET_CHARACTERS: usize = 32;

/// The file as it is written.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Port for HTTP (TCP) and media (UDP).
    pub port: Option<u16>,
    /// Address to serve on.
    pub bind: Option<IpAddr>,
    /// Threads for media; without it as many as the machine has cores.
    pub workers: Option<usize>,
    /// The address clients connect to, where it is not the one they see (`wss://meet.example.org`).
    pub url: Option<String>,
    /// Addresses or networks of reverse proxies, whose `X-Forwarded-For` tells whose request it is.
    pub trusted_proxies: Vec<String>,
    /// Addresses clients send media to, instead of those of the interfaces (a server behind NAT).
    pub candidates: Vec<IpAddr>,
    /// Where the counters are served.
    pub metrics: Option<SocketAddr>,
    /// API keys: id and secret.
    pub keys: BTreeMap<String, String>,
    /// What the server API may do in rooms.
    pub room: RoomConfig,
    /// Programs that are told what happens in rooms.
    pub webhook: WebhookConfig,
    /// Upper bounds.
    pub limits: LimitsConfig,
}

/// What the server API may do in rooms.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomConfig {
    /// Whether it may unmute what participants muted.
    pub remote_unmute: bool,
}

/// Where webhooks go; nowhere unless there are addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Addresses, `https://` or `http://`.
    pub urls: Vec<String>,
    /// Id of the API key that signs.
    pub api_key: String,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Upper bounds that an operator may change.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Participants in one room.
    pub participants: usize,
    /// Tracks published by one participant.
    pub tracks: usize,
    /// TCP connections in all; each costs a file and up to some 100 kB.
    pub connections: usize,
    /// TCP connections from one address (IPv6: one /64), trusted proxies excepted: a class of 40 behind one NAT uses about 300.
    pub connections_per_address: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let core = sfu::config::Limits::default();
        Self {
            participants: core.participants,
            tracks: core.tracks,
            connections: 20_000,
            connections_per_address: 1_000,
        }
    }
}

/// What is served, how and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses for HTTP and WebSocket.
    pub http: Vec<IpAddr>,
    /// Address for media.
    pub media: IpAddr,
    /// Port for both; 0 takes any.
    pub port: u16,
    /// Threads for media.
    pub workers: usize,
    /// The address clients connect to, where it is not the one they see.
    pub url: Option<ServerUrl>,
    /// Reverse proxies.
    pub proxies: TrustedProxies,
    /// Addresses clients send media to, instead of those of the interfaces.
    pub candidates: Vec<IpAddr>,
    /// Where the counters are served.
    pub metrics: SocketAddr,
    /// Whether another port will do for the counters.
    pub metrics_anywhere: bool,
    /// Keys of the operator's; the server adds one of its own.
    pub keys: ApiKeys,
    /// What the server API may do in rooms.
    pub room: RoomConfig,
    /// Programs that are told what happens in rooms.
    pub webhook: WebhookConfig,
    /// Upper bounds.
    pub limits: LimitsConfig,
    /// How long others may take.
    pub patience: Patience,
}

/// The WebSocket address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    /// Scheme, host and port.
    origin: String,
}

impl ServerUrl {
    /// Reads `ws://` or `wss://` with a host, perhaps a port and a path; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "ws" | "wss"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_path = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
        (is_host(host) && is_path)
            .then(|| Self { text: text.to_owned(), origin: format!("{scheme}://{host}") })
    }

    /// The address as clients get it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The origins that a page needs for it: of the WebSocket, and of its twin over HTTP.
    pub fn origins(&self) -> [String; 2] {
        [self.origin.clone(), self.origin.replacen("ws", "http", 1)]
    }
}

/// Whether a text is nothing but a host and perhaps a port.
pub(crate) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 260
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

/// How long others may take before the server stops waiting for them. Not configurable: clients are told
/// the same numbers; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of an HTTP request, also on an idle connection.
    pub head: Duration,
    /// For the core's answer to a join; clients give up after 5 seconds.
    pub join: Duration,
    /// Between two WebSocket pings. Every client answers them (RFC 6455 §5.5.2), also those that were not told how often
    /// to ping by themselves, and pages in the background, whose timers are slow.
    pub ping: Duration,
    /// For the next word of a joined client, be it a pong: two pings and 2 s. Less would take some retransmissions of
    /// TCP for an end; the longer, the longer somebody whose line is cut is shown to the others.
    pub silence: Duration,
    /// For one frame to be written, before the client counts as not reading.
    pub write: Duration,
    /// Between two fresh tokens: half their lifetime.
    pub refresh: Duration,
    /// For members of a meeting that this process may have lost by its restart, before newcomers may begin another.
    pub restore: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            join: Duration::from_secs(5),
            ping: Duration::from_secs(4),
            silence: Duration::from_secs(10),
            write: Duration::from_secs(10),
            refresh: Duration::from_secs(5 * 60),
            restore: Duration::from_secs(10),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{file}, line {line}: {message}")]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A value makes no sense.
    #[error("{file}: {message}")]
    Value {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        message: &'static str,
    },
    /// A secret can be guessed.
    #[error(
        "the secret of API key {id:?} has fewer than {MIN_SECRET_CHARACTERS} characters, which others could \
         guess; `openssl rand -hex 32` makes one"
    )]
    WeakSecret {
        /// Which key.
        id: String,
    },
    /// Webhooks are signed with a key that is not there.
    #[error("webhook.api_key has to be the id of a key in [keys]")]
    WebhookKey,
    /// Development keys, which everybody knows, would be served to the network.
    #[error("--dev serves on loopback only, with a key that everybody knows; leave out --dev or --bind {0}")]
    OpenDevelopment(IpAddr),
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, unknown keys, values that make no sense.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigError::Syntax {
                file: file.to_owned(),
                line: before.matches('\n').count() + 1,
                message: error.message().to_owned(),
            }
        })?;
        let wrong = |message| Err(ConfigError::Value { file: file.to_owned(), message });
        if config.workers.is_some_and(|workers| !(1..=MAX_WORKERS).contains(&workers)) {
            return wrong("workers has to be between 1 and 32");
        }
        if config.keys.iter().any(|(id, secret)| id.is_empty() || secret.is_empty()) {
            return wrong("an API key needs an id and a secret");
        }
        if config.keys.contains_key(ADMISSION_KEY) {
            return wrong("the API key id \"konklave\" is the server's own");
        }
        if config.url.as_deref().is_some_and(|url| ServerUrl::parse(url).is_none()) {
            return wrong("url has to be ws:// or wss://, a host, perhaps a port and a path");
        }
        if config.trusted_proxies.iter().any(|text| text.parse::<Network>().is_err()) {
            return wrong("trusted_proxies has to be a list of addresses and networks, such as 10.0.0.0/8");
        }
        if config.webhook.urls.iter().any(|url| !crate::webhook::is_address(url)) {
            return wrong("webhook.urls has to be a list of http:// or https:// addresses");
        }
        Ok(config)
    }
}

impl Settings {
    /// Reads the file that the command line names (or the default one) and puts both together.
    ///
    /// # Errors
    /// [`ConfigError`] of the file, or of both together.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let config = match &args.config {
            Some(file) => Config::read(file)?,
            None if Path::new(DEFAULT_FILE).exists() => Config::read(Path::new(DEFAULT_FILE))?,
            None => Config::default(),
        };
        Self::resolve(config, args)
    }

    /// Puts file and command line together. In development the file's address to serve on does not count,
    /// since a key is served that everybody knows.
    ///
    /// # Errors
    /// [`ConfigError::WeakSecret`] outside development, [`ConfigError::OpenDevelopment`] in it.
    pub fn resolve(config: Config, args: &ServeArgs) -> Result<Self, ConfigError> {
        let bind = if args.dev { args.bind } else { args.bind.or(config.bind) };
        if let Some(open) = bind.filter(|address| args.dev && !address.is_loopback()) {
            return Err(ConfigError::OpenDevelopment(open));
        }
        let weak = |secret: &String| secret.chars().count() < MIN_SECRET_CHARACTERS;
        if let Some((id, _)) = config.keys.iter().find(|(_, secret)| !args.dev && weak(secret)) {
            return Err(ConfigError::WeakSecret { id: id.clone() });
        }
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let (http, media) = match (args.dev, bind) {
            // Firefox takes no loopback candidate, so media is not confined to loopback.
            (true, None) => (vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], any),
            (true, Some(address)) => (vec![address], any),
            (false, None) => (vec![any], any),
            (false, Some(address)) => (vec![address], address),
        };
        let mut keys = ApiKeys::new();
        for (id, secret) in config.keys {
            keys.insert(id, secret);
        }
        if args.dev {
            keys.insert("devkey", "secret");
        }
        if !config.webhook.urls.is_empty() && !keys.contains(&config.webhook.api_key) {
            return Err(ConfigError::WebhookKey);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            http,
            media,
            port: args.port.or(config.port).unwrap_or(DEFAULT_PORT),
            workers: config.workers.unwrap_or(cores).clamp(1, MAX_WORKERS),
            url: config.url.as_deref().and_then(ServerUrl::parse),
            proxies: TrustedProxies::new(
                config.trusted_proxies.iter().filter_map(|text| text.parse().ok()).collect(),
            ),
            candidates: config.candidates,
            metrics: config.metrics.unwrap_or(DEFAULT_METRICS),
            metrics_anywhere: args.dev || config.metrics.is_none(),
            keys,
            room: config.room,
            webhook: config.webhook,
            limits: config.limits,
            // Who develops starts the server again and again, and wants to be in.
            patience: Patience {
                restore: if args.dev { Duration::ZERO } else { Patience::default().restore },
                ..Patience::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("konklave.toml"))
    }

    #[test]
    fn a_full_file_is_read() {
        let config = parse(
            r#"
            port = 443
            bind = "192.0.2.7"
            workers = 4
            url = "wss://meet.example.org"
            candidates = ["203.0.113.9", "2001:db8::9"]
            metrics = "127.0.0.1:9000"
            [keys]
            school = "a secret of at least 32 characters"
            [limits]
            participants = 50
            "#,
        )
        .expect("the file is right");
        let settings = Settings::resolve(config, &ServeArgs::default()).expect("it makes sense");
        assert_eq!((settings.port, settings.workers), (443, 4));
        assert_eq!(settings.http, [settings.media]);
        assert_eq!(settings.limits.participants, 50);
        assert_eq!(settings.limits.tracks, LimitsConfig::default().tracks);
        assert_eq!(settings.keys.first().map(|(id, _)| id), Some("school"));
    }

    #[test]
    fn the_documentation_is_a_file_with_every_key() {
        let document = include_str!("../../../docs/configuration.md");
        let file =
            document.split("```").nth(1).and_then(|block| block.strip_prefix("toml")).expect("an example");
        let config = parse(file).expect("the example is right");
        Settings::resolve(config, &ServeArgs::default()).expect("and makes sense");
        for table in ["", "[limits]\n", "[room]\n", "[webhook]\n"] {
            let known = parse(&format!("{table}unknown = 1")).expect_err("no such key").to_string();
            for key in known.split('`').skip(3).step_by(2) {
                assert!(
                    file.contains(&format!("\n{key} = ")) || file.contains(&format!("\n[{key}]")),
                    "{key}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = parse("port = 1\n\n[limits]\nparticipnats = 3\n").expect_err("there is a typo");
        assert!(matches!(&error, ConfigError::Syntax { line: 4, .. }), "{error}");
        assert!(error.to_string().contains("participnats"), "{error}");
    }

    #[test]
    fn an_error_never_shows_a_secret() {
        for text in ["[keys]\nid = [\"hunter2\"]", "[keys]\nid = \"hunter2", "[keys]\nid = 'hunter2' x"] {
            let error = parse(text).expect_err("it is wrong").to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let config = parse("[keys]\nid = \"hunter2\"").expect("it is right");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn values_without_sense_are_errors() {
        for text in [
            "workers = 0",
            "workers = 33",
            "[keys]\nid = \"\"",
            "[keys]\nkonklave = \"a secret of at least 32 characters\"",
            "url = \"meet.example.org\"",
            "url = \"wss://meet.example.org; script-src *\"",
            "url = \"https://meet.example.org\"",
            "trusted_proxies = [\"proxy.example.org\"]",
            "[webhook]\nurls = [\"ftp://example.org\"]",
            "[webhook]\nurls = [\"/hook\"]",
        ] {
            assert!(matches!(parse(text), Err(ConfigError::Value { .. })), "{text}");
        }
    }

    #[test]
    fn development_serves_http_on_loopback_and_media_everywhere() {
        let args = ServeArgs { dev: true, port: Some(0), ..Default::default() };
        let settings = Settings::resolve(Config::default(), &args).expect("it makes sense");
        assert!(settings.http.iter().all(IpAddr::is_loopback));
        assert!(settings.media.is_unspecified());
        assert_eq!((settings.keys.first().map(|(id, _)| id), settings.port), (Some("devkey"), 0));
        let settings =
            Settings::resolve(Config::default(), &ServeArgs::default()).expect("it makes sense too");
        assert!(settings.keys.is_empty(), "no key is known to the world without --dev");
    }

    #[test]
    fn the_address_for_clients_names_its_origins() {
        let url = ServerUrl::parse("wss://media.example.org:8443/meet").expect("it is right");
        assert_eq!(url.as_str(), "wss://media.example.org:8443/meet");
        assert_eq!(url.origins(), ["wss://media.example.org:8443", "https://media.example.org:8443"]);
        assert_eq!(
            ServerUrl::parse("ws://[::1]:7880").expect("it is right").origins()[1],
            "http://[::1]:7880"
        );
    }

    #[test]
    fn development_is_never_served_to_the_network() {
        let file = parse("bind = \"0.0.0.0\"").expect("it is right");
        let dev = ServeArgs { dev: true, ..Default::default() };
        let settings = Settings::resolve(file, &dev).expect("the file's address does not count");
        assert!(settings.http.iter().all(IpAddr::is_loopback), "{:?}", settings.http);
        for (address, refused) in [("0.0.0.0", true), ("192.0.2.7", true), ("::", true), ("127.0.0.2", false)]
        {
            let args = ServeArgs { bind: address.parse().ok(), ..dev.clone() };
            let error = Settings::resolve(Config::default(), &args).err();
            assert_eq!(
                matches!(error, Some(ConfigError::OpenDevelopment(_))),
                refused,
                "{address}: {error:?}"
            );
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_for_development_only() {
        let file = |secret: &str| parse(&format!("[keys]\nschool = \"{secret}\"")).expect("it is right");
        let (short, long) = ("s".repeat(31), "s".repeat(32));
        let error = Settings::resolve(file(&short), &ServeArgs::default()).expect_err("it is short");
        assert!(matches!(&error, ConfigError::WeakSecret { id } if id == "school"), "{error}");
        assert!(!error.to_string().contains("sss"), "{error}");
        assert!(Settings::resolve(file(&long), &ServeArgs::default()).is_ok());
        let dev = ServeArgs { dev: true, ..Default::default() };
        assert!(Settings::resolve(file(&short), &dev).is_ok());
    }
}
