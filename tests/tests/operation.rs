//! Unattended operation: systemd, reload, page, and machine health.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_test_support::browser::Browser;
use flukewatch_test_support::http::{Response, get, send};
use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::program::Running;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

/// systemd's side of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    received: Vec<String>,
}

impl Manager {
    fn listen(file: &Path) -> Self {
        let socket = UnixDatagram::bind(file).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        Self {
            socket,
            received: vec![],
        }
    }

    /// All lines received so far.
    fn received(&mut self) -> &[String] {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            self.received.extend(text.lines().map(str::to_owned));
        }
        &self.received
    }

    fn count(&mut self, line: &str) -> usize {
        self.received()
            .iter()
            .filter(|l| l.starts_with(line))
            .count()
    }

    fn wait_for(&mut self, line: &str, times: usize) {
        until(line, || self.count(line) >= times);
    }
}

/// A boat with an unreachable broker and a still every 100 s.
fn idle_boat(folder: &Path) -> Boat {
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Stills(0.01), 1);
    boat.set_stills(3);
    boat
}

/// A boat with a long video of one whale, ten frames per second in real time.
fn filming_boat(folder: &Path, port: u16) -> Boat {
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Video, port);
    boat.rewrite(|text| text.replace("\"fast\"", "\"real-time\""));
    boat.set_video(&[(Some(3), 600)]);
    boat
}

/// Waits for the page's address in the log.
fn page(running: &mut Running) -> SocketAddr {
    const WORDS: &str = "page started url=http://";
    running.wait_for_log(WORDS);
    let said = running.stderr();
    let after = said.split(WORDS).last().unwrap();
    let address = after.split_whitespace().next().unwrap();
    address.parse().unwrap()
}

#[test]
fn systemd_is_notified_and_its_watchdog_pinged() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let mut manager = Manager::listen(&socket);
    let mut command = idle_boat(folder.path()).command();
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000");
    let running = Running::start(command);
    manager.wait_for("READY=1", 1);
    manager.wait_for("STATUS=", 1);
    let (pinged, since) = (manager.count("WATCHDOG=1"), Instant::now());
    manager.wait_for("WATCHDOG=1", pinged + 5);
    // Four times per timeout, so that one may be late.
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(manager.count("STOPPING=1"), 0);
    running.signal("TERM");
    manager.wait_for("STOPPING=1", 1);
    running.finish().succeeded();
    assert_eq!(manager.count("READY=1"), 1);
    let status = manager.received.iter().find(|l| l.starts_with("STATUS="));
    assert!(
        status.unwrap().contains("frames"),
        "{status:?}: {:?}",
        manager.received
    );
}

/// A stopped process sends no pings.
#[test]
fn a_stopped_boat_does_not_ping_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let mut manager = Manager::listen(&socket);
    let mut command = idle_boat(folder.path()).command();
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000");
    let running = Running::start(command);
    manager.wait_for("WATCHDOG=1", 2);
    running.signal("STOP");
    std::thread::sleep(Duration::from_millis(300));
    let before = manager.count("WATCHDOG=1");
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(manager.count("WATCHDOG=1"), before);
    running.signal("CONT");
    manager.wait_for("WATCHDOG=1", before + 1);
    running.signal("TERM");
    running.finish().succeeded();
}

/// A socket without a listener changes nothing.
#[test]
fn a_missing_service_manager_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = idle_boat(folder.path()).command();
    command
        .env("NOTIFY_SOCKET", folder.path().join("missing"))
        .env("WATCHDOG_USEC", "400000");
    let mut running = Running::start(command);
    running.wait_for_log("sequence=1");
    running.signal("TERM");
    running.finish().succeeded();
}

