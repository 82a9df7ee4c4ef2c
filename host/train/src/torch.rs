//! What every network needs of libtorch: tensors to and from plain numbers, operations, initial weights.

pub(crate) mod initial;
pub(crate) mod operations;
pub(crate) mod tensors;
