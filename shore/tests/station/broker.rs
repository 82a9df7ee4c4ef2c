//! The embedded broker against clients that are slow, rude or broken.

use flukewatch_shore::broker::{Broker, Limits, Oversized};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, SubscribeFilter};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

async fn broker(limits: Limits) -> (Broker, mpsc::Receiver<Oversized>) {
    let (tell, oversized) = mpsc::channel(8);
    (
        Broker::start("127.0.0.1:0".parse().unwrap(), limits, tell)
            .await
            .unwrap(),
        oversized,
    )
}

fn client(address: SocketAddr, name: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
    options
        .set_max_packet_size(300_000, 300_000)
        .set_manual_acks(true)
        .set_keep_alive(Duration::from_secs(10));
    AsyncClient::new(options, 200)
}

/// The next message; acknowledges nothing.
async fn message(events: &mut EventLoop) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(p)) =
            timeout(PATIENCE, events.poll()).await.unwrap().unwrap()
        {
            return p;
        }
    }
}

async fn subscribed(client: &AsyncClient, events: &mut EventLoop, filters: &[&str]) {
    let filters = filters
        .iter()
        .map(|f| SubscribeFilter::new((*f).to_owned(), QoS::AtLeastOnce));
    client.subscribe_many(filters).await.unwrap();
    while !matches!(
        timeout(PATIENCE, events.poll()).await.unwrap().unwrap(),
        Event::Incoming(Packet::SubAck(_))
    ) {}
}

/// A raw connection that has said CONNECT.
async fn raw(address: SocketAddr, name: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(&[
            0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, name,
        ])
        .await
        .unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0]);
    stream
}

