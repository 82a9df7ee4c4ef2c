//! What the crate `v4l` 0.14 takes of the kernel's `linux/videodev2.h`, for 64-bit Linux.
//!
//! The crate that this one replaces makes the same with bindgen in each build, which needs libclang and the target's headers. The
//! kernel never changes what it has published, so it is made once, and a boat's program builds with nothing but Rust and a C compiler.
//!
//! Made by bindgen 0.65.1 (libclang 14, Linux 6.1 headers) of a file that includes `linux/videodev2.h`, without comments, without
//! layout tests (`tests` below holds what the kernel's numbers hang on), and with no more than the names that `v4l` uses.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    reason = "generated"
)]

include!("bindings.rs");

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    /// The size of what a call takes is part of its number: were one of these wrong, the kernel would not know the call.
    #[test]
    fn sizes_are_the_kernel_s() {
        assert_eq!(size_of::<v4l2_capability>(), 104);
        assert_eq!(size_of::<v4l2_format>(), 208);
        assert_eq!(size_of::<v4l2_buffer>(), 88);
        assert_eq!(size_of::<v4l2_fmtdesc>(), 64);
        assert_eq!(size_of::<v4l2_frmsizeenum>(), 44);
        assert_eq!(size_of::<v4l2_frmivalenum>(), 52);
        assert_eq!(size_of::<v4l2_requestbuffers>(), 20);
        assert_eq!(size_of::<v4l2_streamparm>(), 204);
        assert_eq!(size_of::<v4l2_ext_controls>(), 32);
        assert_eq!(size_of::<v4l2_ext_control>(), 20);
        assert_eq!(size_of::<v4l2_query_ext_ctrl>(), 232);
    }
}
