use super::*;
use std::path::Path;

fn config(folder: &Path, page: &str) -> Config {
    let text = format!(
        "[boat]\nname = \"balaena\"\n[bundle]\npath = \"b\"\nallow_unsigned = true\n[camera]\nsource = \"stills\"\npath = \"frames\"\n\
         [outbox]\npath = \"outbox\"\n[uplink]\nbroker = \"mqtt://127.0.0.1:9\"\n[page]\n{page}\n"
    );
    Config::parse(&text, &folder.join("edge.toml")).unwrap()
}

/// What a phone reads from a console with `lines`.
fn scanned(lines: &[&str]) -> String {
    let side = lines[0].chars().count();
    // A half block has two modules, one below the other; drawn is light.
    let drawn = |x: usize, y: usize| {
        let block = lines.get(y / 2).and_then(|l| l.chars().nth(x));
        match (block, y % 2) {
            (Some('█'), _) | (Some('▀'), 0) | (Some('▄'), 1) => 255,
            _ => 0,
        }
    };
    let scale = 4;
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(
        side * scale,
        lines.len() * 2 * scale,
        |x, y| drawn(x / scale, y / scale),
    );
    let codes = image.detect_grids();
    assert_eq!(codes.len(), 1);
    codes[0].decode().unwrap().1
}

#[test]
fn the_code_on_the_console_is_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "listen = \"192.0.2.7:8090\"");
    let link = page_link(&config, &LinkOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let token = TokenFile::of_outbox(&config.outbox.path)
        .read_or_create()
        .unwrap();
    assert_eq!(
        link.url,
        format!("http://192.0.2.7:8090/?token={}", token.as_str())
    );
    assert!(link.is_required);
    let shown = link.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..2], [link.url.as_str(), ""]);
    assert_eq!(scanned(&lines[2..]), link.url);
    assert!(
        lines.iter().all(|l| l.chars().count() <= 80),
        "fits a console"
    );
}

#[test]
fn the_host_is_the_given_one_then_a_listed_one() {
    let folder = tempfile::tempdir().unwrap();
    let listed = config(
        folder.path(),
        "listen = \"0.0.0.0:8090\"\nhosts = [\"boat.example\"]",
    );
    let url = |options: &LinkOptions| page_link(&listed, options).ok().unwrap().url;
    assert!(url(&LinkOptions::default()).starts_with("http://boat.example:8090/?token="));
    for (host, shown) in [
        ("10.42.0.1", "10.42.0.1:8090"),
        ("fd00::1", "[fd00::1]:8090"),
        ("gateway:80", "gateway:80"),
    ] {
        let options = LinkOptions {
            host: Some(host.parse().unwrap()),
            renew: false,
        };
        assert!(
            url(&options).starts_with(&format!("http://{shown}/?token=")),
            "{host}"
        );
    }
}

#[test]
fn renewing_makes_another_token() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "listen = \"127.0.0.1:8090\"");
    let url = |renew| {
        let options = LinkOptions {
            host: "boat".parse().ok(),
            renew,
        };
        let link = page_link(&config, &options).ok().unwrap();
        assert!(!link.is_required, "loopback asks for none");
        link.url
    };
    let first = url(false);
    assert_eq!(first, url(false));
    let second = url(true);
    assert_ne!(first, second);
    assert_eq!(second, url(false));
}

#[test]
fn a_boat_without_a_page_has_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "listen = \"\"");
    let error = page_link(&config, &LinkOptions::default()).err().unwrap();
    assert!(matches!(error, TokenError::NoPage), "{error}");
    assert!(!config.outbox.path.exists());
}
