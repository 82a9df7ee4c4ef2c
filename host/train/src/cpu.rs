//! Faster paths of the training step on CPUs. On other devices libtorch's own operations are used;
//! nothing outside this module depends on which path is taken.

pub(crate) mod adamw;
pub(crate) mod allocator;
pub(crate) mod depthwise;
mod floats;
mod lanes;
