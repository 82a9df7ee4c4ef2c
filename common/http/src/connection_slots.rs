//! How many connections are open, in total and by peer.

use crate::rejection::Rejection;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bits of an IPv6 address that name its network.
const NETWORK: u128 = u128::MAX << 64;

/// The slots of all connections; clones share them.
#[derive(Clone)]
pub(crate) struct ConnectionSlots {
    total: usize,
    per_peer: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// The slot of one connection, which is free again when this is dropped.
pub(crate) struct ConnectionSlot {
    peer: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl ConnectionSlots {
    pub(crate) fn new(total: usize, per_peer: usize) -> Self {
        Self {
            total,
            per_peer,
            taken: Arc::default(),
        }
    }

    /// Takes a slot for a connection of `peer`.
    pub(crate) fn take(&self, peer: IpAddr) -> Result<ConnectionSlot, Rejection> {
        let peer = network(peer);
        let mut taken = lock(&self.taken);
        if taken.total >= self.total {
            return Err(Rejection::Connections);
        }
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or(0);
        if of_peer >= self.per_peer {
            return Err(Rejection::PeerConnections);
        }
        taken.total += 1;
        taken.by_peer.insert(peer, of_peer + 1);
        drop(taken);
        Ok(ConnectionSlot {
            peer,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total -= 1;
        if let Some(of_peer) = taken.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address whose connections are counted together with those of `peer`.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & NETWORK).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn slots_are_limited_and_returned() {
        let slots = ConnectionSlots::new(3, 2);
        let first = slots.take(ip("192.0.2.1")).ok().unwrap();
        let _second = slots.take(ip("::ffff:192.0.2.1")).ok().unwrap();
        assert_eq!(
            slots.take(ip("192.0.2.1")).err(),
            Some(Rejection::PeerConnections)
        );
        let _other = slots.take(ip("192.0.2.2")).ok().unwrap();
        assert_eq!(
            slots.take(ip("192.0.2.3")).err(),
            Some(Rejection::Connections)
        );
        drop(first);
        assert!(slots.take(ip("192.0.2.1")).is_ok());
        assert_eq!(lock(&slots.taken).by_peer.len(), 2);
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let slots = ConnectionSlots::new(9, 1);
        let _first = slots.take(ip("2001:db8::1")).ok().unwrap();
        assert!(slots.take(ip("2001:db8::ffff:2")).is_err());
        assert!(slots.take(ip("2001:db8:0:1::1")).is_ok());
    }
}
