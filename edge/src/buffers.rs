//! Memory for frames that is reused: buffers return to their pool when they are dropped.

use image::RgbImage;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Free buffers that a pool keeps: one being filled, one pending, one being analysed, and a spare.
const MAX_FREE: usize = 4;

/// Reusable buffers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct BufferPool(Arc<Mutex<Vec<Vec<u8>>>>);

impl BufferPool {
    /// An empty buffer, with the capacity of a returned one where there is one.
    pub fn take(&self) -> PooledBuffer {
        let mut buffer = self.take_uncleared();
        buffer.clear();
        buffer
    }

    /// A buffer with the content of its last use, for a caller that overwrites all of it.
    pub(crate) fn take_uncleared(&self) -> PooledBuffer {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        PooledBuffer {
            bytes: free.pop().unwrap_or_default(),
            pool: Some(self.clone()),
        }
    }

    fn put_back(&self, buffer: Vec<u8>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MAX_FREE {
            free.push(buffer);
        }
    }
}

/// Bytes in a buffer that returns to its [`BufferPool`] when dropped.
#[derive(Debug)]
pub struct PooledBuffer {
    bytes: Vec<u8>,
    pool: Option<BufferPool>,
}

impl From<Vec<u8>> for PooledBuffer {
    /// A buffer of no shared pool.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, pool: None }
    }
}

impl Deref for PooledBuffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.put_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// An image whose memory returns to its [`BufferPool`] when dropped.
#[derive(Debug)]
pub struct PooledImage {
    image: RgbImage,
    pool: Option<BufferPool>,
}

impl PooledImage {
    /// The image that `decode` makes in the memory of a buffer of `pool`.
    ///
    /// # Errors
    /// Those of `decode`.
    pub(crate) fn decode<E>(
        pool: &BufferPool,
        decode: impl FnOnce(Vec<u8>) -> Result<RgbImage, E>,
    ) -> Result<Self, E> {
        let memory = std::mem::take(&mut *pool.take_uncleared());
        let image = decode(memory)?;
        let pool = Some(pool.clone());
        Ok(Self { image, pool })
    }

    /// The image, whose memory does not return to the pool.
    pub(crate) fn into_inner(mut self) -> RgbImage {
        std::mem::take(&mut self.image)
    }
}

impl From<RgbImage> for PooledImage {
    /// An image of no shared pool.
    fn from(image: RgbImage) -> Self {
        Self { image, pool: None }
    }
}

impl Deref for PooledImage {
    type Target = RgbImage;
    fn deref(&self) -> &RgbImage {
        &self.image
    }
}

impl Drop for PooledImage {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.put_back(std::mem::take(&mut self.image).into_raw());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_is_empty() {
        let pool = BufferPool::default();
        let mut first = pool.take();
        first.extend_from_slice(&[1; 1000]);
        let at = first.as_ptr();
        let second = pool.take();
        assert_ne!(second.as_ptr(), at, "the first is still in use");
        drop(first);
        let again = pool.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        assert!(again.capacity() >= 1000);
    }

    #[test]
    fn an_image_returns_its_memory() {
        let pool = BufferPool::default();
        let decode = |memory: Vec<u8>| {
            let mut pixels = memory;
            pixels.resize(12, 7);
            RgbImage::from_raw(2, 2, pixels).ok_or(())
        };
        let image = PooledImage::decode(&pool, decode).unwrap();
        let at = image.as_raw().as_ptr();
        drop(image);
        assert_eq!(pool.take_uncleared().as_ptr(), at);
    }

    #[test]
    fn no_more_is_kept_than_is_needed() {
        let pool = BufferPool::default();
        let many: Vec<PooledBuffer> = (0..20)
            .map(|_| {
                let mut buffer = pool.take();
                buffer.resize(10, 0);
                buffer
            })
            .collect();
        drop(many);
        assert_eq!(pool.0.lock().unwrap().len(), MAX_FREE);
    }
}
