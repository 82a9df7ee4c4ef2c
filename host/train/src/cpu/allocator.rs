//! Settings of the memory allocator for training.

/// Makes glibc keep the memory of large tensors between steps. By default it returns every block to
/// the system when it is freed, and the system zeroes its pages for the next step, which takes a fifth
/// of a core's time. Does nothing on other platforms.
pub(crate) fn keep_memory_between_steps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const GIGABYTE: libc::c_int = 1 << 30;
        // SAFETY: mallopt sets parameters of the allocator under its own lock, may be called at any
        // time, and ignores values that it cannot use.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, GIGABYTE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
