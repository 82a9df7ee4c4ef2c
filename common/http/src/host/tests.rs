use super::*;

fn hosts() -> AllowedHosts {
    let listed = ["boat.example", "proxy.example:443", "fd00::5"];
    let listed = listed.map(|h| h.parse().unwrap()).to_vec();
    AllowedHosts::new(Some("Balaena.fleet.example"), listed)
}

fn check(host: &str) -> Result<(), HostError> {
    hosts().check(host.as_bytes(), "192.168.1.5:8090".parse().unwrap())
}

#[test]
fn names_of_the_machine_and_listed_ones_are_allowed() {
    for host in [
        "localhost:8090",
        "LOCALHOST:8090",
        "localhost.:8090",
        "127.0.0.1:8090",
        "127.8.9.10:8090",
        "[::1]:8090",
        "192.168.1.5:8090",
        "[::ffff:192.168.1.5]:8090",
        "balaena.local:8090",
        "balaena.fleet.example:8090",
        "boat.example",
        "boat.example:8090",
        "Boat.Example.:9",
        "proxy.example:443",
        "[fd00::5]:8090",
    ] {
        assert_eq!(check(host), Ok(()), "{host}");
    }
}

#[test]
fn other_names_addresses_and_ports_are_not() {
    for host in [
        "evil.example:8090",
        "localhost.evil.example:8090",
        "127.0.0.1.evil.example:8090",
        "evil-localhost:8090",
        "balaena.local.evil.example:8090",
        "fleet.example:8090",
        "local:8090",
        "sub.boat.example:8090",
        "192.168.1.6:8090",
        "[fe80::1]:8090",
        "0.0.0.0:8090",
        // Another port is another program.
        "localhost",
        "localhost:8091",
        "192.168.1.5",
        "balaena.local:80",
        "proxy.example",
        "proxy.example:8090",
        // Other spellings of 127.0.0.1, which browsers never send.
        "2130706433:8090",
        "0x7f000001:8090",
        "127.1:8090",
    ] {
        assert_eq!(check(host), Err(HostError::Unknown), "{host}");
    }
    let http = hosts().check(b"localhost", "127.0.0.1:80".parse().unwrap());
    assert_eq!(http, Ok(()), "a URL without a port has port 80");
}

#[test]
fn unreadable_hosts_are_malformed() {
    let long = format!("{}:8090", "a".repeat(300));
    for host in [
        "",
        ":8090",
        ".",
        "..",
        "a..b",
        "localhost:",
        "localhost:+8090",
        "localhost:0",
        "localhost:65536",
        "localhost:8090:8090",
        "localhost:8090 ",
        " localhost:8090",
        "localhost\t",
        "user@localhost:8090",
        "localhost/..:8090",
        "localhost,evil.example",
        "[::1",
        "[::1]8090",
        "[127.0.0.1]:8090",
        "[::1%eth0]:8090",
        "::1",
        "böat:8090",
        "b\0at:8090",
        &long,
    ] {
        assert_eq!(check(host), Err(HostError::Malformed), "{host:?}");
    }
    let invalid = hosts().check(b"\xff\xfe", "127.0.0.1:80".parse().unwrap());
    assert_eq!(invalid, Err(HostError::Malformed));
}

#[test]
fn a_machine_without_a_usable_name_has_none() {
    let local = "127.0.0.1:80".parse().unwrap();
    for name in [None, Some(""), Some("a b"), Some("192.0.2.1")] {
        let hosts = AllowedHosts::new(name, vec![]);
        for host in ["a", "b", ".local", "local", "192.0.2.1"] {
            assert!(
                hosts.check(host.as_bytes(), local).is_err(),
                "{name:?} {host}"
            );
        }
        assert_eq!(hosts.check(b"localhost", local), Ok(()));
    }
}

#[test]
fn a_configured_host_is_read_and_shown() {
    for (text, shown, port) in [
        ("Boat.Example.", "boat.example", None),
        ("boat:8090", "boat", Some(8090)),
        ("192.168.1.5", "192.168.1.5", None),
        ("fd00::5", "[fd00::5]", None),
        ("[fd00::5]:80", "[fd00::5]", Some(80)),
    ] {
        let host: AllowedHost = text.parse().unwrap();
        assert_eq!((host.to_string().as_str(), host.port()), (shown, port));
    }
    for text in ["", "http://boat", "boat/", "*.example", "a b", "boat:x"] {
        assert!(text.parse::<AllowedHost>().is_err(), "{text}");
    }
}

proptest::proptest! {
    /// Whatever arrives, only the allowed names pass.
    #[test]
    fn any_bytes_are_checked(
        host in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        text in "(localhost|boat\\.example|127\\.0\\.0\\.1|\\[::1\\])?[a-z.:\\[\\]0-9@% -]{0,12}",
    ) {
        let local = "127.0.0.1:8090".parse().unwrap();
        for host in [host.as_slice(), text.as_bytes()] {
            if hosts().check(host, local).is_ok() {
                let text = String::from_utf8(host.to_vec()).unwrap().to_lowercase();
                let name = text.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
                let known = ["localhost", "boat.example", "[::1]", "[fd00::5]"].contains(&name.trim_end_matches('.'))
                    || text.starts_with("127.") || text.starts_with('[');
                proptest::prop_assert!(known, "{text}");
            }
        }
    }
}
