//! The WebSocket handshake, over TLS for `wss` addresses if compiled in (feature `tls`).

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::error::ClientError;

/// A WebSocket with or without TLS.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket on a TCP connection. The inner error is the handshake's.
///
/// # Errors
/// [`ClientError::Address`] if TLS is wanted and not compiled in.
pub(crate) async fn open(
    request: Request,
    stream: TcpStream,
    config: WebSocketConfig,
    tls: bool,
) -> Result<Result<Socket, WsError>, ClientError> {
    if !tls {
        let stream = MaybeTlsStream::Plain(stream);
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        return Ok(opened.map(|(socket, _)| socket));
    }
    #[cfg(not(feature = "tls"))]
    return Err(ClientError::Address("compiled without TLS".into()));
    #[cfg(feature = "tls")]
    {
        let opened =
            tokio_tungstenite::client_async_tls_with_config(request, stream, Some(config), None).await;
        Ok(opened.map(|(socket, _)| socket))
    }
}
