//! What happens when nobody reads on: `flukewatch losses | head -1`.

/// Ends the program quietly when it writes to a pipe whose reader is gone, as other commands end, instead of with a panic: Rust's
/// start-up code has told the system to ignore the signal.
pub fn end_quietly() {
    #[cfg(unix)]
    {
        // SAFETY: SIG_DFL is no handler of ours, so that nothing of this program runs in a signal's context, and no other thread
        // runs yet where this is called, at the head of `main`.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
    }
}
