//! One client's connection: a loop that reads packets and a loop that writes them.

use super::delivery::Delivery;
use super::filter;
use super::limits::Limits;
use super::sessions::{Session, Sessions};
use bytes::{Bytes, BytesMut};
use rumqttc_v4::mqttbytes::Error;
use rumqttc_v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, QoS, SubAck,
    SubscribeReasonCode, UnsubAck,
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

/// Idle timeout of a client that asks for no keep-alive.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Responses queued for writing.
const MAX_QUEUED_RESPONSES: usize = 1024;
/// Bytes kept of an oversized packet.
const OVERSIZED_HEAD_BYTES: usize = 256;

/// A packet that was too large to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OversizedPacket {
    /// The client id, or the peer's address before CONNECT.
    pub client_id: String,
    /// The announced size in bytes.
    pub bytes: usize,
    /// The first bytes, at most 256.
    pub head: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
enum DisconnectReason {
    #[error("connection closed by the client")]
    ConnectionClosed,
    #[error("DISCONNECT received")]
    ClientDisconnect,
    #[error("keep-alive timeout")]
    KeepAliveTimeout,
    #[error("packet of {0} bytes exceeds the limit")]
    PacketTooLarge(usize),
    #[error("protocol error: {0}")]
    ProtocolError(String),
    #[error("MQTT of level {0}; only 3.1.1 (level 4) is supported")]
    UnknownVersion(u8),
    #[error("write timeout")]
    WriteTimeout,
    #[error("session taken over or evicted")]
    Evicted,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The shared parts that a connection uses.
pub(super) struct Connection {
    pub(super) sessions: Arc<Sessions>,
    pub(super) limits: Arc<Limits>,
    pub(super) oversized: mpsc::Sender<OversizedPacket>,
}

impl Connection {
    /// Serves `stream` until either side closes it.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let mut client_id = peer.to_string();
        let Err(reason) = self.run(stream, &mut client_id).await else {
            return;
        };
        match reason {
            DisconnectReason::PacketTooLarge(_) | DisconnectReason::ProtocolError(_) => {
                tracing::warn!(client_id, %reason, "client disconnected");
            }
            _ => tracing::debug!(client_id, %reason, "client disconnected"),
        }
    }

    async fn run(&self, stream: TcpStream, client_id: &mut String) -> Result<(), DisconnectReason> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut reader = Reader {
            half: read,
            buffer: BytesMut::new(),
            max_packet_bytes: self.limits.max_packet_bytes,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
        };
        let mut writer = Writer {
            half: write,
            buffer: BytesMut::new(),
            write_timeout: self.limits.write_timeout,
        };

        let first = reader.packet().await;
        let first = first.inspect_err(|reason| self.report_oversized(reason, client_id, &reader));
        if let Err(DisconnectReason::UnknownVersion(_)) = &first {
            let code = ConnectReturnCode::RefusedProtocolVersion;
            let answer = Packet::ConnAck(ConnAck::new(code, false));
            writer.write(answer).await?;
        }
        let Packet::Connect(connect) = first? else {
            return Err(DisconnectReason::ProtocolError(
                "the first packet is not CONNECT".into(),
            ));
        };
        let last_will = connect.last_will.as_ref().map(will_delivery).transpose()?;
        let rejection = rejection_code(&connect);
        let code = rejection.unwrap_or(ConnectReturnCode::Success);
        writer
            .write(Packet::ConnAck(ConnAck::new(code, false)))
            .await?;
        if rejection.is_some() {
            return Err(DisconnectReason::ProtocolError(format!(
                "connection refused: {code:?}"
            )));
        }
        if !connect.client_id.is_empty() {
            client_id.clone_from(&connect.client_id);
        }
        if connect.keep_alive > 0 {
            // One and a half times the keep-alive, as MQTT demands.
            reader.idle_timeout = Duration::from_millis(u64::from(connect.keep_alive) * 1500);
        }

