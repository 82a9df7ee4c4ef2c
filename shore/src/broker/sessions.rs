//! The connected clients and their subscriptions.

use super::filter;
use bytes::Bytes;
use rumqttc::QoS;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// A message on its way to one subscriber.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
}

/// A client, as the others see it.
#[derive(Clone)]
struct Client {
    number: u64,
    client_id: String,
    filters: Vec<(String, QoS)>,
    queue: mpsc::Sender<Delivery>,
    evict: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Sessions {
    next_number: AtomicU64,
    clients: Mutex<Vec<Client>>,
}

/// The session of one connection; removed when dropped.
pub(super) struct Session {
    number: u64,
    sessions: Arc<Sessions>,
    /// Notified when the connection must be closed: another client took the id over, or this one
    /// does not accept its messages.
    pub(super) evict: Arc<Notify>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        // No holder of the lock can panic half-way through a change, so that a poisoned list is
        // still consistent.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a client. An older session of the same client id is evicted, as MQTT demands.
    pub(super) fn register(
        self: &Arc<Self>,
        client_id: &str,
        queue: mpsc::Sender<Delivery>,
    ) -> Session {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let evict = Arc::new(Notify::new());
        let mut clients = self.lock();
        for older in clients.iter().filter(|c| c.client_id == client_id) {
            older.evict.notify_one();
        }
        clients.push(Client {
            number,
            client_id: client_id.to_owned(),
            filters: vec![],
            queue,
            evict: Arc::clone(&evict),
        });
        Session {
            number,
            sessions: Arc::clone(self),
            evict,
        }
    }

    /// Delivers a message to all subscribers of its topic. Waits for those with a full queue, and
    /// evicts one if its queue stays full for `write_timeout`; a QoS 0 message is dropped instead.
    pub(super) async fn route(&self, message: &Delivery, write_timeout: Duration) {
        let subscribers: Vec<(Client, QoS)> = self
            .lock()
            .iter()
            .filter_map(|client| {
                let matching = client
                    .filters
                    .iter()
                    .filter(|(filter, _)| filter::matches(filter, &message.topic));
                let granted = matching.map(|(_, qos)| *qos).max_by_key(|qos| *qos as u8)?;
                let qos = if granted < message.qos {
                    granted
                } else {
                    message.qos
                };
                Some((client.clone(), qos))
            })
            .collect();
        for (client, qos) in subscribers {
            let delivery = Delivery {
                qos,
                ..message.clone()
            };
            if qos == QoS::AtMostOnce {
                let _ = client.queue.try_send(delivery);
            } else if tokio::time::timeout(write_timeout, client.queue.send(delivery))
                .await
                .is_err()
            {
                tracing::warn!(
                    client_id = client.client_id,
                    "client evicted: message queue full"
                );
                client.evict.notify_one();
            }
        }
    }
}

impl Session {
    /// Adds filters. Returns for each the granted QoS, or `None` where it was rejected.
    pub(super) fn subscribe(
        &self,
        filters: Vec<(String, QoS)>,
        max_filters: usize,
    ) -> Vec<Option<QoS>> {
        let mut clients = self.sessions.lock();
        let Some(client) = clients.iter_mut().find(|c| c.number == self.number) else {
            return vec![None; filters.len()];
        };
        filters
            .into_iter()
            .map(|(filter, qos)| {
                client.filters.retain(|(f, _)| *f != filter);
                if !filter::is_valid_filter(&filter) || client.filters.len() >= max_filters {
                    return None;
                }
                let granted = if qos == QoS::AtMostOnce {
                    qos
                } else {
                    QoS::AtLeastOnce
                };
                client.filters.push((filter, granted));
                Some(granted)
            })
            .collect()
    }

    pub(super) fn unsubscribe(&self, filters: &[String]) {
        let mut clients = self.sessions.lock();
        if let Some(client) = clients.iter_mut().find(|c| c.number == self.number) {
            client.filters.retain(|(f, _)| !filters.contains(f));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.lock().retain(|c| c.number != self.number);
    }
}