#[test]
fn a_reload_loses_no_sighting_and_an_invalid_configuration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = filming_boat(folder.path(), station.mqtt().port());
    let socket = folder.path().join("notify");
    let mut manager = Manager::listen(&socket);
    let mut command = boat.command();
    command.env("NOTIFY_SOCKET", &socket);
    let mut running = Running::start(command);
    manager.wait_for("READY=1", 1);
    let good = std::fs::read_to_string(boat.config()).unwrap();

    // Faults: a key that is out of range, a bundle that is damaged.
    boat.rewrite(|text| text.replace("gap_seconds = 1.0", "gap_seconds = -1.0"));
    running.signal("HUP");
    running.wait_for_log(":14: [encounter] gap_seconds: must be 0.1 to 3600, not -1");
    running.wait_for_log("keeping the current configuration");
    manager.wait_for("RELOADING=1", 1);
    manager.wait_for("READY=1", 2);
    boat.rewrite(|_| good.clone());
    let bundle = std::fs::read(boat.bundle()).unwrap();
    let mut damaged = bundle.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(boat.bundle(), damaged).unwrap();
    running.signal("HUP");
    manager.wait_for("READY=1", 3);
    assert!(running.stderr().contains("whales.flukebundle"));
    assert_eq!(
        running
            .stderr()
            .matches("keeping the current configuration")
            .count(),
        2
    );
    std::fs::write(boat.bundle(), bundle).unwrap();
    assert_eq!(boat.accepted(), 0, "the encounter is still open");

    // A valid one: the open encounter is saved, and the next has the camera's new name.
    boat.rewrite(|text| {
        text.replace("[camera]", "[camera]\nname = \"mast\"") + "\n[log]\nlevel = \"debug\"\n"
    });
    running.signal("HUP");
    running.wait_for_log("configuration applied");
    manager.wait_for("READY=1", 4);
    until("the first is accepted", || boat.accepted() == 1);

    // A valid one that cannot start: its outbox cannot be created.
    let mast = std::fs::read_to_string(boat.config()).unwrap();
    std::fs::write(folder.path().join("boat/taken"), "no folder").unwrap();
    boat.rewrite(|text| text.replace("path = \"outbox\"", "path = \"taken\""));
    running.signal("HUP");
    running.wait_for_log("cannot apply the new configuration");
    manager.wait_for("READY=1", 5);
    boat.rewrite(|_| mast);
    std::thread::sleep(Duration::from_millis(500));
    // The second configuration sets the level.
    running.wait_for_log("DEBUG");
    running.signal("TERM");
    let health = running.finish().succeeded().json();
    assert_eq!(
        (
            &health["accepted"],
            &health["reloads"],
            &health["dropped_sightings"]
        ),
        (&json!(3), &json!(1), &json!(0))
    );
    // Sends what the previous run left pending.
    boat.set_video(&[(None, 1)]);
    boat.run(40).succeeded();
    boat.assert_delivered();
    let cameras: Vec<Value> = station
        .has_all("balaena", 3)
        .iter()
        .map(|s| s["camera"].clone())
        .collect();
    assert_eq!(cameras, [json!("main"), json!("mast"), json!("mast")]);
}

/// A boat with a page and a video, and a station that has stored its first sighting.
struct Served {
    _folder: tempfile::TempDir,
    /// Held so that it runs until the test ends.
    _station: Station,
    boat: Boat,
    running: Running,
    page: SocketAddr,
}

fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = filming_boat(folder.path(), station.mqtt().port());
    boat.set_video(&[(Some(3), 8), (None, 15), (Some(77), 600)]);
    let zone = folder.path().join("boat/sensors/thermal_zone0");
    std::fs::create_dir_all(&zone).unwrap();
    std::fs::write(zone.join("type"), "cpu-thermal\n").unwrap();
    std::fs::write(zone.join("temp"), "61500\n").unwrap();
    boat.rewrite(|text| {
        text.replace("listen = \"\"", "listen = \"127.0.0.1:0\"")
            + "\n[machine]\nsensors = \"sensors\"\nlow_megabytes = 0\ncritical_megabytes = 0\n"
    });
    let mut running = Running::start(boat.command());
    let page = page(&mut running);
    Served {
        _folder: folder,
        _station: station,
        boat,
        running,
        page,
    }
}

