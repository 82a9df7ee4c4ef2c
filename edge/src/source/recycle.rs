//! Memory for frames that goes back to where it came from.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// How many empty buffers are kept: one that is filled, one that waits, one that is looked at, and one more.
const KEPT: usize = 4;

/// Buffers of one source. Once as many are in use as ever are at a time, no frame takes new memory.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer, with the capacity of an earlier one if one has come back.
    pub fn empty(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = kept.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// `filled`, to come back here when it is dropped.
    pub fn lend(&self, filled: Vec<u8>) -> Recycled {
        Recycled {
            bytes: filled,
            home: self.clone(),
        }
    }

    /// Takes back a buffer that was not lent.
    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// Bytes in a buffer of [`Buffers`].
#[derive(Debug)]
pub struct Recycled {
    bytes: Vec<u8>,
    home: Buffers,
}

impl From<Vec<u8>> for Recycled {
    /// Bytes that go nowhere in particular.
    fn from(bytes: Vec<u8>) -> Self {
        Buffers::default().lend(bytes)
    }
}

impl Deref for Recycled {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_is_empty() {
        let buffers = Buffers::default();
        let mut first = buffers.empty();
        first.extend_from_slice(&[1; 1000]);
        let at = first.as_ptr();
        let lent = buffers.lend(first);
        assert_eq!(lent.len(), 1000);
        let second = buffers.empty();
        assert_ne!(second.as_ptr(), at, "the first is still in use");
        drop(lent);
        let again = buffers.empty();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        assert!(again.capacity() >= 1000);
    }

    #[test]
    fn no_more_is_kept_than_is_needed() {
        let buffers = Buffers::default();
        let many: Vec<Recycled> = (0..20).map(|_| buffers.lend(vec![0; 10])).collect();
        drop(many);
        assert_eq!(buffers.0.lock().unwrap().len(), KEPT);
    }
}
