//! The description of the HTTP API, made from its types.

use protocol::api::{JoinRequest, JoinResponse, Mode};
use protocol::channel::{
    Blob, ClosingCode, Entry, FromServer, Kind, LogState, Refusal, Submission, ToServer, Welcome,
};
use protocol::problem::{Code, Problem};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Konklave",
        description = "Admission to meetings, and the log that their members share.",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(crate::http::join::join, crate::http::channel::connect),
    components(schemas(
        JoinRequest,
        JoinResponse,
        Mode,
        Problem,
        Code,
        ToServer,
        FromServer,
        Entry,
        Kind,
        Submission,
        Welcome,
        Blob,
        LogState,
        Refusal,
        ClosingCode
    ))
)]
struct Description;

/// The description as JSON, with a final newline.
pub fn json() -> String {
    let mut text = Description::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