/// The number of acknowledged sightings on board.
fn archived(page: SocketAddr) -> u64 {
    let answer = get(page, "/api/v1/health");
    let known =
        (answer.status == 200).then(|| answer.json()["outbox"]["archived_sightings"].as_u64());
    known.flatten().unwrap_or(0)
}

fn ok(response: Response, kind: &str) -> Response {
    assert_eq!(response.status, 200, "{response:?}");
    let line = format!("content-type: {kind}");
    assert!(response.head.contains(&line), "{}", response.head);
    for header in ["content-security-policy: default-src 'none'", "nosniff"] {
        assert!(response.head.contains(header), "{}", response.head);
    }
    response
}

#[test]
fn the_page_shows_view_sightings_health_and_metrics() {
    let at_sea = served();
    let page = at_sea.page;
    let html = ok(get(page, "/"), "text/html").text();
    for asset in ["/boat.css", "/boat.js"] {
        assert!(html.contains(asset));
    }
    ok(get(page, "/boat.css"), "text/css");
    ok(get(page, "/boat.js"), "text/javascript");
    for outside in ["http://", "https://", "//cdn"] {
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !html.contains(outside),
            "the page needs nothing from outside"
        );
    }

    until("shore has the first sighting and its picture", || {
        let all = get(page, "/api/v1/sightings").json();
        all[0]["picture_acknowledged"] == json!(true)
    });
    let all = ok(get(page, "/api/v1/sightings"), "application/json").json();
    let first = &all[0];
    assert_eq!(
        (&first["sequence"], &first["whale"], &first["acknowledged"]),
        (&json!(1), &json!("W03"), &json!(true))
    );
    assert!(first["candidates"].as_array().unwrap().len() > 1);
    let id = first["id"].as_str().unwrap();
    let crop = ok(
        get(page, &format!("/api/v1/sightings/{id}.jpg")),
        "image/jpeg",
    );
    assert!(image::load_from_memory(&crop.body).unwrap().width() >= 128);

    // A frame without boxes is only decoded for a preview.
    let view = ok(get(page, "/api/v1/cameras/0/preview.jpg"), "image/jpeg");
    let view = image::load_from_memory(&view.body).unwrap().to_rgb8();
    assert_eq!(view.dimensions(), (208, 104));
    until("a frame with the second whale has its box drawn", || {
        let view = get(page, "/api/v1/cameras/0/preview.jpg");
        let view = image::load_from_memory(&view.body).unwrap().to_rgb8();
        let [red, green, blue] = view.get_pixel(41, 50).0;
        red > 150 && green < 130 && blue < 110
    });
    let snapshot = ok(get(page, "/api/v1/cameras/0/snapshot.jpg"), "image/jpeg");
    assert!(
        snapshot
            .head
            .contains("content-disposition: attachment; filename=\"main.jpg\"")
    );
    let snapshot = image::load_from_memory(&snapshot.body).unwrap().to_rgb8();
    let [red, _, blue] = snapshot.get_pixel(41, 50).0;
    assert!(
        red.abs_diff(blue) < 40,
        "boxes must not be drawn on a snapshot"
    );

    until("the document has the first sighting", || {
        archived(page) == 1
    });
    let status = ok(get(page, "/api/v1/status"), "application/json").json();
    assert_eq!(status["boat"], "balaena");
    assert_eq!(status["cameras"], json!(["main"]));
    assert_eq!(status["severity"], "ok", "{status}");
    let health = ok(get(page, "/api/v1/health"), "application/json").json();
    assert_eq!(health["machine"]["temperatures"][0]["celsius"], 61.5);
    assert_eq!(health["outbox"]["archived_sightings"], 1);
    assert_eq!(get(page, "/healthz").text(), "ok\n");
    let metrics = ok(get(page, "/metrics"), "text/plain; version=0.0.4").text();
    for line in [
        "flukewatch_temperature_celsius{sensor=\"cpu-thermal\"} 61.5",
        "flukewatch_sightings_accepted_total 1",
        "flukewatch_broker_connected 1",
        "flukewatch_camera_state{camera=\"main\",state=\"replaying\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}:\n{metrics}");
    }

    for nothing in [
        "/api/v1/cameras/1/preview.jpg",
        "/api/v1/cameras/-1/preview.jpg",
        "/api/v1/cameras/99999999999999999999/preview.jpg",
        "/api/v1/sightings/../../edge.toml",
        "/api/v1/sightings/%2e%2e%2foutbox.lock.jpg",
        "/api/v1/sightings/00000000-0000-0000-0000-000000000000.jpg",
        "/edge.toml",
    ] {
        let answer = get(page, nothing);
        assert_eq!(answer.status, 404, "{nothing}: {answer:?}");
    }
    at_sea.running.signal("TERM");
    at_sea.running.finish().succeeded();
    assert!(TcpStream::connect(page).is_err(), "the port is free again");
}

