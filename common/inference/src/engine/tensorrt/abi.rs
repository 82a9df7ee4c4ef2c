//! `common/inference/shim/flukewatch_trt.h` in Rust. A change of one requires the same change of
//! the other and a higher [`ABI`].

use std::ffi::{c_char, c_void};

/// The version of the interface, `FLUKEWATCH_TRT_ABI`.
pub(super) const ABI: u32 = 2;

/// The size limit of a plan in bytes; ours are a few megabytes.
pub(super) const MAX_PLAN: usize = 1 << 30;

pub(super) const OK: i32 = 0;
pub(super) const NO_DRIVER: i32 = 1;
pub(super) const NO_DEVICE: i32 = 2;
pub(super) const NO_LIBRARY: i32 = 3;
pub(super) const OTHER_MAJOR: i32 = 4;
pub(super) const NOT_PARSED: i32 = 5;
pub(super) const NOT_BUILT: i32 = 6;
pub(super) const STOPPED: i32 = 7;
pub(super) const NOT_LOADED: i32 = 8;
pub(super) const UNFIT: i32 = 9;

pub(super) const LOG_ERROR: i32 = 0;
pub(super) const LOG_WARNING: i32 = 1;

/// `flukewatch_trt`, opaque outside of the shim.
#[repr(C)]
pub(super) struct Trt {
    _opaque: [u8; 0],
}

/// `flukewatch_trt_plan`, opaque outside of the shim.
#[repr(C)]
pub(super) struct Plan {
    _opaque: [u8; 0],
}

pub(super) type Log = unsafe extern "C" fn(user: *mut c_void, level: i32, line: *const c_char);
pub(super) type Keep =
    unsafe extern "C" fn(user: *mut c_void, bytes: *const c_void, count: usize) -> i32;
pub(super) type GoOn = unsafe extern "C" fn(user: *mut c_void) -> i32;

#[repr(C)]
pub(super) struct LibraryPaths {
    pub(super) cuda: *const c_char,
    pub(super) infer: *const c_char,
    pub(super) parser: *const c_char,
    pub(super) device: i32,
    pub(super) reserved: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) library: [i32; 4],
    pub(super) headers: [i32; 4],
    pub(super) driver: i32,
    pub(super) compute_major: i32,
    pub(super) compute_minor: i32,
    pub(super) reserved: i32,
    pub(super) memory_bytes: u64,
    pub(super) gpu: [u8; 128],
}

#[repr(C)]
pub(super) struct Options {
    pub(super) workspace_bytes: u64,
    pub(super) int8: i32,
    pub(super) fp16: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) input: [i64; 4],
    pub(super) dimension: i64,
}

pub(super) type AbiFn = unsafe extern "C" fn() -> u32;
pub(super) type MajorFn = unsafe extern "C" fn() -> i32;
pub(super) type SetLogFn = unsafe extern "C" fn(log: Option<Log>, user: *mut c_void);
pub(super) type OpenFn = unsafe extern "C" fn(
    libraries: *const LibraryPaths,
    out: *mut *mut Trt,
    why: *mut c_char,
    why_bytes: usize,
) -> i32;
pub(super) type CloseFn = unsafe extern "C" fn(trt: *mut Trt);
pub(super) type DescribeFn = unsafe extern "C" fn(trt: *const Trt, out: *mut About);
pub(super) type BuildFn = unsafe extern "C" fn(
    trt: *mut Trt,
    onnx: *const c_void,
    count: usize,
    options: *const Options,
    keep: Option<Keep>,
    should_continue: Option<GoOn>,
    user: *mut c_void,
    why: *mut c_char,
    why_bytes: usize,
) -> i32;
pub(super) type LoadFn = unsafe extern "C" fn(
    trt: *mut Trt,
    bytes: *const c_void,
    count: usize,
    out: *mut *mut Plan,
    why: *mut c_char,
    why_bytes: usize,
) -> i32;
pub(super) type UnloadFn = unsafe extern "C" fn(plan: *mut Plan);
pub(super) type ShapeFn = unsafe extern "C" fn(plan: *const Plan, out: *mut Shape);
pub(super) type RunFn = unsafe extern "C" fn(
    plan: *mut Plan,
    input: *const f32,
    inputs: usize,
    output: *mut f32,
    outputs: usize,
    why: *mut c_char,
    why_bytes: usize,
) -> i32;
