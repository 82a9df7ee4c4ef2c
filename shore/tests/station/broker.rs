//! The embedded broker against slow, misbehaving or broken clients.

use flukewatch_shore::broker::{Broker, BrokerError, Limits, OversizedPacket};
use rumqttc_v4::{
    AckMode, AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, Publish, PublishOptions,
    QoS, SubscribeFilter,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(20);

async fn start_broker(limits: Limits) -> (Broker, mpsc::Receiver<OversizedPacket>) {
    let (report, oversized) = mpsc::channel(8);
    (
        Broker::start("127.0.0.1:0".parse().unwrap(), limits, report)
            .await
            .unwrap(),
        oversized,
    )
}

fn client(address: SocketAddr, name: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(name, (address.ip().to_string(), address.port()));
    options
        .set_max_packet_size(300_000, 300_000)
        .set_ack_mode(AckMode::Manual)
        .set_keep_alive(10);
    AsyncClient::builder(options).capacity(200).build()
}

/// The next message, unacknowledged.
async fn message(events: &mut EventLoop) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(p)) =
            timeout(TIMEOUT, events.poll()).await.unwrap().unwrap()
        {
            return p;
        }
    }
}

async fn subscribe(client: &AsyncClient, events: &mut EventLoop, filters: &[&str]) {
    let filters = filters
        .iter()
        .map(|f| SubscribeFilter::new((*f).to_owned(), QoS::AtLeastOnce));
    client.subscribe_many(filters).await.unwrap();
    while !matches!(
        timeout(TIMEOUT, events.poll()).await.unwrap().unwrap(),
        Event::Incoming(Packet::SubAck(_))
    ) {}
}

/// A raw connection after CONNECT.
async fn raw(address: SocketAddr, name: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(&[
            0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, name,
        ])
        .await
        .unwrap();
    let mut response = [0; 4];
    stream.read_exact(&mut response).await.unwrap();
    assert_eq!(response, [0x20, 2, 0, 0]);
    stream
}

