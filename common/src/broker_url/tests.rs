use super::*;
use std::path::Path;

fn credentials_of(text: &str) -> Option<(String, String)> {
    let url: BrokerUrl = text.parse().unwrap();
    url.credentials.map(|c| (c.user, c.password))
}

#[test]
fn addresses_are_parsed() {
    for (text, host, port, display) in [
        (
            "mqtt://127.0.0.1:1884",
            "127.0.0.1",
            1884,
            "mqtt://127.0.0.1:1884",
        ),
        (
            "mqtt://shore.example.org",
            "shore.example.org",
            1883,
            "mqtt://shore.example.org:1883",
        ),
        ("mqtt://[::1]:1885/", "[::1]", 1885, "mqtt://[::1]:1885"),
        (
            "mqtt://[fe80::1]",
            "[fe80::1]",
            1883,
            "mqtt://[fe80::1]:1883",
        ),
        ("mqtts://shore", "shore", 8883, "mqtts://shore:8883"),
    ] {
        let url: BrokerUrl = text.parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
        assert_eq!((url.to_string().as_str(), url.credentials), (display, None));
    }
}

#[test]
fn a_password_is_parsed_and_never_shown() {
    let text = "mqtt://boat:se@cr:et@shore:99";
    let expected = Some(("boat".into(), "se@cr:et".into()));
    assert_eq!(credentials_of(text), expected);
    let url: BrokerUrl = text.parse().unwrap();
    assert_eq!(
        (url.to_string(), format!("{url:?}")),
        ("mqtt://shore:99".into(), "mqtt://shore:99".into())
    );
    assert!(!format!("{:?}", url.credentials).contains("se@cr"));
}

#[test]
fn errors_do_not_repeat_what_may_be_a_password() {
    for (bad, expected) in [
        ("", BadBrokerUrl::Scheme),
        ("127.0.0.1:1883", BadBrokerUrl::Scheme),
        ("http://boat:S3cret@shore", BadBrokerUrl::Scheme),
        ("boat:S3cret@shore", BadBrokerUrl::Scheme),
        ("mqtt://", BadBrokerUrl::Host),
        ("mqtt://:1883", BadBrokerUrl::Host),
        ("mqtt://boat:S3cret@", BadBrokerUrl::Host),
        ("mqtt://a b", BadBrokerUrl::Host),
        ("mqtt://boat:S3cret@a b", BadBrokerUrl::Host),
        ("mqtt://[::g]:1", BadBrokerUrl::Host),
        ("mqtt://[::1", BadBrokerUrl::Host),
        ("mqtt://boat:S3cret", BadBrokerUrl::Port),
        ("mqtt://shore:0", BadBrokerUrl::Port),
        ("mqtt://shore:70000", BadBrokerUrl::Port),
        ("mqtt://:S3cret@shore", BadBrokerUrl::User),
    ] {
        let error = bad.parse::<BrokerUrl>().unwrap_err();
        assert_eq!(error, expected, "{bad}");
        assert!(!error.to_string().contains("S3cret"), "{error}");
    }
}

#[test]
fn typed_text_is_redacted() {
    for (typed, shown) in [
        (
            "value 'mqtt://u:S3cret@h:1' for",
            "value 'mqtt://***@h:1' for",
        ),
        ("mqtt://u:S3@cret@", "mqtt://***@"),
        ("'mqtt://u:S3 cret@h' for", "'mqtt://***@h' for"),
        ("'mqtt://u:12 \"S3cret@h x'", "'mqtt://***@h x'"),
        ("mqtt://u:S3cret@h\nme@here", "mqtt://***@h\nme@here"),
        (
            "see http://u:S3cret@h, me@here",
            "see http://***@h, me@here",
        ),
        ("mqtt://u:S3cret", "mqtt://***"),
        (
            "mqtt://h:1883 and http://a:x",
            "mqtt://h:1883 and http://a:x",
        ),
        ("no URL", "no URL"),
    ] {
        assert_eq!(redact(typed), shown);
    }
}

/// `text` with a user, a password file and an environment.
fn login(
    text: &str,
    user: Option<&str>,
    file: Option<&Path>,
    environment: [Option<&str>; 2],
) -> Result<Option<(String, String)>, LoginError> {
    let [env_user, env_password] = environment.map(|v| v.map(str::to_owned));
    let environment = BrokerEnvironment {
        user: env_user,
        password: env_password,
        credentials_directory: None,
    };
    let sources = LoginSources {
        user,
        password_file: file,
        environment: &environment,
    };
    let url: BrokerUrl = text.parse().unwrap();
    let url = url.with_login(sources, ["--user", "--password-file"])?;
    Ok(url.credentials.map(|c| (c.user, c.password)))
}

#[test]
fn option_file_and_environment_precede_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "from file\r\nsecond line\n").unwrap();
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    let full = "mqtt://u:p@h";
    let none = [None, None];
    let both = [Some("eu"), Some("ep")];
    for (found, expected) in [
        (login("mqtt://h", None, None, none), None),
        (login(full, None, None, none), pair("u", "p")),
        (login(full, None, None, both), pair("eu", "ep")),
        (
            login(full, Some("o"), Some(&file), both),
            pair("o", "from file"),
        ),
        (
            login("mqtt://u@h", None, Some(&file), none),
            pair("u", "from file"),
        ),
        (
            login("mqtt://h", Some("o"), None, [None, Some("ep")]),
            pair("o", "ep"),
        ),
        (login("mqtt://h", Some(""), None, none), None),
    ] {
        assert_eq!(found.unwrap(), expected);
    }
}

#[test]
fn an_incomplete_login_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let none = [None, None];
    let error = login("mqtt://h", Some("o"), Some(&file), none).unwrap_err();
    assert!(matches!(error, LoginError::PasswordFile(_)), "{error}");
    let error = login("mqtt://u@h", None, None, none).unwrap_err();
    assert!(matches!(error, LoginError::UserOnly("--password-file")));
    let error = login("mqtt://h", None, None, [None, Some("S3cret")]).unwrap_err();
    assert!(matches!(error, LoginError::NoUser("--user")));
    assert!(!error.to_string().contains("S3cret"));
}

#[test]
fn the_host_name_has_no_brackets() {
    for (url, name, loopback) in [
        ("mqtt://[::1]:9", "::1", true),
        ("mqtt://127.3.2.1", "127.3.2.1", true),
        ("mqtts://Localhost", "Localhost", true),
        (
            "mqtt://localhost.example.org",
            "localhost.example.org",
            false,
        ),
        ("mqtt://192.168.1.5", "192.168.1.5", false),
    ] {
        let url: BrokerUrl = url.parse().unwrap();
        assert_eq!((url.host_name(), url.is_loopback()), (name, loopback));
    }
}