        let (queue, deliveries) = mpsc::channel(self.limits.max_queued_messages);
        let (respond, responses) = mpsc::channel(MAX_QUEUED_RESPONSES);
        let session = self.sessions.register(client_id, queue);
        let in_flight = InFlight {
            permits: Semaphore::new(self.limits.max_in_flight),
            packet_ids: Mutex::default(),
        };
        let evict = Arc::clone(&session.evict);
        let outcome = tokio::select! {
            reason = self.read_loop(&mut reader, &session, &in_flight, respond) => reason,
            reason = writer.write_loop(responses, deliveries, &in_flight) => reason,
            () = evict.notified() => Err(DisconnectReason::Evicted),
        };
        if let Some(last_will) = last_will
            && !matches!(outcome, Err(DisconnectReason::ClientDisconnect))
        {
            self.sessions.route(&last_will).await;
        }
        outcome.inspect_err(|reason| self.report_oversized(reason, client_id, &reader))
    }

    fn report_oversized(&self, reason: &DisconnectReason, client_id: &str, reader: &Reader) {
        if let DisconnectReason::PacketTooLarge(bytes) = reason {
            let head = reader.buffer.iter().take(OVERSIZED_HEAD_BYTES).copied();
            let _ = self.oversized.try_send(OversizedPacket {
                client_id: client_id.to_owned(),
                bytes: *bytes,
                head: head.collect(),
            });
        }
    }

    async fn read_loop(
        &self,
        reader: &mut Reader,
        session: &Session,
        in_flight: &InFlight,
        respond: mpsc::Sender<Packet>,
    ) -> Result<(), DisconnectReason> {
        loop {
            let response = match reader.packet().await? {
                Packet::Publish(publish) => self.handle_publish(publish).await?,
                Packet::PubAck(ack) => {
                    in_flight.acknowledge(ack.pkid);
                    None
                }
                Packet::Subscribe(request) => {
                    let filters = request.filters.into_iter().map(|f| (f.path, f.qos));
                    let granted = session.subscribe(filters.collect());
                    let codes = granted.into_iter().map(|qos| {
                        qos.map_or(SubscribeReasonCode::Failure, SubscribeReasonCode::Success)
                    });
                    Some(Packet::SubAck(SubAck::new(request.pkid, codes.collect())))
                }
                Packet::Unsubscribe(request) => {
                    session.unsubscribe(&request.topics);
                    Some(Packet::UnsubAck(UnsubAck::new(request.pkid)))
                }
                Packet::PingReq => Some(Packet::PingResp),
                Packet::Disconnect => return Err(DisconnectReason::ClientDisconnect),
                _ => {
                    return Err(DisconnectReason::ProtocolError(
                        "unexpected packet type".into(),
                    ));
                }
            };
            if let Some(response) = response {
                let sent = respond.send(response).await;
                sent.map_err(|_| DisconnectReason::ConnectionClosed)?;
            }
        }
    }

    async fn handle_publish(&self, publish: Publish) -> Result<Option<Packet>, DisconnectReason> {
        let topic = std::str::from_utf8(&publish.topic)
            .map_err(|_| DisconnectReason::ProtocolError("invalid topic".into()))?;
        validate(publish.qos, topic)?;
        let message = Delivery {
            topic: topic.into(),
            // A copy, so that a small message does not keep the whole read buffer alive.
            payload: Bytes::copy_from_slice(&publish.payload),
            qos: publish.qos,
            retain: publish.retain,
        };
        self.sessions.route(&message).await;
        Ok((publish.qos == QoS::AtLeastOnce).then(|| Packet::PubAck(PubAck::new(publish.pkid))))
    }
}

fn validate(qos: QoS, topic: &str) -> Result<(), DisconnectReason> {
    let protocol_error = |what: &str| Err(DisconnectReason::ProtocolError(what.into()));
    if qos == QoS::ExactlyOnce {
        protocol_error("QoS 2 is not supported")
    } else if !filter::is_valid_topic(topic) {
        protocol_error("invalid topic")
    } else {
        Ok(())
    }
}

