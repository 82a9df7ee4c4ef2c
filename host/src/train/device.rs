//! Where the training runs: a CUDA card where there is one, else the CPU.

use std::path::Path;
use tch::{Cuda, Device};

/// The device, and in words why it is that one.
pub struct Chosen {
    /// Where tensors live.
    pub device: Device,
    /// For people.
    pub why: String,
}

/// Finds the device. Must run before anything else of libtorch: libtorch looks for CUDA once, at its first call.
pub fn choose(force_cpu: bool) -> Chosen {
    if force_cpu {
        return Chosen {
            device: Device::Cpu,
            why: "CPU, as asked".into(),
        };
    }
    match load_cuda() {
        Err(reason) => Chosen {
            device: Device::Cpu,
            why: format!("CPU: this libtorch has no usable CUDA ({reason})"),
        },
        Ok(()) if !Cuda::is_available() => Chosen {
            device: Device::Cpu,
            why: "CPU: no CUDA card found".into(),
        },
        Ok(()) => {
            Cuda::cudnn_set_benchmark(true);
            Chosen {
                device: Device::Cuda(0),
                why: format!("CUDA: the first of {} card(s)", Cuda::device_count()),
            }
        }
    }
}

/// Opens libtorch's CUDA half. Programs are not linked against it, so that an installation without CUDA serves as well.
fn load_cuda() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let beside =
        option_env!("LIBTORCH").map(|folder| Path::new(folder).join("lib/libtorch_cuda.so"));
    let name = beside
        .filter(|p| p.is_file())
        .unwrap_or_else(|| "libtorch_cuda.so".into());
    // SAFETY: opening a library runs its initialisers. This is libtorch's own other half, of the same installation, and it
    // stays open until the program ends, as its registrations must.
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

/// Sets the CPU's threads; 0 for as many as there are cores. Returns how many.
pub fn set_threads(threads: usize) -> usize {
    let threads = if threads > 0 {
        threads
    } else {
        std::thread::available_parallelism().map_or(1, |n| n.get())
    };
    tch::set_num_threads(threads as i32);
    threads
}
