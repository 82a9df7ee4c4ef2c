//! HTTP for the pages of boat and station: one server, with its limits and its checks of requests.
//!
//! [`HttpServer::serve`] answers with an axum router, within [`Limits`]: connections in total and of a
//! peer, the size of a request, and the time that each step may take. Before a request reaches the
//! router:
//!
//! - its `Host` must be an [`AllowedHosts`], so that a website whose name is made to point at this machine
//!   (DNS rebinding) reads nothing;
//! - one that changes something must not come from another site's page;
//! - its body must not be larger than allowed.
//!
//! Whatever is rejected is counted by its [`Rejection`] and logged, so that an attack is visible. Every
//! response has the headers that keep a browser from running, embedding or storing what it should not.

mod connection;
mod connection_slots;
mod cross_origin;
mod file_body;
mod guard;
mod host;
mod limits;
mod machine_name;
mod rejection;
mod security_headers;
mod server;
mod watched_stream;

pub use connection::Connection;
pub use file_body::file_body;
pub use host::{AllowedHost, AllowedHosts, HostError, InvalidHost};
pub use limits::Limits;
pub use machine_name::machine_name;
pub use rejection::{Rejection, Rejections};
pub use server::HttpServer;