#[test]
fn hostile_clients_cannot_stop_the_boat() {
    let mut at_sea = served();
    let page = at_sea.page;
    let host = format!("Host: {page}\r\n");
    let long = "x".repeat(40_000);
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    for (request, allowed) in [
        (
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
            &[400, 414, 431][..],
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"),
            &[400, 431],
        ),
        (format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), &[400, 431]),
        (
            format!("POST / HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: 3\r\n\r\nabc"),
            &[405],
        ),
        (
            format!("DELETE /api/v1/sightings HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            &[405],
        ),
        ("\0\u{1}\u{2}\r\n\r\n".to_owned(), &[400]),
    ] {
        let shown: String = request.chars().take(40).collect();
        if let Some(response) = send(page, &request) {
            assert!(allowed.contains(&response.status), "{shown}: {response:?}");
        }
    }
    // A website whose name is made to point at the boat.
    let rebound = send(
        page,
        "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(rebound.unwrap().status, 421);
    // Half-sent and idle requests of one client: some are cut at once, the others once they time out.
    let mut slow: Vec<TcpStream> = (0..40)
        .map(|i| {
            let mut stream = TcpStream::connect(page).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            if i % 2 == 0 {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: b");
            }
            stream
        })
        .collect();
    assert!(at_sea.running.is_running());
    for stream in &mut slow {
        let ended = stream.read_to_end(&mut vec![]).map_err(|e| e.kind());
        assert!(
            !matches!(ended, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)),
            "a slow connection is never closed"
        );
    }
    assert_eq!(get(page, "/healthz").status, 200);
    let metrics = get(page, "/metrics").text();
    for (reason, at_least) in [
        ("head_too_large", 3),
        ("malformed", 1),
        ("host", 1),
        ("too_many_connections_of_peer", 20),
        ("head_timed_out", 1),
    ] {
        let name = format!("flukewatch_page_rejected_requests_total{{reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|l| l.strip_prefix(&name));
        assert!(
            count.unwrap().parse::<u64>().unwrap() >= at_least,
            "{reason}: {metrics}"
        );
    }
    at_sea.running.wait_for_log("HTTP request rejected");
    at_sea.running.signal("TERM");
    at_sea.running.finish().succeeded();
}

#[test]
fn heat_and_a_full_disk_are_reported() {
    let mut at_sea = served();
    let page = at_sea.page;
    let temp = at_sea
        .boat
        .config()
        .with_file_name("sensors/thermal_zone0/temp");
    std::fs::write(&temp, "97000\n").unwrap();
    until("healthz reports the heat", || {
        let answer = get(page, "/healthz");
        answer.status == 503 && answer.text().contains("temperature: cpu-thermal: 97 °C")
    });
    at_sea.running.wait_for_log("computer overheating");
    std::fs::write(&temp, "50000\n").unwrap();
    until("healthz recovers", || get(page, "/healthz").status == 200);
    at_sea.running.wait_for_log("computer temperature normal");
    until("shore has the first sighting", || archived(page) > 0);
    // No disk is this large.
    at_sea
        .boat
        .rewrite(|text| text.replace("low_megabytes = 0", "low_megabytes = 900000000"));
    at_sea
        .boat
        .rewrite(|text| text.replace("critical_megabytes = 0", "critical_megabytes = 900000000"));
    at_sea.running.signal("HUP");
    at_sea.running.wait_for_log("disk nearly full");
    until("the archive is emptied first", || archived(page) == 0);
    at_sea.running.signal("TERM");
    at_sea.running.finish().succeeded();
}

/// A receiver that sends nothing: health says so, and sightings have no position.
#[test]
fn a_silent_receiver_loses_no_sighting() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = filming_boat(folder.path(), station.mqtt().port());
    boat.set_video(&[(Some(3), 25), (None, 15), (Some(2), 5)]);
    let address = receiver.local_addr().unwrap();
    boat.rewrite(|text| {
        text + &format!(
            "\n[position]\nsource = \"nmea-tcp\"\naddress = \"{address}\"\ntimeout_seconds = 1.0\n"
        )
    });
    let health = boat.run(40).succeeded().json();
    assert_eq!(health["position"]["state"], "timed_out", "{health}");
    for sighting in station.has_all("balaena", 2) {
        assert_eq!(sighting["position"], Value::Null, "{sighting}");
    }
}

