//! Where each shim's log goes: TensorRT's logger outlives every session, so what it calls is never freed.
#![allow(
    unsafe_code,
    reason = "a C library is called; each call says why the header's contract is met"
)]

use super::abi;
use crate::engine::{LogLevel, LogSink};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sink of one shim's log.
struct Relay(Mutex<LogSink>);

impl Relay {
    fn lock(&self) -> MutexGuard<'_, LogSink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relay of each shim, by the address of its function: shims stay loaded until the program ends.
static RELAYS: Mutex<BTreeMap<usize, &'static Relay>> = Mutex::new(BTreeMap::new());

/// Sends the log of the shim with the function `set_log` to `sink` from now on.
pub(super) fn send_to(set_log: abi::SetLogFn, sink: LogSink) {
    let mut relays = RELAYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(relay) = relays.get(&(set_log as usize)) {
        *relay.lock() = sink;
        return;
    }
    // Never freed: TensorRT may log until the program ends. There are as many as shims.
    let relay: &'static Relay = Box::leak(Box::new(Relay(Mutex::new(sink))));
    relays.insert(set_log as usize, relay);
    let user = ptr::from_ref(relay).cast_mut().cast::<c_void>();
    // SAFETY: the callback and what `user` points to stay valid until the program ends.
    unsafe { set_log(Some(on_log), user) };
}

/// The callback `flukewatch_trt_log`.
unsafe extern "C" fn on_log(user: *mut c_void, level: i32, line: *const c_char) {
    if user.is_null() || line.is_null() {
        return;
    }
    // SAFETY: `user` is a relay, which is never freed; `line` is NUL-terminated.
    let (relay, line) = unsafe { (&*user.cast::<Relay>(), CStr::from_ptr(line)) };
    let level = match level {
        abi::LOG_ERROR | abi::LOG_WARNING => LogLevel::Warning,
        _ => LogLevel::Detail,
    };
    // Not locked during the call, which may take long. A panic must not cross into C.
    let sink = relay.lock().clone();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        sink(level, &format!("TensorRT: {}", line.to_string_lossy()));
    }));
}
