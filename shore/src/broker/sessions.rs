//! The connected clients and their subscriptions.

use super::delivery::Delivery;
use super::filter;
use super::limits::Limits;
use super::retained::Retained;
use rumqttc_v4::QoS;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// A client, as the others see it.
#[derive(Clone)]
struct Client {
    number: u64,
    client_id: String,
    filters: Vec<(String, QoS)>,
    queue: mpsc::Sender<Delivery>,
    evict: Arc<Notify>,
}

pub(super) struct Sessions {
    next_number: AtomicU64,
    limits: Arc<Limits>,
    shared: Mutex<Shared>,
}

/// Under one lock, so that a client that subscribes while a message is retained gets it once.
#[derive(Default)]
struct Shared {
    clients: Vec<Client>,
    retained: Retained,
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
    /// No clients yet.
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            next_number: AtomicU64::default(),
            limits,
            shared: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No holder of the lock can panic half-way through a change, so that a poisoned list is
        // still consistent.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a client. An older session of the same client id is evicted, as MQTT demands.
    pub(super) fn register(
        self: &Arc<Self>,
        client_id: &str,
        queue: mpsc::Sender<Delivery>,
    ) -> Session {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let evict = Arc::new(Notify::new());
        let clients = &mut self.lock().clients;
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

    /// Delivers a message to all subscribers of its topic, and retains it for later ones where it says
    /// so. Waits for subscribers with a full queue, and evicts one if its queue stays full for the
    /// write timeout; a QoS 0 message is dropped instead.
    pub(super) async fn route(&self, message: &Delivery) {
        for (client, qos) in self.subscribers(message) {
            let delivery = Delivery {
                qos,
                retain: false,
                ..message.clone()
            };
            if qos == QoS::AtMostOnce {
                let _ = client.queue.try_send(delivery);
            } else if tokio::time::timeout(self.limits.write_timeout, client.queue.send(delivery))
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

    /// Retains `message` where it says so. Returns its subscribers with the QoS of their delivery.
    fn subscribers(&self, message: &Delivery) -> Vec<(Client, QoS)> {
        let mut shared = self.lock();
        if message.retain {
            shared.retained.keep(message);
        }
        let clients = shared.clients.iter();
        clients
            .filter_map(|client| {
                let matching = client
                    .filters
                    .iter()
                    .filter(|(filter, _)| filter::matches(filter, &message.topic));
                let granted = matching.map(|(_, qos)| *qos).max_by_key(|qos| *qos as u8)?;
                Some((client.clone(), lower(granted, message.qos)))
            })
            .collect()
    }
}

impl Session {
    /// Adds filters, and queues the retained messages that match them, as far as there is room. Returns
    /// for each the granted QoS, or `None` where it is invalid.
    pub(super) fn subscribe(&self, filters: Vec<(String, QoS)>) -> Vec<Option<QoS>> {
        let mut shared = self.sessions.lock();
        let Shared { clients, retained } = &mut *shared;
        let Some(client) = clients.iter_mut().find(|c| c.number == self.number) else {
            return vec![None; filters.len()];
        };
        filters
            .into_iter()
            .map(|(filter, qos)| {
                client.filters.retain(|(f, _)| *f != filter);
                if !filter::is_valid_filter(&filter) {
                    return None;
                }
                let granted = if qos == QoS::AtMostOnce {
                    qos
                } else {
                    QoS::AtLeastOnce
                };
                for message in retained.iter() {
                    if filter::matches(&filter, &message.topic) {
                        let delivery = Delivery {
                            qos: lower(granted, message.qos),
                            ..message.clone()
                        };
                        let _ = client.queue.try_send(delivery);
                    }
                }
                client.filters.push((filter, granted));
                Some(granted)
            })
            .collect()
    }

    pub(super) fn unsubscribe(&self, filters: &[String]) {
        let clients = &mut self.sessions.lock().clients;
        if let Some(client) = clients.iter_mut().find(|c| c.number == self.number) {
            client.filters.retain(|(f, _)| !filters.contains(f));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let number = self.number;
        self.sessions.lock().clients.retain(|c| c.number != number);
    }
}

fn lower(a: QoS, b: QoS) -> QoS {
    if a < b { a } else { b }
}
