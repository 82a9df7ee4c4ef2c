//! Where training runs, and whether libtorch may choose faster algorithms that are not reproducible.

use super::device_choice::DeviceChoice;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::Path;
use tch::{Cuda, Device};

/// A device and why it was chosen.
pub struct Chosen {
    /// Where tensors are allocated.
    pub device: Device,
    /// The reason, for logs.
    pub reason: String,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A CUDA device is requested of a libtorch without CUDA.
    #[error(
        "--device {requested}: this libtorch has no usable CUDA ({reason}); \
         install one with cargo xtask setup --cuda, or use --device cpu"
    )]
    NoCuda {
        /// What was requested.
        requested: DeviceChoice,
        /// Why CUDA cannot be used.
        reason: String,
    },
    /// There is no CUDA device of this number.
    #[error("--device {requested}: there are {count} CUDA device(s), counted from 0")]
    NoDevice {
        /// What was requested.
        requested: DeviceChoice,
        /// Number of devices.
        count: usize,
    },
    /// Reproducible matrix products require a setting in the environment.
    #[error(
        "deterministic = true on CUDA: the environment has {WORKSPACE} = {found}; \
         set it to :4096:8 and start again"
    )]
    Workspace {
        /// The value found, or "nothing".
        found: String,
    },
    /// This libtorch cannot be made deterministic.
    #[error("deterministic = true: this libtorch does not offer it ({0})")]
    NotDeterministic(String),
}

/// Read by cuBLAS when it starts.
const WORKSPACE: &str = "CUBLAS_WORKSPACE_CONFIG";

/// Chooses the device, and reproducible or fast algorithms. Must run before anything else of libtorch,
/// which detects CUDA once, at its first call.
///
/// With `deterministic`, cuDNN does not time algorithms to choose the fastest, and libtorch uses
/// algorithms without atomic sums where it has them; it prints a warning where it has none.
///
/// # Errors
/// When a CUDA device is requested and there is none, or `deterministic` cannot be had.
pub fn choose(requested: DeviceChoice, deterministic: bool) -> Result<Chosen, DeviceError> {
    let chosen = device(requested)?;
    if chosen.device.is_cuda() {
        Cuda::cudnn_set_benchmark(!deterministic);
        if deterministic {
            check_workspace(std::env::var(WORKSPACE).ok())?;
        }
    }
    match set_deterministic(deterministic) {
        Err(reason) if deterministic => Err(DeviceError::NotDeterministic(reason)),
        // It is off by default.
        Err(_) | Ok(()) => Ok(chosen),
    }
}

fn device(requested: DeviceChoice) -> Result<Chosen, DeviceError> {
    let cpu = |reason: String| Chosen {
        device: Device::Cpu,
        reason,
    };
    if requested == DeviceChoice::Cpu {
        return Ok(cpu("CPU, as requested".into()));
    }
    let usable = match load_cuda() {
        Ok(()) if Cuda::is_available() => Ok(Cuda::device_count() as usize),
        Ok(()) => Err("no CUDA device found".to_owned()),
        Err(error) => Err(error),
    };
    match (requested, usable) {
        (DeviceChoice::Auto, Err(reason)) => Ok(cpu(format!("CPU: {reason}"))),
        (requested, Err(reason)) => Err(DeviceError::NoCuda { requested, reason }),
        (DeviceChoice::Cuda(number), Ok(count)) if number >= count => {
            Err(DeviceError::NoDevice { requested, count })
        }
        (requested, Ok(count)) => {
            let number = match requested {
                DeviceChoice::Cuda(number) => number,
                DeviceChoice::Auto | DeviceChoice::Cpu => 0,
            };
            Ok(Chosen {
                device: Device::Cuda(number),
                reason: format!("CUDA: device {number} of {count}, counted from 0"),
            })
        }
    }
}

fn check_workspace(value: Option<String>) -> Result<(), DeviceError> {
    match value.as_deref() {
        Some(":4096:8" | ":16:8") => Ok(()),
        found => Err(DeviceError::Workspace {
            found: found.unwrap_or("nothing").to_owned(),
        }),
    }
}

