//! The client against a real broker, and against one that speaks only MQTT 3.1.1.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_mqtt::{
    Connection, Dialer, Event, MqttErrorKind, Outgoing, Received, Session, Settings, Subscription,
    TlsFiles, Version, Will,
};
use flukewatch_test_support::mosquitto::Mosquitto;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn settings(url: &str, client_id: &str) -> Settings {
    Settings::new(url.parse().unwrap(), client_id)
}

async fn next(connection: &mut Connection) -> Event {
    timeout(PATIENCE, connection.event())
        .await
        .unwrap()
        .unwrap()
}

async fn received(connection: &mut Connection) -> Received {
    loop {
        if let Event::Received(message) = next(connection).await {
            return message;
        }
    }
}

async fn subscriber(url: &str, client_id: &str, subscription: Subscription) -> Connection {
    let settings = Settings {
        subscriptions: vec![subscription],
        ..settings(url, client_id)
    };
    let connection = Dialer::new(settings).connect(None).await.unwrap();
    assert_eq!(connection.granted(), [true]);
    connection
}

#[tokio::test]
async fn messages_arrive_and_their_tokens_return_in_order() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let mut to = subscriber(&broker.url(), "to", Subscription::at_least_once("a/#")).await;
    assert_eq!(to.version(), Version::V5);
    let mut from = Dialer::new(settings(&broker.url(), "from"))
        .connect(None)
        .await
        .unwrap();
    // More than the queue and the broker's window hold; every third has no acknowledgement.
    for number in 0..300u32 {
        let payload = number.to_string();
        let message = if number % 3 == 0 {
            Outgoing::at_most_once(format!("a/{number}"), payload)
        } else {
            Outgoing::at_least_once(format!("a/{number}"), payload)
        };
        let publisher = from.publisher().clone();
        let published = publisher.publish(message, Some(number.into()));
        let mut published = Box::pin(published);
        // Events are drained meanwhile, as in a program.
        loop {
            tokio::select! {
                done = &mut published => { done.unwrap(); break }
                event = from.event() => assert!(matches!(event, Ok(Event::Accepted(_)))),
            }
        }
        let message = received(&mut to).await;
        assert_eq!(message.topic, format!("a/{number}"));
        assert_eq!(message.payload, number.to_string().as_bytes());
        assert!(message.ack.is_none() && !message.retained);
    }
    for number in 1000..1040 {
        let message = Outgoing::at_least_once("b", "x");
        assert!(
            from.publisher()
                .try_publish(&message, Some(number))
                .unwrap()
        );
    }
    let mut accepted = vec![];
    while accepted.len() < 40 {
        if let Event::Accepted(token) = next(&mut from).await
            && token >= 1000
        {
            accepted.push(token);
        }
    }
    assert_eq!(accepted, (1000..1040).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let few = Settings {
        max_queued: 4,
        ..settings(&broker.url(), "from")
    };
    let connection = Dialer::new(few).connect(None).await.unwrap();
    let message = Outgoing::at_least_once("a", vec![0; 1000]);
    let mut queued = 0;
    while connection.publisher().try_publish(&message, None).unwrap() {
        queued += 1;
        assert!(queued < 100_000);
    }
    assert!(queued >= 4);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_to_a_persistent_session() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let mut persistent = Dialer::new(Settings {
        session: Session::Persistent(Duration::from_secs(600)),
        manual_acks: true,
        subscriptions: vec![Subscription::at_least_once("a")],
        ..settings(&broker.url(), "to")
    });
    let mut to = persistent.connect(None).await.unwrap();
    let from = Dialer::new(settings(&broker.url(), "from"))
        .connect(None)
        .await
        .unwrap();
    let publish = async |payload: &'static str| {
        let message = Outgoing::at_least_once("a", payload);
        from.publisher().publish(message, None).await.unwrap();
    };
    publish("1").await;
    publish("2").await;
    let first = received(&mut to).await;
    assert_eq!(received(&mut to).await.payload, "2");
    to.publisher()
        .acknowledge(first.ack.unwrap())
        .await
        .unwrap();
    // The acknowledgement is written before the connection ends.
    publish("3").await;
    assert_eq!(received(&mut to).await.payload, "3");
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(to);
    publish("4").await;
    let mut to = persistent.connect(None).await.unwrap();
    let mut payloads = vec![];
    for _ in 0..3 {
        let message = received(&mut to).await;
        payloads.push(String::from_utf8(message.payload.to_vec()).unwrap());
        to.publisher()
            .acknowledge(message.ack.unwrap())
            .await
            .unwrap();
    }
    assert_eq!(payloads, ["2", "3", "4"]);
}

