//! One client's connection: packets in, packets out.

use super::filter;
use super::subscriptions::{Delivery, Place, Subscriptions};
use super::{Limits, Oversized};
use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{Error, Protocol};
use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode,
    UnsubAck,
};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How long a client that asks for no keep-alive may be silent.
const SILENCE: Duration = Duration::from_secs(3600);
/// Answers that wait to be written.
const ANSWERS: usize = 1024;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("it closed the connection")]
    Closed,
    #[error("it said goodbye")]
    Goodbye,
    #[error("it was silent for too long")]
    Silent,
    #[error("it sent a packet of {0} bytes, over the limit")]
    Oversized(usize),
    #[error("it sent what is no MQTT 3.1.1: {0}")]
    Malformed(String),
    #[error("it took no byte for too long")]
    Stalled,
    #[error("it was told to leave")]
    SentAway,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a connection works with.
pub(super) struct Connection {
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) limits: Arc<Limits>,
    pub(super) oversized: mpsc::Sender<Oversized>,
}

impl Connection {
    /// Serves `stream` until either side ends it.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let mut client = peer.to_string();
        let end = match self.run(stream, &mut client).await {
            Ok(()) => return,
            Err(end) => end,
        };
        match end {
            End::Oversized(_) | End::Malformed(_) => {
                tracing::warn!(client, "connection closed: {end}")
            }
            _ => tracing::debug!(client, "connection closed: {end}"),
        }
    }

    async fn run(&self, stream: TcpStream, client: &mut String) -> Result<(), End> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut reader = Reader {
            half: read,
            buffer: BytesMut::new(),
            limit: self.limits.packet,
            patience: SILENCE,
        };
        let mut writer = Writer {
            half: write,
            buffer: BytesMut::new(),
            stalled: self.limits.stalled,
        };

        let first = timeout(self.limits.handshake, reader.packet())
            .await
            .map_err(|_| End::Silent)?;
        let connect = match first.inspect_err(|end| self.tell(end, client, &reader))? {
            Packet::Connect(connect) => connect,
            _ => return Err(End::Malformed("the first packet is no CONNECT".into())),
        };
        let refusal = refusal(&connect);
        let code = refusal.unwrap_or(ConnectReturnCode::Success);
        writer
            .write(Packet::ConnAck(ConnAck::new(code, false)))
            .await?;
        if refusal.is_some() {
            return Err(End::Malformed(format!("connection refused: {code:?}")));
        }
        if !connect.client_id.is_empty() {
            client.clone_from(&connect.client_id);
        }
        if connect.keep_alive > 0 {
            // One and a half times the keep-alive, as MQTT says.
            reader.patience = Duration::from_millis(u64::from(connect.keep_alive) * 1500);
        }

        let (queue, deliveries) = mpsc::channel(self.limits.queue);
        let (answers, to_answer) = mpsc::channel(ANSWERS);
        let place = self.subscriptions.join(client, queue);
        let window = Window {
            room: Semaphore::new(self.limits.window),
            unacknowledged: Mutex::default(),
        };
        let (told, leave) = (client.clone(), Arc::clone(&place.leave));
        tokio::select! {
            end = self.listen(&mut reader, &place, &window, answers, &told) => end,
            end = writer.speak(to_answer, deliveries, &window) => end,
            () = leave.notified() => Err(End::SentAway),
        }
    }

    fn tell(&self, end: &End, client: &str, reader: &Reader) {
        if let End::Oversized(bytes) = end {
            let head = reader.buffer.iter().take(256).copied().collect();
            let _ = self.oversized.try_send(Oversized {
                client: client.to_owned(),
                bytes: *bytes,
                head,
            });
        }
    }

    async fn listen(
        &self,
        reader: &mut Reader,
        place: &Place,
        window: &Window,
        answers: mpsc::Sender<Packet>,
        client: &str,
    ) -> Result<(), End> {
        loop {
            let packet = match reader.packet().await {
                Ok(packet) => packet,
                Err(end) => {
                    self.tell(&end, client, reader);
                    return Err(end);
                }
            };
            let answer = match packet {
                Packet::Publish(publish) => self.pass_on(publish).await?,
                Packet::PubAck(ack) => {
                    window.acknowledge(ack.pkid);
                    None
                }
                Packet::Subscribe(wish) => {
                    let filters = wish.filters.into_iter().map(|f| (f.path, f.qos)).collect();
                    let codes = place.subscribe(filters, self.limits.filters).into_iter();
                    let codes = codes.map(|c| {
                        c.map_or(SubscribeReasonCode::Failure, SubscribeReasonCode::Success)
                    });
                    Some(Packet::SubAck(SubAck::new(wish.pkid, codes.collect())))
                }
                Packet::Unsubscribe(wish) => {
                    place.unsubscribe(&wish.topics);
                    Some(Packet::UnsubAck(UnsubAck::new(wish.pkid)))
                }
                Packet::PingReq => Some(Packet::PingResp),
                Packet::Disconnect => return Err(End::Goodbye),
                _ => return Err(End::Malformed("a packet that has no place here".into())),
            };
            if let Some(answer) = answer {
                answers.send(answer).await.map_err(|_| End::Closed)?;
            }
        }
    }

    async fn pass_on(&self, publish: Publish) -> Result<Option<Packet>, End> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(End::Malformed("QoS 2 is not offered".into()));
        }
        if !filter::valid_topic(&publish.topic) {
            return Err(End::Malformed(
                "a topic that may not be published to".into(),
            ));
        }
        let message = Delivery {
            topic: publish.topic.into(),
            // A copy, so that a small message does not keep the whole read buffer alive.
            payload: Bytes::copy_from_slice(&publish.payload),
            qos: publish.qos,
        };
        self.subscriptions
            .route(&message, self.limits.stalled)
            .await;
        Ok((publish.qos == QoS::AtLeastOnce).then(|| Packet::PubAck(PubAck::new(publish.pkid))))
    }
}

