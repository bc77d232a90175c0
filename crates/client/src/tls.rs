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
        let connector = tokio_tungstenite::Connector::Rustls(client_config()?);
        let opened =
            tokio_tungstenite::client_async_tls_with_config(request, stream, Some(config), Some(connector))
                .await;
        Ok(opened.map(|(socket, _)| socket))
    }
}

/// Trusts the system's root certificates, or those that the environment variable `SSL_CERT_FILE` names.
#[cfg(feature = "tls")]
fn client_config() -> Result<std::sync::Arc<rustls::ClientConfig>, ClientError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Connection(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(std::sync::Arc::new(config))
}
