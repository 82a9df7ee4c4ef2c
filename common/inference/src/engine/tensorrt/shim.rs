//! The shim behind a safe face: one library with TensorRT and a GPU behind it, and at most one plan loaded.
#![allow(
    unsafe_code,
    reason = "a C library is called; each call says why the header's terms are met"
)]

use super::abi;
use super::error::{NotStarted, TensorRtError};
use crate::engine::{LogLevel, LogSink};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

/// The longest reason that a shim can give.
const WHY_BYTES: usize = 512;

/// A shim's functions.
struct Functions {
    open: abi::OpenFn,
    close: abi::CloseFn,
    describe: abi::DescribeFn,
    build: abi::BuildFn,
    load: abi::LoadFn,
    unload: abi::UnloadFn,
    shape_of: abi::ShapeFn,
    run: abi::RunFn,
}

/// A shim that speaks our interface.
pub(super) struct Shim {
    file: PathBuf,
    functions: Functions,
}

impl Shim {
    /// Opens `file`, which by its name is for TensorRT `major`. It stays in memory until the program ends: CUDA and TensorRT, which
    /// it brings, have threads and handlers that outlive every handle.
    pub(super) fn open(file: &Path, major: u32) -> Result<Self, TensorRtError> {
        let not_a_shim = |e: libloading::Error| TensorRtError::NotAShim {
            file: file.to_owned(),
            why: e.to_string(),
        };
        // SAFETY: opening runs the library's initialisers. The file is one that the boat's owner put into the folder of shims, as
        // trusted as the program itself.
        let library =
            unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(not_a_shim)?;
        // SAFETY: every shim of any age has this function with this type; so says the header.
        let got = unsafe {
            let abi = library
                .get::<abi::AbiFn>(b"flukewatch_trt_abi\0")
                .map_err(not_a_shim)?;
            abi()
        };
        if got != abi::ABI {
            return Err(TensorRtError::OtherAbi {
                file: file.to_owned(),
                got,
                expected: abi::ABI,
            });
        }
        // SAFETY: a shim of our version of the interface has these functions with these types.
        let (functions, built_for) = unsafe {
            let major = library
                .get::<abi::MajorFn>(b"flukewatch_trt_major\0")
                .map_err(not_a_shim)?;
            let functions = Functions {
                open: *library.get(b"flukewatch_trt_open\0").map_err(not_a_shim)?,
                close: *library.get(b"flukewatch_trt_close\0").map_err(not_a_shim)?,
                describe: *library
                    .get(b"flukewatch_trt_describe\0")
                    .map_err(not_a_shim)?,
                build: *library.get(b"flukewatch_trt_build\0").map_err(not_a_shim)?,
                load: *library.get(b"flukewatch_trt_load\0").map_err(not_a_shim)?,
                unload: *library
                    .get(b"flukewatch_trt_unload\0")
                    .map_err(not_a_shim)?,
                shape_of: *library
                    .get(b"flukewatch_trt_shape_of\0")
                    .map_err(not_a_shim)?,
                run: *library.get(b"flukewatch_trt_run\0").map_err(not_a_shim)?,
            };
            (functions, major())
        };
        if u32::try_from(built_for) != Ok(major) {
            return Err(TensorRtError::OtherName {
                file: file.to_owned(),
                got: built_for,
                expected: major,
            });
        }
        // Never closed, so that the functions stay valid.
        std::mem::forget(library);
        Ok(Self {
            file: file.to_owned(),
            functions,
        })
    }