fn refusal(connect: &Connect) -> Option<ConnectReturnCode> {
    if connect.protocol != Protocol::V4 {
        return Some(ConnectReturnCode::RefusedProtocolVersion);
    }
    let nameless = connect.client_id.is_empty() && !connect.clean_session;
    (nameless || connect.client_id.len() > 256).then_some(ConnectReturnCode::BadClientId)
}

/// What a subscriber was sent and has not acknowledged.
struct Window {
    room: Semaphore,
    unacknowledged: Mutex<HashSet<u16>>,
}

impl Window {
    fn acknowledge(&self, number: u16) {
        if self
            .unacknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number)
        {
            self.room.add_permits(1);
        }
    }

    /// The next packet number after `last` that is free; the window is far smaller than their number.
    fn number(&self, last: u16) -> u16 {
        let mut taken = self
            .unacknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut number = last;
        loop {
            number = number.checked_add(1).unwrap_or(1);
            if taken.insert(number) {
                return number;
            }
        }
    }
}

struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    limit: usize,
    patience: Duration,
}

impl Reader {
    async fn packet(&mut self) -> Result<Packet, End> {
        loop {
            match Packet::read(&mut self.buffer, self.limit) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(Error::PayloadSizeLimitExceeded(bytes)) => return Err(End::Oversized(bytes)),
                Err(error) => return Err(End::Malformed(error.to_string())),
            }
            // Patience counts from the last byte, not the last packet: a picture takes minutes over a thin link.
            self.buffer.reserve(16 * 1024);
            let read = timeout(self.patience, self.half.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| End::Silent)?? == 0 {
                return Err(End::Closed);
            }
        }
    }
}

struct Writer {
    half: OwnedWriteHalf,
    buffer: BytesMut,
    stalled: Duration,
}

impl Writer {
    async fn write(&mut self, packet: Packet) -> Result<(), End> {
        packet
            .write(&mut self.buffer, usize::MAX)
            .map_err(|e| End::Malformed(e.to_string()))?;
        while !self.buffer.is_empty() {
            timeout(self.stalled, self.half.write_buf(&mut self.buffer))
                .await
                .map_err(|_| End::Stalled)??;
        }
        Ok(())
    }

    async fn speak(
        &mut self,
        mut answers: mpsc::Receiver<Packet>,
        mut deliveries: mpsc::Receiver<Delivery>,
        window: &Window,
    ) -> Result<(), End> {
        let mut last = 0;
        loop {
            let next = async {
                let permit = window.room.acquire().await.ok()?;
                Some((permit, deliveries.recv().await?))
            };
            let packet = tokio::select! {
                biased;
                Some(answer) = answers.recv() => answer,
                Some((permit, delivery)) = next => {
                    let mut publish = Publish::from_bytes(&*delivery.topic, delivery.qos, delivery.payload);
                    if delivery.qos == QoS::AtLeastOnce {
                        last = window.number(last);
                        publish.pkid = last;
                        permit.forget();
                    }
                    Packet::Publish(publish)
                }
                else => return Err(End::Closed),
            };
            self.write(packet).await?;
        }
    }
}
