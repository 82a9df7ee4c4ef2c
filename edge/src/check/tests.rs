use super::*;
use crate::sample;
use flukewatch_common::broker_url::BrokerEnvironment;
use std::path::Path;

fn boat(folder: &Path) -> std::path::PathBuf {
    sample::bundle(2)
        .save(&folder.join("whales.flukebundle"))
        .unwrap();
    std::fs::create_dir(folder.join("frames")).unwrap();
    std::fs::write(folder.join("frames/0.jpg"), "-").unwrap();
    let file = folder.join("edge.toml");
    std::fs::write(&file, include_str!("../../edge.example.toml")).unwrap();
    file
}

fn check(file: &Path) -> Vec<CheckResult> {
    check_config(file, &BrokerEnvironment::default())
}

fn parts(results: &[CheckResult]) -> Vec<(&str, bool)> {
    results.iter().map(|f| (f.part, f.ok)).collect()
}

#[test]
fn a_boat_that_will_work_passes() {
    let folder = tempfile::tempdir().unwrap();
    let results = check(&boat(folder.path()));
    let all = [
        "config", "bundle", "model", "detector", "engine", "camera", "position", "outbox",
    ]
    .map(|part| (part, true));
    assert_eq!(parts(&results), all, "{results:?}");
    assert!(
        results[1].message.contains("2 individuals on 2 photos"),
        "{results:?}"
    );
    assert!(results[2].message.contains("128 dimensions"), "{results:?}");
    assert!(
        results[3].message.starts_with("none in the bundle"),
        "{results:?}"
    );
    assert!(
        !folder.path().join("outbox").exists(),
        "a check changes nothing"
    );
}

#[test]
fn an_engine_that_is_required_and_missing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = boat(folder.path());
    let text = std::fs::read_to_string(&file).unwrap();
    let chosen = |engine: &str| {
        let text = text
            .replace("backend = \"auto\"", &format!("backend = \"{engine}\""))
            .replace("/usr/local/lib/flukewatch", "no-shims");
        std::fs::write(&file, text).unwrap();
        let results = check(&file);
        let engine = results.into_iter().find(|f| f.part == "engine").unwrap();
        (engine.ok, engine.message)
    };
    let (ok, message) = chosen("auto");
    assert!(
        ok && message.starts_with("tract for model and detector: "),
        "{message}"
    );
    let (ok, message) = chosen("tensorrt");
    assert!(
        !ok && message.contains("is required and cannot start: "),
        "{message}"
    );
    let (ok, message) = chosen("tract");
    assert!(
        ok && message.starts_with("tract for model and detector, "),
        "{message}"
    );
}

#[test]
fn an_invalid_configuration_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = boat(folder.path());
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("gap_seconds = 0.7", "gap_seconds = -2.0");
    std::fs::write(&file, &text).unwrap();
    let line = 1 + text
        .lines()
        .position(|l| l.starts_with("gap_seconds"))
        .unwrap();
    let results = check(&file);
    assert_eq!(parts(&results), [("config", false)]);
    assert!(
        results[0]
            .message
            .contains(&format!("edge.toml:{line}: [encounter] gap_seconds: ")),
        "{results:?}"
    );
}

/// The results for `part` of a check of the example after `change`.
fn messages(folder: &Path, part: &str, change: impl Fn(&str) -> String) -> Vec<(bool, String)> {
    let file = boat(folder);
    let text = change(&std::fs::read_to_string(&file).unwrap());
    std::fs::write(&file, text).unwrap();
    let found = check(&file).into_iter();
    found
        .filter(|f| f.part == part || f.part == "config" && !f.ok)
        .map(|f| (f.ok, f.message))
        .collect()
}

#[test]
fn a_missing_live_camera_fails_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "camera", |text| {
        text.replace("source = \"replay\"", "source = \"v4l2\"")
            .replace("path = \"frames\"", "path = \"/dev/no-such-camera\"")
    });
    assert_eq!(said.len(), 1, "{said:?}");
    let (ok, message) = &said[0];
    assert!(!ok && message.contains("/dev/no-such-camera"), "{message}");
}