#[tokio::test]
async fn a_group_divides_messages_among_its_members() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let shared = || Subscription {
        group: Some("ingest".into()),
        ..Subscription::at_least_once("a")
    };
    let mut one = subscriber(&broker.url(), "one", shared()).await;
    let mut two = subscriber(&broker.url(), "two", shared()).await;
    let from = Dialer::new(settings(&broker.url(), "from"))
        .connect(None)
        .await
        .unwrap();
    for _ in 0..20 {
        let message = Outgoing::at_least_once("a", "x");
        from.publisher().publish(message, None).await.unwrap();
    }
    let mut counts = [0, 0];
    while counts[0] + counts[1] < 20 {
        tokio::select! {
            _ = received(&mut one) => counts[0] += 1,
            _ = received(&mut two) => counts[1] += 1,
        }
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

#[tokio::test]
async fn a_will_is_published_when_the_connection_is_dropped() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let will = Will {
        topic: "status".into(),
        payload: "offline".into(),
    };
    let with_will = Dialer::new(settings(&broker.url(), "boat"))
        .connect(Some(will))
        .await
        .unwrap();
    drop(with_will);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = Subscription::at_least_once("status");
    let mut late = subscriber(&broker.url(), "late", status).await;
    let message = received(&mut late).await;
    assert_eq!(message.payload, "offline");
    assert!(message.retained);
}

#[tokio::test]
async fn a_rejection_is_distinguished_from_a_link_that_fails() {
    let Some(broker) = Mosquitto::with_password("boat", "secret") else {
        return;
    };
    let error = Dialer::new(settings(&broker.url(), "a"))
        .connect(None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, MqttErrorKind::NotAuthorized, "{error}");
    let url = broker.url().replace("mqtt://", "mqtt://boat:secret@");
    Dialer::new(settings(&url, "a"))
        .connect(None)
        .await
        .unwrap();

    let free = flukewatch_test_support::port::free();
    let error = Dialer::new(settings(&format!("mqtt://127.0.0.1:{free}"), "a"))
        .connect(None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, MqttErrorKind::Link, "{error}");
}

#[tokio::test]
async fn a_second_client_of_one_id_ends_the_first() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let connect = async || {
        let mut dialer = Dialer::new(settings(&broker.url(), "boat"));
        dialer.connect(None).await.unwrap()
    };
    let mut first = connect().await;
    let mut second = connect().await;
    // mosquitto 2.0.11 closes the connection without a reason.
    let error = timeout(PATIENCE, first.event()).await.unwrap().unwrap_err();
    let kinds = [MqttErrorKind::Link, MqttErrorKind::ClosedByBroker];
    assert!(kinds.contains(&error.kind), "{error}");
    let message = Outgoing::at_least_once("a", "x");
    assert!(second.publisher().try_publish(&message, Some(1)).unwrap());
    assert!(matches!(next(&mut second).await, Event::Accepted(1)));
}

#[tokio::test]
async fn packets_beyond_the_limits_of_either_side_are_reported() {
    let Some(broker) = Mosquitto::start("max_packet_size 20000\n") else {
        return;
    };
    let mut from = Dialer::new(settings(&broker.url(), "from"))
        .connect(None)
        .await
        .unwrap();
    let large = Outgoing::at_least_once("a", vec![0; 30_000]);
    assert!(from.publisher().try_publish(&large, Some(1)).unwrap());
    let error = timeout(PATIENCE, from.event()).await.unwrap().unwrap_err();
    assert_eq!(error.kind, MqttErrorKind::ClosedByBroker, "{error}");
}

#[tokio::test]
async fn a_broker_of_3_1_1_is_spoken_to_in_its_version() {
    for silent in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let broker = thread::spawn(move || serve_3_1_1_only(&listener, silent));
        let settings = Settings {
            subscriptions: vec![Subscription::at_least_once("a")],
            ..settings(&url, "a")
        };
        let mut dialer = Dialer::new(settings);
        for _ in 0..2 {
            let connection = dialer.connect(None).await.unwrap();
            assert_eq!(connection.version(), Version::V311);
        }
        let (sent_away, _open) = broker.join().unwrap();
        assert_eq!(sent_away, 1, "a broker of 3.1.1 is not asked again");
    }
}

/// Answers two clients of 3.1.1. Returns how many of MQTT 5 it sent away.
fn serve_3_1_1_only(listener: &TcpListener, silent: bool) -> (usize, Vec<TcpStream>) {
    let mut sent_away = 0;
    // Kept open: a client may read an answer and the end of its connection at once.
    let mut open = vec![];
    let mut served = 0;
    while served < 2 {
        let (mut stream, _) = listener.accept().unwrap();
        let connect = packet(&mut stream);
        // After the name of the protocol.
        if connect[6] == 5 {
            sent_away += 1;
            if !silent {
                stream.write_all(&[0x20, 2, 0, 1]).unwrap();
            }
            continue;
        }
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let subscribe = packet(&mut stream);
        let answer = [0x90, 3, subscribe[0], subscribe[1], 1];
        stream.write_all(&answer).unwrap();
        open.push(stream);
        served += 1;
    }
    (sent_away, open)
}

