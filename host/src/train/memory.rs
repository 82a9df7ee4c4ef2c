//! What the allocator is told before training.

/// Lets glibc keep the memory of large tensors between steps. It would otherwise give each block back to the system when it is
/// freed, and the system would clear its pages anew for the next step, which takes a fifth of a core's time. Elsewhere this does
/// nothing.
pub fn keep_between_steps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const GIGABYTE: libc::c_int = 1 << 30;
        // SAFETY: mallopt only sets numbers of the allocator, under its own lock, and may be called at any time; it refuses a
        // number that it cannot use.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, GIGABYTE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