async fn closed(stream: &mut TcpStream) -> bool {
    let mut rest = vec![];
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

#[tokio::test]
async fn the_largest_message_passes_whole() {
    let (broker, _oversized) = broker(Limits::default()).await;
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribed(&shore, &mut arriving, &["a/+"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    let payload: Vec<u8> = (0..flukewatch_common::wire::MAX_MESSAGE)
        .map(|i| (i % 251) as u8)
        .collect();
    boat.publish("a/b", QoS::AtLeastOnce, false, payload.clone())
        .await
        .unwrap();
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    let got = message(&mut arriving).await;
    assert_eq!(
        (got.topic.as_str(), got.qos, got.payload == payload),
        ("a/b", QoS::AtLeastOnce, true)
    );
    broker.stop().await;
}

#[tokio::test]
async fn an_unacknowledged_window_holds_back_and_acknowledging_lets_on() {
    let (broker, _oversized) = broker(Limits {
        window: 3,
        ..Limits::default()
    })
    .await;
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribed(&shore, &mut arriving, &["a"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    for n in 0..10u8 {
        boat.publish("a", QoS::AtLeastOnce, false, [n])
            .await
            .unwrap();
    }
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    let mut held = vec![];
    for _ in 0..3 {
        held.push(message(&mut arriving).await);
    }
    assert!(
        timeout(Duration::from_millis(300), message(&mut arriving))
            .await
            .is_err(),
        "a fourth came unasked"
    );
    shore.ack(&held[0]).await.unwrap();
    held.push(message(&mut arriving).await);
    for n in 1..10 {
        shore.ack(&held[n]).await.unwrap();
        if held.len() < 10 {
            held.push(message(&mut arriving).await);
        }
    }
    assert_eq!(
        held.iter().map(|p| p.payload[0]).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    broker.stop().await;
}

#[tokio::test]
async fn who_takes_no_messages_is_sent_away_and_holds_nobody_up_for_good() {
    let limits = Limits {
        window: 1,
        queue: 1,
        stalled: Duration::from_millis(200),
        ..Limits::default()
    };
    let (broker, _oversized) = broker(limits).await;
    let mut idle = raw(broker.address(), b'i').await;
    idle.write_all(&[0x82, 6, 0, 1, 0, 1, b'a', 1])
        .await
        .unwrap();
    let mut answer = [0; 5];
    idle.read_exact(&mut answer).await.unwrap();
    let (shore, mut arriving) = client(broker.address(), "shore");
    subscribed(&shore, &mut arriving, &["a"]).await;
    let (boat, mut leaving) = client(broker.address(), "boat");
    tokio::spawn(async move { while leaving.poll().await.is_ok() {} });
    for n in 0..6u8 {
        boat.publish("a", QoS::AtLeastOnce, false, [n])
            .await
            .unwrap();
    }
    for n in 0..6u8 {
        let got = message(&mut arriving).await;
        assert_eq!(got.payload[0], n);
        shore.ack(&got).await.unwrap();
    }
    assert!(closed(&mut idle).await);
    broker.stop().await;
}

#[tokio::test]
async fn a_taken_name_passes_to_the_newer_connection() {
    let (broker, _oversized) = broker(Limits::default()).await;
    let mut older = raw(broker.address(), b'x').await;
    let mut newer = raw(broker.address(), b'x').await;
    assert!(closed(&mut older).await);
    newer.write_all(&[0xc0, 0]).await.unwrap();
    let mut pong = [0; 2];
    newer.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0xd0, 0]);
    broker.stop().await;
}

#[tokio::test]
async fn too_many_connections_and_filters_are_turned_away() {
    let (broker, _oversized) = broker(Limits {
        connections: 2,
        filters: 1,
        ..Limits::default()
    })
    .await;
    let mut first = raw(broker.address(), b'1').await;
    let _second = raw(broker.address(), b'2').await;
    let mut third = TcpStream::connect(broker.address()).await.unwrap();
    assert!(closed(&mut third).await);
    // "a" is taken, "b" is one too many, "a#" is none.
    first
        .write_all(&[
            0x82, 15, 0, 9, 0, 1, b'a', 1, 0, 1, b'b', 1, 0, 2, b'a', b'#', 1,
        ])
        .await
        .unwrap();
    let mut answer = [0; 7];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x90, 5, 0, 9, 1, 0x80, 0x80]);
    broker.stop().await;
}

#[tokio::test]
async fn an_oversized_packet_is_told_and_closes_only_its_own_connection() {
    let (broker, mut oversized) = broker(Limits {
        packet: 1000,
        ..Limits::default()
    })
    .await;
    let mut honest = raw(broker.address(), b'h').await;
    let mut rude = raw(broker.address(), b'r').await;
    rude.write_all(&[0x32, 0xe9, 0x07, 0, 1, b'a'])
        .await
        .unwrap();
    assert!(closed(&mut rude).await);
    let told = oversized.recv().await.unwrap();
    assert_eq!(
        (
            told.client.as_str(),
            told.bytes,
            told.head.starts_with(&[0x32, 0xe9, 0x07])
        ),
        ("r", 1001, true)
    );
    honest.write_all(&[0xc0, 0]).await.unwrap();
    honest.read_exact(&mut [0; 2]).await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn names_and_topics_in_any_script_do_no_harm() {
    let (broker, _oversized) = broker(Limits::default()).await;
    let (shore, mut arriving) = client(broker.address(), "küste#+/$");
    subscribed(&shore, &mut arriving, &["#"]).await;
    let mut boat = raw(broker.address(), b'b').await;
    boat.write_all(&[0x30, 5, 0, 2, 0xc3, 0xa4, b'!'])
        .await
        .unwrap();
    assert_eq!(message(&mut arriving).await.topic, "ä");
    broker.stop().await;
}

#[tokio::test]
async fn stopping_frees_the_port() {
    let (first, _oversized) = broker(Limits::default()).await;
    let address = first.address();
    let mut connected = raw(address, b'c').await;
    first.stop().await;
    assert!(closed(&mut connected).await);
    let (tell, _oversized) = mpsc::channel(1);
    Broker::start(address, Limits::default(), tell)
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (broker, _oversized) = broker(Limits::default()).await;
    let (tell, _rest) = mpsc::channel(1);
    let error = Broker::start(broker.address(), Limits::default(), tell)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&broker.address().to_string()) && error.contains("--mqtt"),
        "{error}"
    );
    broker.stop().await;
}

#[tokio::test]
async fn any_bytes_leave_the_broker_alive() {
    let (broker, _oversized) = broker(Limits::default()).await;
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..400 {
        let mut rude = if round % 2 == 0 {
            raw(broker.address(), b'r').await
        } else {
            TcpStream::connect(broker.address()).await.unwrap()
        };
        // Each kind of packet in turn, with a length that is right, so that the bytes reach its reader.
        for _ in 0..random(4) + 1 {
            let head = (round as u8 % 16) << 4 | random(16) as u8;
            let body: Vec<u8> = (0..random(40))
                .map(|_| [random(256), random(4)][random(2) as usize] as u8)
                .collect();
            let packet = [&[head, body.len() as u8][..], &body].concat();
            if rude.write_all(&packet).await.is_err() {
                break;
            }
        }
    }
    let mut honest = raw(broker.address(), b'h').await;
    honest.write_all(&[0xc0, 0]).await.unwrap();
    let mut pong = [0; 2];
    honest.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0xd0, 0]);
    broker.stop().await;
}
