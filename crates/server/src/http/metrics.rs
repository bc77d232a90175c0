//! The counters, for a scraper on this machine.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::directory::Directory;
use crate::metrics::Metrics;

/// Content type of OpenMetrics text.
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// `GET /metrics`.
pub(crate) fn router(metrics: Metrics, directory: Arc<Directory>) -> Router {
    Router::new().route(
        "/metrics",
        get(move || async move {
            ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.render(&directory)).into_response()
        }),
    )
}
