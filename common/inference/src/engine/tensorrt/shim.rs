//! A safe interface to a shim: one library that opens TensorRT and a GPU, and at most one loaded
//! plan.
#![allow(
    unsafe_code,
    reason = "a C library is called; each call says why the header's contract is met"
)]

use super::abi;
use super::error::{NotStarted, TensorRtError};
use super::shim_log;
use crate::engine::LogSink;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

/// The size limit of the reason that a shim can give, in bytes.
const WHY_BYTES: usize = 512;

/// A shim's functions.
struct Functions {
    set_log: abi::SetLogFn,
    open: abi::OpenFn,
    close: abi::CloseFn,
    describe: abi::DescribeFn,
    build: abi::BuildFn,
    load: abi::LoadFn,
    unload: abi::UnloadFn,
    shape_of: abi::ShapeFn,
    run: abi::RunFn,
}

/// A shim with this program's version of the interface.
pub(super) struct Shim {
    file: PathBuf,
    functions: Functions,
}

impl Shim {
    /// Opens `file`, which by its name is for TensorRT `major`. It stays loaded until the program
    /// ends: CUDA and TensorRT, which it loads, have threads and exit handlers that outlive every
    /// handle.
    pub(super) fn open(file: &Path, major: u32) -> Result<Self, TensorRtError> {
        let not_a_shim = |e: libloading::Error| TensorRtError::NotAShim {
            file: file.to_owned(),
            why: e.to_string(),
        };
        // SAFETY: opening runs the library's initialisers. The boat's owner installed the file in
        // the folder of shims, so it is as trusted as the program itself.
        let library =
            unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(not_a_shim)?;
        // SAFETY: by the header, every version of the shim has this function with this type.
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
        // SAFETY: a shim with this version of the interface has these functions with these types.
        let (functions, built_for) = unsafe {
            let major = library
                .get::<abi::MajorFn>(b"flukewatch_trt_major\0")
                .map_err(not_a_shim)?;
            let functions = Functions {
                set_log: *library
                    .get(b"flukewatch_trt_set_log\0")
                    .map_err(not_a_shim)?,
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
        // Never closed, so the functions stay valid.
        std::mem::forget(library);
        Ok(Self {
            file: file.to_owned(),
            functions,
        })
    }

    /// Starts CUDA and TensorRT. `log` receives the log of this session and of all others of this shim from now on,
    /// until another one starts.
    pub(super) fn start(self, log: LogSink) -> Result<Session, TensorRtError> {
        shim_log::send_to(self.functions.set_log, log);
        let libraries = abi::LibraryPaths {
            cuda: ptr::null(),
            infer: ptr::null(),
            parser: ptr::null(),
            device: 0,
            reserved: 0,
        };
        let mut trt = ptr::null_mut();
        let mut why = ErrorBuffer::new();
        // SAFETY: all pointers are valid during the call.
        let status = unsafe {
            (self.functions.open)(&raw const libraries, &raw mut trt, why.start(), WHY_BYTES)
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
        })
    }
}

/// TensorRT and a GPU, opened by a shim.
pub(super) struct Session {
    shim: Shim,
    trt: NonNull<abi::Trt>,
    plan: Option<Loaded>,
    about: abi::About,
}

#[derive(Clone, Copy)]
struct Loaded {
    handle: NonNull<abi::Plan>,
    shape: abi::Shape,
}

// SAFETY: the header allows moving handles between threads, and a session has one owner: every call
// except `about` takes it mutably.
unsafe impl Send for Session {}

impl Session {
    /// The description of TensorRT and the GPU.
    pub(super) fn about(&self) -> &abi::About {
        &self.about
    }

    /// The path of the shim.
    pub(super) fn file(&self) -> &Path {
        &self.shim.file
    }

    /// Builds a plan from an ONNX file; stops when `should_continue` returns false.
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
        // SAFETY: all pointers are valid during the call. The shim calls `on_plan` once, from this
        // thread, and does not call `on_step` after it returns.
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

    /// Loads a plan that [`Session::build`] made, replacing the loaded one. The caller guarantees
    /// that the plan was stored safely.
    pub(super) fn load(&mut self, plan: &[u8]) -> Result<(), TensorRtError> {
        self.unload();
        let mut handle = ptr::null_mut();
        let mut why = ErrorBuffer::new();
        // SAFETY: all pointers are valid during the call. A plan holds native code; it comes from
        // the cache, which accepts only files of this user.
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

    /// The shapes of input and output of the loaded plan.
    pub(super) fn shape(&self) -> Option<([i64; 4], i64)> {
        self.plan.map(|p| (p.shape.input, p.shape.dimension))
    }

    /// Runs the loaded plan on one image, without allocating.
    pub(super) fn run(&mut self, input: &[f32], output: &mut [f32]) -> Result<(), String> {
        let Some(Loaded { handle, .. }) = self.plan else {
            return Err("no plan is loaded".into());
        };
        let mut why = ErrorBuffer::new();
        // SAFETY: the plan is loaded; the shim rejects lengths other than the plan's and accesses
        // no memory beyond them.
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
            // SAFETY: the plan was loaded and is unloaded once.
            unsafe { (self.shim.functions.unload)(handle.as_ptr()) };
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unload();
        // SAFETY: the handle was opened once and is closed once, after its plan was unloaded.
        unsafe { (self.shim.functions.close)(self.trt.as_ptr()) };
    }
}

/// A buffer for a shim's reason.
struct ErrorBuffer([u8; WHY_BYTES]);

impl ErrorBuffer {
    fn new() -> Self {
        Self([0; WHY_BYTES])
    }

    fn start(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    /// The reason on one line, for display.
    fn text(&self) -> String {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(WHY_BYTES);
        let text = String::from_utf8_lossy(&self.0[..end]);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            "no reason given".into()
        } else {
            line
        }
    }
}

/// A build in progress.
struct Job<'a> {
    plan: Vec<u8>,
    should_continue: &'a (dyn Fn() -> bool + Sync),
}

/// The callback `flukewatch_trt_keep`.
unsafe extern "C" fn on_plan(user: *mut c_void, bytes: *const c_void, count: usize) -> i32 {
    if user.is_null() || bytes.is_null() || count > abi::MAX_PLAN {
        return 1;
    }
    // SAFETY: `user` is the job of the build in progress, which only this thread changes; there are
    // `count` bytes.
    let (plan, bytes) = unsafe {
        (
            &raw mut (*user.cast::<Job>()).plan,
            std::slice::from_raw_parts(bytes.cast::<u8>(), count),
        )
    };
    let kept = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above; no other reference to the field exists during this call.
        unsafe { &mut *plan }.extend_from_slice(bytes);
    }));
    i32::from(kept.is_err())
}

/// The callback `flukewatch_trt_go_on`.
unsafe extern "C" fn on_step(user: *mut c_void) -> i32 {
    if user.is_null() {
        return 0;
    }
    // SAFETY: `user` is the job of the build in progress; only this field is read, which never
    // changes, and any thread may call the function that it points to.
    let should_continue = unsafe { (*user.cast::<Job>()).should_continue };
    let answer = catch_unwind(AssertUnwindSafe(should_continue));
    i32::from(answer.unwrap_or(false))
}
