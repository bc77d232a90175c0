//! The address of a signalling connection.

use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::ClientError;

/// The protocol number that current SDKs announce (measured: JS 17, Python 18).
pub(crate) const PROTOCOL: i32 = 17;

/// Where the signalling of a server is: `ws` or `wss` scheme, authority and path before `/rtc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    authority: String,
    prefix: String,
}

impl ServerAddress {
    /// Reads `ws://`, `wss://`, `http://` or `https://` addresses; a path before `/rtc` is kept.
    pub(crate) fn parse(url: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self {
            tls,
            host,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The WebSocket address for a join; `token` only if it travels in the query.
    pub(crate) fn websocket(&self, join_request: &str, token: Option<&str>) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let token = token.map(|token| format!("&access_token={}", escape(token))).unwrap_or_default();
        format!(
            "{scheme}://{}{}/rtc/v1?join_request={}{token}",
            self.authority,
            self.prefix,
            escape(join_request)
        )
    }
}

/// Percent-encodes what does not stand for itself in a path or a query (RFC 3986 section 2.3).
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_schemes_lead_to_the_signalling_path() {
        let plain = ServerAddress::parse("http://127.0.0.1:7880").unwrap();
        assert_eq!(
            plain.websocket("Yg==", Some("a.b_c")),
            "ws://127.0.0.1:7880/rtc/v1?join_request=Yg%3D%3D&access_token=a.b_c"
        );
        let prefixed = ServerAddress::parse("wss://[::1]/meet/").unwrap();
        assert_eq!((prefixed.host.as_str(), prefixed.port, prefixed.tls), ("::1", 443, true));
        assert_eq!(prefixed.websocket("Yg", None), "wss://[::1]/meet/rtc/v1?join_request=Yg");
        for bad in ["", "127.0.0.1:7880", "ftp://host", "ws://"] {
            assert_eq!(ServerAddress::parse(bad).unwrap_err().code(), "address", "{bad}");
        }
    }
}