#[test]
fn each_of_several_cameras_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let film = b"YUV4MPEG2 W4 H2 F25:1 Cmono\n";
    std::fs::write(folder.path().join("film.y4m"), film).unwrap();
    let said = messages(folder.path(), "camera", |text| {
        let second =
            "[[camera]]\nname = \"mast\"\nsource = \"replay\"\npath = \"film.y4m\"\n[encounter]";
        text.replace("[camera]", "[[camera]]")
            .replace("[encounter]", second)
    });
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].1.starts_with("'main': "), "{said:?}");
    assert!(
        said[1].0 && said[1].1.ends_with("film.y4m: video of 25 frames/s"),
        "{said:?}"
    );
}

/// Changes the example's receiver.
fn with(kind: &'static str, address: String) -> impl Fn(&str) -> String {
    move |text: &str| {
        text.replace("source = \"none\"", &format!("source = \"{kind}\""))
            .replace("address = \"\"", &format!("address = \"{address}\""))
    }
}

#[test]
fn the_receiver_is_read() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let there = std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let gga = b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*73\r\n";
        caller.write_all(gga).unwrap();
        caller
    });
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "position", with("nmea-tcp", address.clone()));
    let expected = format!("{address}: fix at 38.5000, -28.5000 (autonomous)");
    assert_eq!(said, [(true, expected)]);
    drop(there.join().unwrap());
    // The port is closed again.
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "position", with("gpsd", address.clone()));
    assert!(!said[0].0 && said[0].1.contains(&address), "{said:?}");
}

#[test]
fn datagrams_are_received() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (sent_to, stopped) = (address.clone(), stop.clone());
    let multiplexer = std::thread::spawn(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sentences = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*73\r\n";
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            // Fails while nothing listens.
            let _ = socket.send_to(sentences, &sent_to);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "position", with("nmea-udp", address.clone()));
    let expected = format!("UDP {address}: fix at 38.5000, -28.5000 (autonomous)");
    assert_eq!(said, [(true, expected)]);
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "position", |text| {
        with("nmea-udp", address.clone())(text).replace("sender = \"\"", "sender = \"192.0.2.1\"")
    });
    assert!(
        !said[0].0 && said[0].1.contains("from 192.0.2.1"),
        "{said:?}"
    );
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    multiplexer.join().unwrap();
}

/// A stand-in for a Signal K server's TCP interface: it greets, and after the subscription to this
/// boat's position sends what it remembers, then new positions.
fn serve_signalk(listener: &std::net::TcpListener) {
    use std::io::{BufRead, BufReader, Write};
    let (mut client, _) = listener.accept().unwrap();
    client
        .write_all(b"{\"name\":\"stand-in\",\"version\":\"1.7.0\",\"self\":\"vessels.urn:mrn:signalk:uuid:1\"}\r\n")
        .unwrap();
    let mut request = String::new();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    reader.read_line(&mut request).unwrap();
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    let rows = request["subscribe"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["path"] == "navigation.position"));
    for (latitude, second) in [(1.0, 0), (38.5, 1), (38.5, 2)] {
        let delta = serde_json::json!({
            "context": "vessels.urn:mrn:signalk:uuid:1",
            "updates": [{
                "$source": "nmea.GP",
                "timestamp": format!("2026-11-23T16:20:{second:02}.000Z"),
                "values": [{
                    "path": "navigation.position",
                    "value": {"latitude": latitude, "longitude": -28.5},
                }],
            }],
        });
        // The check closes the connection after the first fix.
        let _ = client.write_all(format!("{delta}\r\n").as_bytes());
    }
}

#[test]
fn a_signalk_server_is_read() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || serve_signalk(&listener));
    let folder = tempfile::tempdir().unwrap();
    let said = messages(folder.path(), "position", with("signalk", address.clone()));
    let expected = format!("{address}: fix at 38.5000, -28.5000 (autonomous)");
    assert_eq!(said, [(true, expected)]);
    server.join().unwrap();
}

#[test]
fn a_damaged_bundle_names_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    sample::bundle(2).save(&path).unwrap();
    assert!(check_bundle(&path).iter().all(|f| f.ok));
    let catalogue = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
    let catalogue = catalogue
        .into_iter()
        .find(|p| p.to_string_lossy().contains("catalogue"))
        .unwrap();
    let mut bytes = std::fs::read(&catalogue).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&catalogue, bytes).unwrap();
    let results = check_bundle(&path);
    assert_eq!(parts(&results), [("bundle", false)]);
    assert!(results[0].message.contains("catalogue"), "{results:?}");
}