#[test]
fn the_log_has_its_level_and_format() {
    let folder = tempfile::tempdir().unwrap();
    let boat = idle_boat(folder.path());
    boat.rewrite(|text| text + "\n[log]\nlevel = \"warn\"\nformat = \"json\"\n");
    let ended = |arguments: &[&str]| {
        let mut command = boat.command();
        command.args(arguments).args(["--until-delivered", "0"]);
        boat.set_frames(std::iter::empty());
        boat.set_stills(1);
        Running::start(command).finish().stderr
    };
    let json = ended(&["--log", "info"]);
    let started = json
        .lines()
        .find(|l| l.contains("session started"))
        .unwrap();
    let started: Value = serde_json::from_str(started).unwrap();
    assert_eq!(started["level"], "INFO");
    assert_eq!(started["boat"], "balaena");
    assert!(!ended(&[]).contains("session started"));
    let journal = ended(&["--log", "info", "--log-format", "journal"]);
    assert!(
        journal.lines().any(|l| l.starts_with("<6>session started")),
        "{journal}"
    );
    let output = ended(&["--log", "flukewatch=loud"]);
    assert!(
        output.starts_with("error: invalid log filter 'flukewatch=loud'"),
        "{output}"
    );
}

#[test]
fn a_browser_shows_the_boat_and_escapes_names() {
    let Some(browser) = Browser::installed() else {
        return;
    };
    let at_sea = served();
    let before = at_sea.page;
    until("shore has the first sighting and its picture", || {
        get(before, "/api/v1/sightings").json()[0]["picture_acknowledged"] == json!(true)
    });
    at_sea.running.signal("TERM");
    at_sea.running.finish().succeeded();
    at_sea
        .boat
        .rewrite(|text| text.replace("[camera]", "[camera]\nname = \"<i id='evil'>\""));
    let mut running = Running::start(at_sea.boat.command());
    let dom = browser.dom(page(&mut running), "/", Duration::from_secs(6));
    for words in [
        "balaena",
        "<strong>W03</strong>",
        "✓ delivered",
        "camera &lt;i id='evil'&gt;",
        "replay",
        "cpu-thermal: 62 °C",
        "src=\"blob:http://127.0.0.1:",
    ] {
        assert!(dom.contains(words), "{words}: {dom}");
    }
    running.signal("TERM");
    running.finish().succeeded();
}