    /// Starts CUDA and TensorRT.
    pub(super) fn start(self, log: LogSink) -> Result<Session, TensorRtError> {
        let libraries = abi::LibraryPaths {
            cuda: ptr::null(),
            infer: ptr::null(),
            parser: ptr::null(),
            device: 0,
            reserved: 0,
        };
        let log = Box::new(log);
        let user = ptr::from_ref::<LogSink>(&log).cast_mut().cast::<c_void>();
        let mut trt = ptr::null_mut();
        let mut why = ErrorBuffer::new();
        // SAFETY: all pointers live through the call, the log's until the session closes: it lies in a box that the session keeps.
        let status = unsafe {
            (self.functions.open)(
                &raw const libraries,
                Some(on_log),
                user,
                &raw mut trt,
                why.start(),
                WHY_BYTES,
            )
        };
        let reason = match status {
            abi::OK => None,
            abi::NO_DRIVER => Some(NotStarted::Driver),
            abi::NO_DEVICE => Some(NotStarted::Device),
            abi::NO_LIBRARY => Some(NotStarted::Library),
            abi::OTHER_MAJOR => Some(NotStarted::Version),
            _ => Some(NotStarted::Other),
        };
        let (Some(trt), None) = (NonNull::new(trt), reason) else {
            return Err(TensorRtError::NotStarted {
                shim: self.file,
                reason: reason.unwrap_or(NotStarted::Other),
                why: why.text(),
            });
        };
        let mut about = abi::About {
            library: [-1; 4],
            headers: [-1; 4],
            driver: 0,
            compute_major: 0,
            compute_minor: 0,
            reserved: 0,
            memory_bytes: 0,
            gpu: [0; 128],
        };
        // SAFETY: `trt` was just opened, and `about` has the header's layout.
        unsafe { (self.functions.describe)(trt.as_ptr(), &raw mut about) };
        Ok(Session {
            shim: self,
            trt,
            plan: None,
            about,
            _log: log,
        })
    }
}

/// TensorRT with a GPU.
pub(super) struct Session {
    shim: Shim,
    trt: NonNull<abi::Trt>,
    plan: Option<Loaded>,
    about: abi::About,
    /// Who is told what TensorRT logs; the shim holds a pointer to it.
    _log: Box<LogSink>,
}

#[derive(Clone, Copy)]
struct Loaded {
    handle: NonNull<abi::Plan>,
    shape: abi::Shape,
}

// SAFETY: the header allows handles to wander between threads, and a session has one owner: every call but `about` takes it mutably.
unsafe impl Send for Session {}

impl Session {
    /// What was opened.
    pub(super) fn about(&self) -> &abi::About {
        &self.about
    }

    /// The shim's file.
    pub(super) fn file(&self) -> &Path {
        &self.shim.file
    }