/// Loads libtorch's CUDA library. Programs are not linked against it, so that they also run with an
/// installation without CUDA.
fn load_cuda() -> Result<(), String> {
    let beside =
        option_env!("LIBTORCH").map(|folder| Path::new(folder).join("lib/libtorch_cuda.so"));
    let name = beside
        .filter(|p| p.is_file())
        .unwrap_or_else(|| "libtorch_cuda.so".into());
    // SAFETY: opening a library runs its initialisers. This one belongs to the same installation of
    // libtorch and is never closed, as its registrations require.
    #[allow(unsafe_code)]
    let opened = unsafe { Library::open(Some(&name), RTLD_NOW | RTLD_GLOBAL) };
    match opened {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(e) => Err(e.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// A member function of libtorch's global context (`at::Context`), which tch does not wrap.
///
/// # Safety
/// `F` must be the function's signature, with the context as its first argument.
#[allow(unsafe_code)]
unsafe fn context_function<F>(name: &[u8]) -> Result<(Symbol<F>, *mut c_void), String> {
    let program = Library::this();
    // SAFETY: `at::Context& at::globalContext()`, a pointer in the C++ ABI of our platforms; the caller
    // vouches for the other one.
    unsafe {
        let context = program
            .get::<unsafe extern "C" fn() -> *mut c_void>(b"_ZN2at13globalContextEv\0")
            .map_err(|e| e.to_string())?;
        let function = program.get::<F>(name).map_err(|e| e.to_string())?;
        Ok((function, context()))
    }
}

fn set_deterministic(on: bool) -> Result<(), String> {
    const WARN_ONLY: bool = true;
    // SAFETY: `void at::Context::setDeterministicAlgorithms(bool, bool)` and
    // `void at::Context::setDeterministicCuDNN(bool)`.
    #[allow(unsafe_code)]
    unsafe {
        type Algorithms = unsafe extern "C" fn(*mut c_void, bool, bool);
        type CuDnn = unsafe extern "C" fn(*mut c_void, bool);
        let (set, context) =
            context_function::<Algorithms>(b"_ZN2at7Context26setDeterministicAlgorithmsEbb\0")?;
        set(context, on, WARN_ONLY);
        let (set, context) =
            context_function::<CuDnn>(b"_ZN2at7Context21setDeterministicCuDNNEb\0")?;
        set(context, on);
    }
    Ok(())
}

/// Whether libtorch uses reproducible algorithms, its own and cuDNN's.
///
/// # Errors
/// When this libtorch does not tell.
pub fn is_deterministic() -> Result<bool, DeviceError> {
    type Get = unsafe extern "C" fn(*mut c_void) -> bool;
    let both = [
        &b"_ZNK2at7Context23deterministicAlgorithmsEv\0"[..],
        &b"_ZNK2at7Context18deterministicCuDNNEv\0"[..],
    ];
    let mut all = true;
    for name in both {
        // SAFETY: `bool at::Context::NAME() const`.
        #[allow(unsafe_code)]
        let is = unsafe {
            let (get, context) =
                context_function::<Get>(name).map_err(DeviceError::NotDeterministic)?;
            get(context)
        };
        all &= is;
    }
    Ok(all)
}

/// Versions of this program and of the libraries that compute, for a run's record.
pub(crate) fn libraries() -> BTreeMap<String, String> {
    let flukewatch = Some(("flukewatch", env!("CARGO_PKG_VERSION")));
    let libtorch = option_env!("FLUKEWATCH_LIBTORCH_VERSION").map(|version| ("libtorch", version));
    flukewatch
        .into_iter()
        .chain(libtorch)
        .map(|(library, version)| (library.to_owned(), version.to_owned()))
        .collect()
}

/// Sets the number of CPU threads, 0 for the number of cores. Returns it.
pub(crate) fn set_threads(threads: usize) -> usize {
    let threads = if threads > 0 {
        threads
    } else {
        std::thread::available_parallelism().map_or(1, |n| n.get())
    };
    tch::set_num_threads(threads as i32);
    threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_requested_is_used_or_an_error() {
        let cpu = device(DeviceChoice::Cpu).unwrap();
        assert_eq!(cpu.device, Device::Cpu);
        match device(DeviceChoice::Cuda(99)) {
            Err(
                error @ (DeviceError::NoCuda { requested, .. }
                | DeviceError::NoDevice { requested, .. }),
            ) => {
                assert_eq!(requested, DeviceChoice::Cuda(99));
                assert!(error.to_string().starts_with("--device cuda:99:"));
            }
            Err(error) => panic!("{error}"),
            Ok(chosen) => panic!("{}", chosen.reason),
        }
    }

    #[test]
    fn reproducible_matrix_products_need_a_fixed_workspace() {
        assert!(check_workspace(Some(":4096:8".into())).is_ok());
        for bad in [None, Some("".to_owned()), Some(":0:0".to_owned())] {
            let error = check_workspace(bad).unwrap_err().to_string();
            assert!(error.contains(":4096:8"), "{error}");
        }
    }
}
