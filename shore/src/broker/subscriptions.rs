//! Who wants which messages.

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

/// A connection, as others see it.
#[derive(Clone)]
struct Subscriber {
    number: u64,
    client: String,
    filters: Vec<(String, QoS)>,
    queue: mpsc::Sender<Delivery>,
    leave: Arc<Notify>,
}

/// All connections and their filters.
#[derive(Default)]
pub(super) struct Subscriptions {
    numbers: AtomicU64,
    subscribers: Mutex<Vec<Subscriber>>,
}

/// A connection's place among the others; given up when dropped.
pub(super) struct Place {
    number: u64,
    subscriptions: Arc<Subscriptions>,
    /// Rings when the connection must end: another took its name, or it does not take its messages.
    pub(super) leave: Arc<Notify>,
}

impl Subscriptions {
    fn all(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        // Nothing below can panic half way through a change, so that a poisoned list is still whole.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection; an older one of the same name has to leave, as MQTT asks.
    pub(super) fn join(self: &Arc<Self>, client: &str, queue: mpsc::Sender<Delivery>) -> Place {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let leave = Arc::new(Notify::new());
        let mut all = self.all();
        for older in all.iter().filter(|s| s.client == client) {
            older.leave.notify_one();
        }
        all.push(Subscriber {
            number,
            client: client.to_owned(),
            filters: vec![],
            queue,
            leave: Arc::clone(&leave),
        });
        Place {
            number,
            subscriptions: Arc::clone(self),
            leave,
        }
    }

    /// Hands a message to all who want it. Waits for those whose queue is full, and sends away whoever keeps it full for `stalled`;
    /// a QoS 0 message is dropped instead.
    pub(super) async fn route(&self, message: &Delivery, stalled: Duration) {
        let wanting: Vec<(Subscriber, QoS)> = self
            .all()
            .iter()
            .filter_map(|s| {
                let chosen = s
                    .filters
                    .iter()
                    .filter(|(f, _)| filter::matches(f, &message.topic));
                let granted = chosen.map(|(_, qos)| *qos).max_by_key(|q| *q as u8)?;
                let qos = if granted < message.qos {
                    granted
                } else {
                    message.qos
                };
                Some((s.clone(), qos))
            })
            .collect();
        for (subscriber, qos) in wanting {
            let delivery = Delivery {
                qos,
                ..message.clone()
            };
            if qos == QoS::AtMostOnce {
                let _ = subscriber.queue.try_send(delivery);
            } else if tokio::time::timeout(stalled, subscriber.queue.send(delivery))
                .await
                .is_err()
            {
                tracing::warn!(
                    client = subscriber.client,
                    "disconnected: it does not take its messages"
                );
                subscriber.leave.notify_one();
            }
        }
    }
}

impl Place {
    /// Adds filters; says for each whether it was taken. `most`: how many one connection may hold.
    pub(super) fn subscribe(&self, filters: Vec<(String, QoS)>, most: usize) -> Vec<Option<QoS>> {
        let mut all = self.subscriptions.all();
        let Some(me) = all.iter_mut().find(|s| s.number == self.number) else {
            return vec![None; filters.len()];
        };
        filters
            .into_iter()
            .map(|(filter, qos)| {
                me.filters.retain(|(f, _)| *f != filter);
                if !filter::valid_filter(&filter) || me.filters.len() >= most {
                    return None;
                }
                let granted = if qos == QoS::AtMostOnce {
                    qos
                } else {
                    QoS::AtLeastOnce
                };
                me.filters.push((filter, granted));
                Some(granted)
            })
            .collect()
    }

    /// Takes filters away.
    pub(super) fn unsubscribe(&self, filters: &[String]) {
        if let Some(me) = self
            .subscriptions
            .all()
            .iter_mut()
            .find(|s| s.number == self.number)
        {
            me.filters.retain(|(f, _)| !filters.contains(f));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.subscriptions.all().retain(|s| s.number != self.number);
    }
}
