//! What clients say in the query of a signalling connection: a token, and in one of two ways who they are and what
//! they want.

use protocol::problem::Code;
use protocol::{join_request, livekit};
use serde::Deserialize;

/// The parameters that mean something here; clients send more.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    pub(super) access_token: String,
    /// Older clients name the room here too.
    pub(super) room: String,
    /// Clients with one peer connection say everything here.
    join_request: String,
    /// `1` on a resume.
    reconnect: String,
    /// On a resume: the participant's id.
    sid: String,

    // What older clients say one by one.
    auto_subscribe: String,
    adaptive_stream: String,
    sdk: String,
    version: String,
    protocol: String,
    client_protocol: String,
    os: String,
    os_version: String,
    device_model: String,
    browser: String,
    browser_version: String,
    network: String,
}

impl Parameters {
    /// All of it in the newer way.
    pub(super) fn join_request(&mut self, two_connections: bool) -> Result<livekit::JoinRequest, Code> {
        let mut request = if two_connections || self.join_request.is_empty() {
            self.spelled_out()
        } else {
            join_request::decode(&self.join_request).map_err(join_request::JoinRequestError::code)?
        };
        request.reconnect |= is_set(&self.reconnect);
        if request.participant_sid.is_empty() {
            request.participant_sid = std::mem::take(&mut self.sid);
        }
        Ok(request)
    }

    fn spelled_out(&mut self) -> livekit::JoinRequest {
        let number = |text: &str| text.parse().unwrap_or_default();
        let client_info = livekit::ClientInfo {
            sdk: sdk(&self.sdk).into(),
            version: std::mem::take(&mut self.version),
            protocol: number(&self.protocol),
            client_protocol: number(&self.client_protocol),
            os: std::mem::take(&mut self.os),
            os_version: std::mem::take(&mut self.os_version),
            device_model: std::mem::take(&mut self.device_model),
            browser: std::mem::take(&mut self.browser),
            browser_version: std::mem::take(&mut self.browser_version),
            network: std::mem::take(&mut self.network),
            ..Default::default()
        };
        livekit::JoinRequest {
            client_info: Some(client_info),
            connection_settings: Some(livekit::ConnectionSettings {
                auto_subscribe: self.auto_subscribe.is_empty() || is_set(&self.auto_subscribe),
                adaptive_stream: is_set(&self.adaptive_stream),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// Clients write `1` or `true`.
fn is_set(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

/// By the name that clients give themselves, which is the enumeration's in lower case.
fn sdk(name: &str) -> livekit::client_info::Sdk {
    let name = match name {
        "reactnative" => "REACT_NATIVE".to_owned(),
        name => name.to_ascii_uppercase(),
    };
    livekit::client_info::Sdk::from_str_name(&name).unwrap_or(livekit::client_info::Sdk::Unknown)
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    fn read(query: &str, two_connections: bool) -> Result<livekit::JoinRequest, Code> {
        let uri = format!("/rtc?{query}").parse().unwrap();
        let Query(mut parameters) = Query::<Parameters>::try_from_uri(&uri).unwrap();
        parameters.join_request(two_connections)
    }

    fn subscribes(query: &str) -> bool {
        read(query, true).unwrap().connection_settings.unwrap().auto_subscribe
    }

    #[test]
    fn an_older_client_is_understood_as_a_newer_one() {
        let query = "access_token=t&auto_subscribe=1&sdk=reactnative&version=2.1.0&protocol=9&client_protocol=1\
                     &os=ios&adaptive_stream=true&unheard_of=1";
        let request = read(query, true).unwrap();
        let (client, settings) = (request.client_info.unwrap(), request.connection_settings.unwrap());
        assert_eq!(client.sdk(), livekit::client_info::Sdk::ReactNative);
        assert_eq!((client.version.as_str(), client.protocol, client.client_protocol), ("2.1.0", 9, 1));
        assert!(settings.auto_subscribe && settings.adaptive_stream && !request.reconnect);
        assert_eq!(client.os, "ios");
    }

    #[test]
    fn tracks_are_subscribed_unless_the_client_says_no() {
        assert!(subscribes("auto_subscribe=true") && subscribes("auto_subscribe=1") && subscribes(""));
        assert!(!subscribes("auto_subscribe=0") && !subscribes("auto_subscribe=false"));
    }

    #[test]
    fn a_resume_names_the_participant() {
        let request = read("reconnect=1&sid=PA_x", true).unwrap();
        assert!(request.reconnect);
        assert_eq!(request.participant_sid, "PA_x");
    }

    #[test]
    fn nonsense_is_not_more_than_nothing() {
        let request = read("protocol=-%F0%9F%98%80&sdk=%00&auto_subscribe=maybe", true).unwrap();
        assert_eq!(request.client_info.unwrap().protocol, 0);
        assert!(!request.connection_settings.unwrap().auto_subscribe);
        assert!(read("join_request=nonsense", false).is_err());
        assert!(read("join_request=nonsense", true).is_ok(), "older clients send none");
    }
}
