//! Where training runs: the first CUDA device if there is one, else the CPU.

use std::collections::BTreeMap;
use std::path::Path;
use tch::{Cuda, Device};

/// A device and why it was chosen.
pub struct Chosen {
    /// Where tensors are allocated.
    pub device: Device,
    /// The reason, for logs.
    pub reason: String,
}

/// Chooses the device. Must run before anything else of libtorch, which detects CUDA once, at its
/// first call.
pub fn choose(force_cpu: bool) -> Chosen {
    if force_cpu {
        return Chosen {
            device: Device::Cpu,
            reason: "CPU, as requested".into(),
        };
    }
    match load_cuda() {
        Err(error) => Chosen {
            device: Device::Cpu,
            reason: format!("CPU: this libtorch has no usable CUDA ({error})"),
        },
        Ok(()) if !Cuda::is_available() => Chosen {
            device: Device::Cpu,
            reason: "CPU: no CUDA device found".into(),
        },
        Ok(()) => {
            Cuda::cudnn_set_benchmark(true);
            Chosen {
                device: Device::Cuda(0),
                reason: format!("CUDA: the first of {} device(s)", Cuda::device_count()),
            }
        }
    }
}

/// Loads libtorch's CUDA library. Programs are not linked against it, so that they also run with an
/// installation without CUDA.
fn load_cuda() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
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