async fn closed(stream: &mut TcpStream) -> bool {
    let mut rest = vec![];
    timeout(TIMEOUT, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

#[tokio::test]
async fn the_largest_message_is_delivered_intact() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribe(&shore, &mut arriving, &["a/+"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    let payload: Vec<u8> = (0..flukewatch_common::wire::MAX_MESSAGE)
        .map(|i| (i % 251) as u8)
        .collect();
    boat.publish(
        "a/b",
        payload.clone(),
        PublishOptions::new(QoS::AtLeastOnce),
    )
    .await
    .unwrap();
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    let got = message(&mut arriving).await;
    assert_eq!(
        (&got.topic[..], got.qos, got.payload == payload),
        (&b"a/b"[..], QoS::AtLeastOnce, true)
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_full_in_flight_window_delays_delivery_until_acknowledged() {
    let (broker, _oversized) = start_broker(Limits {
        max_in_flight: 3,
        ..Limits::default()
    })
    .await;
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribe(&shore, &mut arriving, &["a"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    for n in 0..10u8 {
        boat.publish("a", [n], PublishOptions::new(QoS::AtLeastOnce))
            .await
            .unwrap();
    }
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    let mut received = vec![];
    for _ in 0..3 {
        received.push(message(&mut arriving).await);
    }
    assert!(
        timeout(Duration::from_millis(300), message(&mut arriving))
            .await
            .is_err(),
        "a fourth message was delivered"
    );
    shore.ack(&received[0]).await.unwrap();
    received.push(message(&mut arriving).await);
    for n in 1..10 {
        shore.ack(&received[n]).await.unwrap();
        if received.len() < 10 {
            received.push(message(&mut arriving).await);
        }
    }
    assert_eq!(
        received.iter().map(|p| p.payload[0]).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_non_reading_client_is_evicted_and_does_not_block_others() {
    let limits = Limits {
        max_in_flight: 1,
        max_queued_messages: 1,
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let (broker, _oversized) = start_broker(limits).await;
    let mut idle = raw(broker.address(), b'i').await;
    idle.write_all(&[0x82, 6, 0, 1, 0, 1, b'a', 1])
        .await
        .unwrap();
    let mut response = [0; 5];
    idle.read_exact(&mut response).await.unwrap();
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribe(&shore, &mut arriving, &["a"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    for n in 0..6u8 {
        boat.publish("a", [n], PublishOptions::new(QoS::AtLeastOnce))
            .await
            .unwrap();
    }
    for n in 0..6u8 {
        let got = message(&mut arriving).await;
        assert_eq!(got.payload[0], n);
        shore.ack(&got).await.unwrap();
    }
    assert!(closed(&mut idle).await);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_newer_connection_takes_over_the_session_of_its_client_id() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let mut older = raw(broker.address(), b'x').await;
    let mut newer = raw(broker.address(), b'x').await;
    assert!(closed(&mut older).await);
    newer.write_all(&[0xc0, 0]).await.unwrap();
    let mut pong = [0; 2];
    newer.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0xd0, 0]);
    broker.shutdown().await;
}

/// Publishes a retained message and waits until the broker has it.
async fn retain(client: &AsyncClient, events: &mut EventLoop, topic: &str, payload: &str) {
    client
        .publish(
            topic,
            payload,
            PublishOptions::new(QoS::AtLeastOnce).retained(),
        )
        .await
        .unwrap();
    while !matches!(
        timeout(TIMEOUT, events.poll()).await.unwrap().unwrap(),
        Event::Incoming(Packet::PubAck(_))
    ) {}
}

#[tokio::test]
async fn a_later_subscriber_gets_the_last_retained_message() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    for (topic, payload) in [("a/1", "old"), ("a/1", "new"), ("b/1", "-"), ("a/2", "x")] {
        retain(&boat, &mut leaving, topic, payload).await;
    }
    retain(&boat, &mut leaving, "a/2", "").await;

    let (shore, mut arriving) = client(broker.address(), "shore");
    shore.subscribe("a/+", QoS::AtLeastOnce).await.unwrap();
    let got = message(&mut arriving).await;
    assert_eq!(
        (&got.topic[..], &got.payload[..], got.retain, got.qos),
        (&b"a/1"[..], &b"new"[..], true, QoS::AtLeastOnce)
    );
    // As it is published, it is not marked.
    retain(&boat, &mut leaving, "a/1", "newest").await;
    let got = message(&mut arriving).await;
    assert_eq!((&got.payload[..], got.retain), (&b"newest"[..], false));
    assert!(
        timeout(Duration::from_millis(300), message(&mut arriving))
            .await
            .is_err(),
        "the deleted message, or one of another topic, was delivered"
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn a_last_will_is_published_unless_the_client_disconnects() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribe(&shore, &mut arriving, &["will/+"]).await;
    let with_will = |name: &str| {
        let mut options = MqttOptions::new(name, ("127.0.0.1", broker.address().port()));
        let topic = format!("will/{name}");
        options.set_last_will(LastWill::new(topic, name, QoS::AtLeastOnce, true));
        AsyncClient::builder(options).capacity(10).build()
    };
    for name in ["polite", "abrupt", "taken-over"] {
        let (client, mut events) = with_will(name);
        while !matches!(
            timeout(TIMEOUT, events.poll()).await.unwrap().unwrap(),
            Event::Incoming(Packet::ConnAck(_))
        ) {}
        match name {
            "polite" => {
                client.disconnect().await.unwrap();
                while timeout(TIMEOUT, events.poll()).await.unwrap().is_ok() {}
            }
            "abrupt" => drop(events),
            _ => {
                // Another client with the same id.
                let (_newer, mut newer) = self::client(broker.address(), name);
                let connected = timeout(TIMEOUT, newer.poll()).await.unwrap();
                assert!(connected.is_ok());
                while timeout(TIMEOUT, events.poll()).await.unwrap().is_ok() {}
            }
        }
    }
    for expected in ["will/abrupt", "will/taken-over"] {
        assert_eq!(message(&mut arriving).await.topic, expected);
    }
    // It is retained.
    let (late, mut arriving) = client(broker.address(), "late");
    late.subscribe("will/abrupt", QoS::AtLeastOnce)
        .await
        .unwrap();
    let got = message(&mut arriving).await;
    assert_eq!((&got.payload[..], got.retain), (&b"abrupt"[..], true));
    broker.shutdown().await;
}

#[tokio::test]
async fn an_invalid_filter_is_rejected() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let mut client = raw(broker.address(), b'1').await;
    // "a" and "b" are valid, "a#" is not.
    client
        .write_all(&[
            0x82, 15, 0, 9, 0, 1, b'a', 1, 0, 1, b'b', 1, 0, 2, b'a', b'#', 1,
        ])
        .await
        .unwrap();
    let mut response = [0; 7];
    client.read_exact(&mut response).await.unwrap();
    assert_eq!(response, [0x90, 5, 0, 9, 1, 1, 0x80]);
    broker.shutdown().await;
}

#[tokio::test]
async fn an_address_that_other_machines_reach_is_rejected() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1883"] {
        let (report, _oversized) = mpsc::channel(1);
        let started = Broker::start(address.parse().unwrap(), Limits::default(), report).await;
        let error = started.unwrap_err();
        assert!(matches!(error, BrokerError::NotLoopback(_)), "{error}");
    }
}

#[tokio::test]
async fn an_oversized_packet_is_reported_and_closes_only_its_own_connection() {
    let (broker, mut oversized) = start_broker(Limits {
        max_packet_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let mut well_behaved = raw(broker.address(), b'h').await;
    let mut misbehaving = raw(broker.address(), b'r').await;
    misbehaving
        .write_all(&[0x32, 0xe9, 0x07, 0, 1, b'a'])
        .await
        .unwrap();
    assert!(closed(&mut misbehaving).await);
    let report = oversized.recv().await.unwrap();
    assert_eq!(
        (
            report.client_id.as_str(),
            report.bytes,
            report.head.starts_with(&[0x32, 0xe9, 0x07])
        ),
        ("r", 1001, true)
    );
    well_behaved.write_all(&[0xc0, 0]).await.unwrap();
    well_behaved.read_exact(&mut [0; 2]).await.unwrap();
    broker.shutdown().await;
}

#[tokio::test]
async fn non_ascii_client_ids_and_topics_are_accepted() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let (shore, mut arriving) = client(broker.address(), "küste#+/$");
    subscribe(&shore, &mut arriving, &["#"]).await;
    let mut boat = raw(broker.address(), b'b').await;
    boat.write_all(&[0x30, 5, 0, 2, 0xc3, 0xa4, b'!'])
        .await
        .unwrap();
    assert_eq!(message(&mut arriving).await.topic, "ä");
    broker.shutdown().await;
}

#[tokio::test]
async fn stopping_frees_the_port() {
    let (first, _oversized) = start_broker(Limits::default()).await;
    let address = first.address();
    let mut connected = raw(address, b'c').await;
    first.shutdown().await;
    assert!(closed(&mut connected).await);
    let (report, _oversized) = mpsc::channel(1);
    Broker::start(address, Limits::default(), report)
        .await
        .unwrap()
        .shutdown()
        .await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let (report, _oversized) = mpsc::channel(1);
    let error = Broker::start(broker.address(), Limits::default(), report)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&broker.address().to_string()) && error.contains("--mqtt"),
        "{error}"
    );
    broker.shutdown().await;
}

#[tokio::test]
async fn random_bytes_do_not_crash_the_broker() {
    let (broker, _oversized) = start_broker(Limits::default()).await;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..400 {
        let mut misbehaving = if round % 2 == 0 {
            raw(broker.address(), b'r').await
        } else {
            TcpStream::connect(broker.address()).await.unwrap()
        };
        // Each packet type in turn, with a correct length, so that the bytes reach its parser.
        for _ in 0..random(4) + 1 {
            let head = (round as u8 % 16) << 4 | random(16) as u8;
            let body: Vec<u8> = (0..random(40))
                .map(|_| [random(256), random(4)][random(2) as usize] as u8)
                .collect();
            let packet = [&[head, body.len() as u8][..], &body].concat();
            if misbehaving.write_all(&packet).await.is_err() {
                break;
            }
        }
    }
    let mut well_behaved = raw(broker.address(), b'h').await;
    well_behaved.write_all(&[0xc0, 0]).await.unwrap();
    let mut pong = [0; 2];
    well_behaved.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0xd0, 0]);
    broker.shutdown().await;
}