/// The content of the next packet, of less than 128 bytes.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut content = vec![0; header[1].into()];
    stream.read_exact(&mut content).unwrap();
    content
}

/// An authority, a server's certificate for `names` and a client's, as files.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new(names: &[&str]) -> Self {
        Self::with_keys(1, names)
    }

    /// Keys are made of numbers from `first`.
    fn with_keys(first: u8, names: &[&str]) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let folder = tempfile::tempdir().unwrap();
        // OpenSSL does not read the keys that rcgen writes, which contain the public key.
        let mut seeds = first..;
        let mut key = || {
            let seed = [seeds.next().unwrap(); 32];
            let pem = flukewatch_trust::SigningKey::from_seed(seed).to_pem();
            (KeyPair::from_pem(&pem).unwrap(), pem)
        };
        let write = |name: &str, content: String| {
            std::fs::write(folder.path().join(name), content).unwrap();
        };
        let (ca_key, _) = key();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.distinguished_name.push(DnType::CommonName, "authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write("ca.pem", ca.self_signed(&ca_key).unwrap().pem());
        let issuer = Issuer::new(ca, ca_key);
        for (name, subjects) in [("server", names), ("client", &["boat"])] {
            let (key, pem) = key();
            let subjects: Vec<String> = subjects.iter().map(|&s| s.into()).collect();
            let mut params = CertificateParams::new(subjects).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &issuer).unwrap();
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), pem);
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn broker(&self) -> Option<Mosquitto> {
        let path = |name| self.file(name).display().to_string();
        Mosquitto::start(&format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
            path("ca.pem"),
            path("server.pem"),
            path("server.key")
        ))
    }

    fn client(&self) -> TlsFiles {
        TlsFiles {
            ca: Some(self.file("ca.pem")),
            certificate: Some(self.file("client.pem")),
            key: Some(self.file("client.key")),
        }
    }
}

async fn connect_with(broker: &Mosquitto, host: &str, tls: TlsFiles) -> Result<(), String> {
    let settings = Settings {
        tls,
        subscriptions: vec![Subscription::at_least_once("a")],
        ..settings(&format!("mqtts://{host}:{}", broker.port()), "boat")
    };
    let connected = Dialer::new(settings).connect(None).await;
    connected.map(drop).map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_certificate_opens_an_encrypted_broker() {
    let certificates = Certificates::new(&["localhost", "127.0.0.1"]);
    let Some(broker) = certificates.broker() else {
        return;
    };
    for host in ["localhost", "127.0.0.1"] {
        let connected = connect_with(&broker, host, certificates.client()).await;
        assert_eq!(connected, Ok(()));
    }
    let others = Certificates::with_keys(101, &["localhost"]);
    let without = TlsFiles {
        certificate: None,
        key: None,
        ..certificates.client()
    };
    let foreign_client = TlsFiles {
        certificate: Some(others.file("client.pem")),
        key: Some(others.file("client.key")),
        ..certificates.client()
    };
    let foreign_broker = TlsFiles {
        ca: Some(others.file("ca.pem")),
        ..certificates.client()
    };
    for tls in [without, foreign_client, foreign_broker] {
        connect_with(&broker, "localhost", tls).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_the_brokers() {
    let certificates = Certificates::new(&["elsewhere.example"]);
    let Some(broker) = certificates.broker() else {
        return;
    };
    let error = connect_with(&broker, "localhost", certificates.client())
        .await
        .unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn files_that_are_missing_or_wrong_are_named() {
    let certificates = Certificates::new(&["localhost"]);
    let Some(broker) = certificates.broker() else {
        return;
    };
    let right = certificates.client();
    let junk = certificates.file("junk");
    std::fs::write(&junk, "not a certificate").unwrap();
    let missing = Path::new("/no/such/file").to_owned();
    let replaced = |ca: Option<&PathBuf>, certificate: Option<&PathBuf>, key: Option<&PathBuf>| {
        let or = |new: Option<&PathBuf>, old: &Option<PathBuf>| new.or(old.as_ref()).cloned();
        TlsFiles {
            ca: or(ca, &right.ca),
            certificate: or(certificate, &right.certificate),
            key: or(key, &right.key),
        }
    };
    for (tls, named) in [
        (replaced(Some(&missing), None, None), "/no/such/file"),
        (replaced(Some(&junk), None, None), "junk"),
        (replaced(None, Some(&junk), None), "junk"),
        (replaced(None, None, Some(&junk)), "junk"),
        (
            replaced(None, None, Some(&certificates.file("server.key"))),
            "server.key",
        ),
        (
            TlsFiles {
                key: None,
                ..right.clone()
            },
            "set together",
        ),
    ] {
        let error = connect_with(&broker, "localhost", tls).await.unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
