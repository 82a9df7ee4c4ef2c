//! What is rejected, counted and logged.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two log lines of one kind: an attacker must not fill the disk.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The longest detail that is logged, in characters: it comes from the client.
const MAX_DETAIL: usize = 80;

/// Why a connection or a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// All connections are in use.
    Connections,
    /// The peer has all the connections that one may have.
    PeerConnections,
    /// The head of a request did not arrive in time.
    SlowHead,
    /// A client did not take its response in time.
    SlowReader,
    /// A request was not answered in time, e.g. because its body did not arrive.
    SlowRequest,
    /// The head of a request is too large.
    LargeHead,
    /// The body of a request is too large.
    LargeBody,
    /// Not HTTP/1.
    Malformed,
    /// `Host` is missing, several or unreadable, or names another machine.
    Host,
    /// Another site's page tried to change something.
    CrossOrigin,
    /// The page's token is missing.
    NoToken,
    /// Not the page's token.
    WrongToken,
    /// Not the page's token, after too many wrong ones.
    TooManyTokens,
    /// The page's token cannot be read.
    TokenUnavailable,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Connections,
        Self::PeerConnections,
        Self::SlowHead,
        Self::SlowReader,
        Self::SlowRequest,
        Self::LargeHead,
        Self::LargeBody,
        Self::Malformed,
        Self::Host,
        Self::CrossOrigin,
        Self::NoToken,
        Self::WrongToken,
        Self::TooManyTokens,
        Self::TokenUnavailable,
    ];

    /// Its name in metrics, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "too_many_connections",
            Self::PeerConnections => "too_many_connections_of_peer",
            Self::SlowHead => "head_timed_out",
            Self::SlowReader => "response_timed_out",
            Self::SlowRequest => "request_timed_out",
            Self::LargeHead => "head_too_large",
            Self::LargeBody => "body_too_large",
            Self::Malformed => "malformed",
            Self::Host => "host",
            Self::CrossOrigin => "cross_origin",
            Self::NoToken => "token_missing",
            Self::WrongToken => "token_wrong",
            Self::TooManyTokens => "too_many_wrong_tokens",
            Self::TokenUnavailable => "token_unavailable",
        }
    }
}

/// Counts rejections by reason since the start, and logs them.
#[derive(Debug, Default)]
pub struct Rejections {
    counts: [AtomicU64; Rejection::ALL.len()],
    logged: Mutex<[Logged; Rejection::ALL.len()]>,
}

/// When rejections of one kind were last logged, and how many were not since.
#[derive(Clone, Copy, Debug, Default)]
struct Logged {
    last: Option<Instant>,
    unlogged: u64,
}

impl Logged {
    /// The number of rejections since the last log line, if another line is due at `now`.
    fn take_due(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL)
        {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

impl Rejections {
    /// Counts a rejection of `peer`, and logs it unless one of its kind was logged within 10 seconds.
    /// `detail` may hold text of the client; it must not hold a secret.
    pub fn record(&self, rejection: Rejection, peer: IpAddr, detail: impl fmt::Display) {
        self.counts[rejection as usize].fetch_add(1, Ordering::Relaxed);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = logged[rejection as usize].take_due(Instant::now());
        drop(logged);
        if let Some(count) = due {
            let detail: String = detail.to_string().chars().take(MAX_DETAIL).collect();
            let reason = rejection.name();
            tracing::warn!(reason, %peer, ?detail, count, "HTTP request rejected");
        }
    }

    /// How often this happened since the start.
    pub fn count(&self, rejection: Rejection) -> u64 {
        self.counts[rejection as usize].load(Ordering::Relaxed)
    }

    /// The number of rejections by reason, also where it is zero.
    pub fn counts(&self) -> impl Iterator<Item = (Rejection, u64)> {
        Rejection::ALL.into_iter().map(|r| (r, self.count(r)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_name_and_count() {
        let rejections = Rejections::default();
        for (number, rejection) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(rejection as usize, number);
            rejections.record(rejection, IpAddr::from([127, 0, 0, 1]), "");
        }
        rejections.record(
            Rejection::Host,
            IpAddr::from([127, 0, 0, 1]),
            "evil.example",
        );
        let names: BTreeSet<&str> = Rejection::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Rejection::ALL.len());
        for (rejection, count) in rejections.counts() {
            let expected = if rejection == Rejection::Host { 2 } else { 1 };
            assert_eq!(count, expected, "{rejection:?}");
        }
    }

    #[test]
    fn a_flood_is_logged_once_an_interval_with_its_number() {
        let start = Instant::now();
        let mut logged = Logged::default();
        let due: Vec<u64> = (0..2_000)
            .filter_map(|i| logged.take_due(start + LOG_INTERVAL * i / 1_000))
            .collect();
        assert_eq!(due, [1, 1_000]);
    }
}