    /// Builds a plan from an ONNX file for as long as `should_continue` says so.
    pub(super) fn build(
        &mut self,
        onnx: &[u8],
        options: &abi::Options,
        should_continue: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<u8>, TensorRtError> {
        let mut job = Job {
            plan: vec![],
            should_continue,
        };
        let mut why = ErrorBuffer::new();
        // SAFETY: all pointers live through the call. The shim calls `on_plan` once, from this thread, and `on_step` not after its
        // return.
        let status = unsafe {
            (self.shim.functions.build)(
                self.trt.as_ptr(),
                onnx.as_ptr().cast(),
                onnx.len(),
                ptr::from_ref(options),
                Some(on_plan),
                Some(on_step),
                (&raw mut job).cast(),
                why.start(),
                WHY_BYTES,
            )
        };
        match status {
            abi::OK if job.plan.is_empty() => {
                Err(TensorRtError::NotBuilt("the plan is empty".into()))
            }
            abi::OK => Ok(job.plan),
            abi::NOT_PARSED => Err(TensorRtError::NotParsed(why.text())),
            abi::NOT_BUILT => Err(TensorRtError::NotBuilt(why.text())),
            abi::STOPPED => Err(TensorRtError::Stopped),
            _ => Err(TensorRtError::Failed(why.text())),
        }
    }

    /// Loads a plan that [`Session::build`] made, in place of the one that is loaded. The caller vouches for where it lay meanwhile.
    pub(super) fn load(&mut self, plan: &[u8]) -> Result<(), TensorRtError> {
        self.unload();
        let mut handle = ptr::null_mut();
        let mut why = ErrorBuffer::new();
        // SAFETY: all pointers live through the call. A plan holds native code; it comes from the cache, which takes only what this
        // user wrote.
        let status = unsafe {
            (self.shim.functions.load)(
                self.trt.as_ptr(),
                plan.as_ptr().cast(),
                plan.len(),
                &raw mut handle,
                why.start(),
                WHY_BYTES,
            )
        };
        let handle = match (status, NonNull::new(handle)) {
            (abi::OK, Some(handle)) => handle,
            (abi::NOT_LOADED, _) => return Err(TensorRtError::NotLoaded(why.text())),
            (abi::UNFIT, _) => return Err(TensorRtError::Unsupported(why.text())),
            _ => return Err(TensorRtError::Failed(why.text())),
        };
        let mut shape = abi::Shape::default();
        // SAFETY: the plan was just loaded, and `shape` has the header's layout.
        unsafe { (self.shim.functions.shape_of)(handle.as_ptr(), &raw mut shape) };
        self.plan = Some(Loaded { handle, shape });
        Ok(())
    }

    /// Input and output of the loaded plan.
    pub(super) fn shape(&self) -> Option<([i64; 4], i64)> {
        self.plan.map(|p| (p.shape.input, p.shape.dimension))
    }

    /// Runs the loaded plan on one image. Nothing is allocated on the way.
    pub(super) fn run(&mut self, input: &[f32], output: &mut [f32]) -> Result<(), String> {
        let Some(Loaded { handle, .. }) = self.plan else {
            return Err("no plan is loaded".into());
        };
        let mut why = ErrorBuffer::new();
        // SAFETY: the plan is loaded; the shim refuses lengths that are not the plan's and touches no more than they say.
        let status = unsafe {
            (self.shim.functions.run)(
                handle.as_ptr(),
                input.as_ptr(),
                input.len(),
                output.as_mut_ptr(),
                output.len(),
                why.start(),
                WHY_BYTES,
            )
        };
        if status == abi::OK {
            Ok(())
        } else {
            Err(why.text())
        }
    }

    fn unload(&mut self) {
        if let Some(Loaded { handle, .. }) = self.plan.take() {
            // SAFETY: it was loaded, and is unloaded once.
            unsafe { (self.shim.functions.unload)(handle.as_ptr()) };
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unload();
        // SAFETY: opened once, closed once, and its plan is unloaded.
        unsafe { (self.shim.functions.close)(self.trt.as_ptr()) };
    }
}

/// Room for a shim's reason, on the stack.
struct ErrorBuffer([u8; WHY_BYTES]);

impl ErrorBuffer {
    fn new() -> Self {
        Self([0; WHY_BYTES])
    }

    fn start(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    /// On one line, for people.
    fn text(&self) -> String {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(WHY_BYTES);
        let text = String::from_utf8_lossy(&self.0[..end]);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            "it does not say why".into()
        } else {
            line
        }
    }
}

/// A build that is going on.
struct Job<'a> {
    plan: Vec<u8>,
    should_continue: &'a (dyn Fn() -> bool + Sync),
}

/// `flukewatch_trt_log`
unsafe extern "C" fn on_log(user: *mut c_void, level: i32, line: *const c_char) {
    if user.is_null() || line.is_null() {
        return;
    }
    // SAFETY: `user` is the box that the session keeps until it is closed, `line` ends with a zero byte.
    let (log, line) = unsafe { (&*user.cast::<LogSink>(), CStr::from_ptr(line)) };
    let level = match level {
        abi::LOG_ERROR | abi::LOG_WARNING => LogLevel::Warning,
        _ => LogLevel::Detail,
    };
    // A panic must not cross into C.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        log(level, &format!("TensorRT: {}", line.to_string_lossy()));
    }));
}

/// `flukewatch_trt_keep`
unsafe extern "C" fn on_plan(user: *mut c_void, bytes: *const c_void, count: usize) -> i32 {
    if user.is_null() || bytes.is_null() || count > abi::MAX_PLAN {
        return 1;
    }
    // SAFETY: `user` is the job of the build that is going on, which this thread alone changes; there are `count` bytes.
    let (plan, bytes) = unsafe {
        (
            &raw mut (*user.cast::<Job>()).plan,
            std::slice::from_raw_parts(bytes.cast::<u8>(), count),
        )
    };
    let kept = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above; no other reference to the field exists while the shim calls this.
        unsafe { &mut *plan }.extend_from_slice(bytes);
    }));
    i32::from(kept.is_err())
}

/// `flukewatch_trt_go_on`
unsafe extern "C" fn on_step(user: *mut c_void) -> i32 {
    if user.is_null() {
        return 0;
    }
    // SAFETY: `user` is the job of the build that is going on; only the field is read, which nobody changes, and any
    // thread may call what it points to.
    let should_continue = unsafe { (*user.cast::<Job>()).should_continue };
    let answer = catch_unwind(AssertUnwindSafe(should_continue));
    i32::from(answer.unwrap_or(false))
}