/// The message to deliver if the connection ends without DISCONNECT.
fn will_delivery(last_will: &LastWill) -> Result<Delivery, DisconnectReason> {
    validate(last_will.qos, &last_will.topic)?;
    Ok(Delivery {
        topic: last_will.topic.as_str().into(),
        payload: Bytes::copy_from_slice(&last_will.message),
        qos: last_will.qos,
        retain: last_will.retain,
    })
}

fn rejection_code(connect: &Connect) -> Option<ConnectReturnCode> {
    let anonymous = connect.client_id.is_empty() && !connect.clean_session;
    anonymous.then_some(ConnectReturnCode::BadClientId)
}

/// Messages that a subscriber was sent and has not acknowledged.
struct InFlight {
    permits: Semaphore,
    packet_ids: Mutex<HashSet<u16>>,
}

impl InFlight {
    fn acknowledge(&self, packet_id: u16) {
        let mut ids = self
            .packet_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ids.remove(&packet_id) {
            self.permits.add_permits(1);
        }
    }

    /// The next free packet id after `last`. There always is one, since the window is far smaller
    /// than the number of ids.
    fn allocate(&self, last: u16) -> u16 {
        let mut ids = self
            .packet_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut id = last;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if ids.insert(id) {
                return id;
            }
        }
    }
}

struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    max_packet_bytes: usize,
    idle_timeout: Duration,
}

impl Reader {
    async fn packet(&mut self) -> Result<Packet, DisconnectReason> {
        loop {
            match Packet::read(&mut self.buffer, self.max_packet_bytes) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(Error::PayloadSizeLimitExceeded(bytes)) => {
                    return Err(DisconnectReason::PacketTooLarge(bytes));
                }
                Err(Error::InvalidProtocolLevel(level)) => {
                    return Err(DisconnectReason::UnknownVersion(level));
                }
                Err(error) => return Err(DisconnectReason::ProtocolError(error.to_string())),
            }
            // Counted from the last byte, not the last packet: a picture takes minutes over a slow
            // link.
            self.buffer.reserve(16 * 1024);
            let read = timeout(self.idle_timeout, self.half.read_buf(&mut self.buffer)).await;
            if read.map_err(|_| DisconnectReason::KeepAliveTimeout)?? == 0 {
                return Err(DisconnectReason::ConnectionClosed);
            }
        }
    }
}

struct Writer {
    half: OwnedWriteHalf,
    buffer: BytesMut,
    write_timeout: Duration,
}

impl Writer {
    async fn write(&mut self, packet: Packet) -> Result<(), DisconnectReason> {
        packet
            .write(&mut self.buffer, usize::MAX)
            .map_err(|error| DisconnectReason::ProtocolError(error.to_string()))?;
        while !self.buffer.is_empty() {
            timeout(self.write_timeout, self.half.write_buf(&mut self.buffer))
                .await
                .map_err(|_| DisconnectReason::WriteTimeout)??;
        }
        Ok(())
    }

    async fn write_loop(
        &mut self,
        mut responses: mpsc::Receiver<Packet>,
        mut deliveries: mpsc::Receiver<Delivery>,
        in_flight: &InFlight,
    ) -> Result<(), DisconnectReason> {
        let mut last_id = 0;
        loop {
            let next = async {
                let permit = in_flight.permits.acquire().await.ok()?;
                Some((permit, deliveries.recv().await?))
            };
            let packet = tokio::select! {
                biased;
                Some(response) = responses.recv() => response,
                Some((permit, delivery)) = next => {
                    let mut publish =
                        Publish::from_bytes(&*delivery.topic, delivery.qos, delivery.payload);
                    publish.retain = delivery.retain;
                    if delivery.qos == QoS::AtLeastOnce {
                        last_id = in_flight.allocate(last_id);
                        publish.pkid = last_id;
                        permit.forget();
                    }
                    Packet::Publish(publish)
                }
                else => return Err(DisconnectReason::ConnectionClosed),
            };
            self.write(packet).await?;
        }
    }
}
