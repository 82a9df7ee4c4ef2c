//! The MQTT client of boat and station: version 5 where the broker speaks it, else 3.1.1; plain or
//! over TLS, with a client certificate where the broker asks for one.
//!
//! A [`Connection`] is one connection from its start to its end: it does not reconnect by itself, so
//! that its user decides what is sent again. Programs use this crate only; the library behind it can be
//! replaced without them.
//!
//! ```no_run
//! use flukewatch_mqtt::{Dialer, Event, MqttError, Outgoing, Settings, Subscription};
//!
//! # async fn run() -> Result<(), MqttError> {
//! let broker = "mqtt://127.0.0.1:1883".parse().expect("a URL");
//! let settings = Settings {
//!     subscriptions: vec![Subscription::at_least_once("boats/+/sighting")],
//!     ..Settings::new(broker, "example")
//! };
//! let mut connection = Dialer::new(settings).connect(None).await?;
//! connection.publisher().publish(Outgoing::at_least_once("boats/a/sighting", "whale"), None).await?;
//! while let Event::Received(message) = connection.event().await? {
//!     println!("{}: {} bytes", message.topic, message.payload.len());
//! }
//! # Ok(())
//! # }
//! ```

mod blank_session;
mod client;
mod connection;
mod dialer;
mod error;
mod event;
mod event_loop;
mod message;
mod publisher;
mod settings;
mod tls;
mod v311;
mod v5;

pub use connection::Connection;
pub use dialer::Dialer;
pub use error::{MqttError, MqttErrorKind};
pub use event::{AckHandle, Event, Received};
pub use message::Outgoing;
pub use publisher::Publisher;
pub use settings::{Session, Settings, Subscription, Version, Will};
pub use tls::{TlsError, TlsFiles};
