//! The key of a plan. A plan is valid only for one model on one GPU with one TensorRT and one
//! driver.

use super::abi;
use super::installation::Installation;
use sha2::{Digest, Sha256};

/// How a plan is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Layers that are not int8 may run in 16 bits: faster, but less close to tract. TensorRT 11
    /// and later ignore it and use the types in the file.
    pub fp16: bool,
    /// The memory that TensorRT may use to try out layers, in bytes.
    pub workspace_bytes: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            fp16: false,
            workspace_bytes: 512 * 1024 * 1024,
        }
    }
}

/// Everything that a plan depends on, as lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanKey(String);

impl PlanKey {
    /// The key of the plan of `model` in `installation`. `driver_release` distinguishes drivers of
    /// the same CUDA version, if known.
    pub(super) fn new(
        model: &[u8],
        installation: &Installation,
        driver_release: &str,
        options: PlanOptions,
        int8: bool,
    ) -> Self {
        let Installation {
            version,
            headers,
            gpu,
            compute,
            driver,
            ..
        } = installation;
        let PlanOptions {
            fp16,
            workspace_bytes,
        } = options;
        let model: String = Sha256::digest(model)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        // Keep the driver release on one line.
        let driver_release = driver_release.lines().next().unwrap_or_default().trim();
        Self(format!(
            "model {model}\ntensorrt {version}\ngpu {gpu}, compute {compute}\ndriver {driver}, {driver_release}\n\
             options int8 {int8}, fp16 {fp16}, workspace {workspace_bytes}\nshim {}, headers {headers}\n",
            abi::ABI
        ))
    }

    /// The key as text, stored in the plan's file.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The file name of the plan.
    pub(super) fn file_name(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        let name: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
        name + ".plan"
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn installation() -> Installation {
        Installation {
            version: "10.3.0.30".into(),
            headers: "10.16.0.72".into(),
            gpu: "Orin".into(),
            compute: "8.7".into(),
            driver: "12.6".into(),
            memory_bytes: 8_000_000_000,
            shim: PathBuf::from("/usr/local/lib/flukewatch/libflukewatch_trt10.so"),
        }
    }

    #[test]
    fn everything_that_a_plan_depends_on_changes_its_file_name() {
        let options = PlanOptions::default();
        let key =
            |i: &Installation| PlanKey::new(b"model", i, "540.4.0", options, true).file_name();
        let usual = key(&installation());
        let mut others = vec![
            PlanKey::new(b"another", &installation(), "540.4.0", options, true).file_name(),
            PlanKey::new(b"model", &installation(), "540.3.0", options, true).file_name(),
            PlanKey::new(b"model", &installation(), "540.4.0", options, false).file_name(),
        ];
        for changed in [
            PlanOptions {
                fp16: true,
                ..options
            },
            PlanOptions {
                workspace_bytes: 1,
                ..options
            },
        ] {
            others.push(
                PlanKey::new(b"model", &installation(), "540.4.0", changed, true).file_name(),
            );
        }
        let changes: [fn(&mut Installation); 5] = [
            |i| i.version = "10.3.0.31".into(),
            |i| i.headers = "10.3.0.30".into(),
            |i| i.gpu = "Xavier".into(),
            |i| i.compute = "7.2".into(),
            |i| i.driver = "12.5".into(),
        ];
        for change in changes {
            let mut changed = installation();
            change(&mut changed);
            others.push(key(&changed));
        }
        others.push(usual);
        let count = others.len();
        others.sort();
        others.dedup();
        assert_eq!(others.len(), count);
    }

    #[test]
    fn the_path_of_the_shim_and_the_memory_do_not_matter() {
        let options = PlanOptions::default();
        let moved = Installation {
            shim: PathBuf::from("elsewhere.so"),
            memory_bytes: 1,
            ..installation()
        };
        assert_eq!(
            PlanKey::new(b"model", &moved, "", options, true),
            PlanKey::new(b"model", &installation(), "\n", options, true)
        );
    }
}
