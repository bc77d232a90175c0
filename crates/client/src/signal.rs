//! The signalling connection: protobuf messages in binary WebSocket frames.

use std::time::Duration;

use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::livekit::{self, signal_request, signal_response};
use protocol::prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::error::ClientError;
use crate::join::ServerAddress;

/// Largest frame taken from a server.
const MAX_FRAME: usize = 8 << 20;

/// Bytes of an HTTP error's text that are kept.
const MAX_ERROR_TEXT: usize = 2 << 10;

/// Messages that may wait for a server that does not read.
const OUTBOX: usize = 256;

/// How long the last messages may take to get out when the client leaves.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What came over the WebSocket.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Box<signal_response::Message>),
    /// A frame that is no signalling message.
    Garbage,
    /// The connection is over.
    End(String),
}

/// An open signalling connection.
#[derive(Debug)]
pub(crate) struct Signal {
    incoming: SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    outbox: mpsc::Sender<Message>,
    writer: JoinHandle<()>,
}

impl Signal {
    /// Opens the connection; the caller bounds the time.
    pub(crate) async fn connect(
        address: &ServerAddress,
        join_request: &str,
        token: &str,
        token_in_query: bool,
    ) -> Result<Self, ClientError> {
        let url = address.websocket(join_request, token_in_query.then_some(token));
        let mut request =
            url.into_client_request().map_err(|error| ClientError::Address(error.to_string()))?;
        if !token_in_query {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| ClientError::Address("the token does not fit into a header".into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert("Authorization", value);
        }
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| ClientError::Connection(error.to_string()))?;
        // Signalling messages are small and wait for answers.
        stream.set_nodelay(true)?;
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let socket = crate::tls::open(request, stream, config, address.tls).await?.map_err(refused)?;
        let (mut sink, incoming) = socket.split();
        let (outbox, mut waiting) = mpsc::channel::<Message>(OUTBOX);
        let writer = tokio::spawn(async move {
            while let Some(message) = waiting.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            // A server that no longer answers does not matter any more.
            let _ = sink.close().await;
        });
        Ok(Self { incoming, outbox, writer })
    }

    /// The next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            match self.incoming.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    return match livekit::SignalResponse::decode(bytes) {
                        Ok(livekit::SignalResponse { message: Some(message) }) => {
                            Incoming::Message(Box::new(message))
                        }
                        _ => Incoming::Garbage,
                    };
                }
                Some(Ok(Message::Text(_))) => return Incoming::Garbage,
                Some(Ok(Message::Close(frame))) => {
                    return Incoming::End(frame.map_or_else(|| "closed".into(), |frame| frame.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Incoming::End(error.to_string()),
                None => return Incoming::End("closed".into()),
            }
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the server has not read for long, or the connection is over.
    pub(crate) fn send(&self, message: signal_request::Message) -> Result<(), String> {
        let request = livekit::SignalRequest { message: Some(message) };
        self.send_raw(Message::Binary(request.encode_to_vec().into()))
    }

    /// Sends any frame.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) fn send_raw(&self, message: Message) -> Result<(), String> {
        self.outbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => "the server does not read".to_owned(),
            mpsc::error::TrySendError::Closed(_) => "the connection is closed".to_owned(),
        })
    }

    /// Sends what waits, then a close frame.
    pub(crate) async fn close(self) {
        drop(self.outbox);
        let mut writer = self.writer;
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut writer).await.is_err() {
            writer.abort();
        }
    }

    /// Closes the socket without a word.
    pub(crate) fn abort(self) {
        self.writer.abort();
    }
}

fn refused(error: WsError) -> ClientError {
    match error {
        WsError::Http(response) => {
            let status = response.status().as_u16();
            let mut body = response.into_body().unwrap_or_default();
            body.truncate(MAX_ERROR_TEXT);
            ClientError::Refused { status, body: String::from_utf8_lossy(&body).into_owned() }
        }
        other => ClientError::Connection(other.to_string()),
    }
}
