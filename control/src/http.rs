//! `/metrics`, `/healthz`, `/readyz`.

pub(crate) mod connections;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::Histogram;
use tokio::net::TcpListener;

use connections::Connections;

use crate::cdr::Book;
use crate::link::{Command, Link};
use crate::metrics;
use crate::ng::Service;
use crate::notify::Teller;

/// Where figures are from.
#[derive(Debug)]
pub struct Sources {
    /// Sessions, calls, and what the relay tells.
    pub link: Link,
    /// How long punts were under way.
    pub punt_latency: Histogram,
    /// Commands of proxies.
    pub ng: Arc<Service>,
    /// Call records.
    pub book: Book,
    /// What is told of calls.
    pub teller: Teller,
}

/// Serves until the program ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::new(sources));
    axum::serve(Connections::new(listener), router).await
}

async fn page(State(sources): State<Arc<Sources>>) -> Response {
    let Ok(overview) = sources.link.overview().await else { return ending() };
    match metrics::page(&overview, &sources.punt_latency, sources.ng.counters(), &sources.teller, sources.book.lost()) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(sources): State<Arc<Sources>>) -> Response {
    let Ok(overview) = sources.link.ask(|reply| Command::Overview { fresh: false, reply }).await else {
        return ending();
    };
    match overview.state() {
        "ready" => "ready\n".into_response(),
        why => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

fn ending() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "not ready: raceway-control is ending\n").into_response()
}
