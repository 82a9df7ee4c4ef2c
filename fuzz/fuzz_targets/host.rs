//! What a client of the pages sends to be let in: the host of a request, and the page's token.
#![no_main]

use flukewatch_edge::page_token::PageToken;
use flukewatch_fuzz::seeds;
use flukewatch_http::{AllowedHost, AllowedHosts};
use std::net::SocketAddr;
use std::sync::LazyLock;

/// Where the request came in.
const LOCAL: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5)),
    8090,
);

static HOSTS: LazyLock<AllowedHosts> = LazyLock::new(|| {
    let listed: Vec<AllowedHost> = "boat.example".parse().into_iter().collect();
    AllowedHosts::new(Some("balaena"), listed)
});

/// Whether the host is that of the machine, as a reader of its text sees it.
fn is_own(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host.as_str(), "80"),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let own = ["localhost", "balaena", "balaena.local", "192.168.1.5"].contains(&name)
        || name.starts_with("127.")
        || name.starts_with('[');
    name == "boat.example" || (own && port.parse() == Ok(LOCAL.port()))
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            [
                "localhost:8090",
                "[::ffff:127.0.0.1]:8090",
                "boat.example",
                "evil.example:8090",
                "01ab3zab3zab3zab3zab3zab3z",
            ]
            .map(|text| text.as_bytes().to_vec())
        });
    },
    |bytes: &[u8]| {
        if HOSTS.check(bytes, LOCAL).is_ok() {
            let host = std::str::from_utf8(bytes).unwrap_or_else(|e| panic!("{e}"));
            assert!(is_own(host), "{host}");
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Ok(host) = text.parse::<AllowedHost>() {
            assert_eq!(host.to_string().parse::<AllowedHost>().map(|h| h.to_string()), Ok(host.to_string()));
        }
        if let Some(token) = PageToken::parse(text) {
            let again = PageToken::parse(token.as_str());
            assert!(again.is_some_and(|again| again == token));
        }
    }
);
