//! Behaviour on a closed pipe, e.g. in `flukewatch losses | head -1`.

/// Makes the program end silently on a broken pipe, like other commands, instead of panicking:
/// Rust's start-up code ignores SIGPIPE.
pub(crate) fn end_quietly() {
    #[cfg(unix)]
    {
        // SAFETY: SIG_DFL installs no handler, so no code of this program runs in a signal context,
        // and `main` calls this before it starts another thread.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
    }
}
