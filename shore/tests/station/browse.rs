//! Requests to the station, from its own runtime.

use flukewatch_test_support::http::{self, Response};
use std::net::SocketAddr;

/// The response to `GET path`, which is sent as it stands.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || http::get(address, &path))
        .await
        .unwrap()
}
