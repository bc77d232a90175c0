//! The description of the HTTP API, made from its types.

use protocol::api::{JoinRequest, JoinResponse, Mode};
use protocol::problem::{Code, Problem};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Konklave",
        description = "Admission to meetings.",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(crate::http::join::join),
    components(schemas(JoinRequest, JoinResponse, Mode, Problem, Code))
)]
struct Description;

/// The description as JSON, with a final newline.
pub fn json() -> String {
    let mut text = Description::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
