//! TensorRT: inference on NVIDIA GPUs.
//!
//! TensorRT has a C++ interface that differs between major versions, so it is called through a
//! shim: a small library with a plain C interface (`common/inference/shim`), compiled once for each
//! major version and opened at run time. Flukewatch builds and runs without TensorRT.
//!
//! From an ONNX file TensorRT builds a plan, which takes minutes on a Jetson and is valid only for
//! this model, GPU, TensorRT and driver. Plans are cached on disk; one that TensorRT rejects is
//! deleted and rebuilt, once.

mod abi;
mod cache;
mod error;
mod installation;
mod key;
mod shim;
mod shim_log;

pub use error::{CacheError, NotStarted, TensorRtError};
pub use installation::Installation;
pub use key::PlanOptions;

use super::form::{Form, check};
use super::packed::packed;
use super::strip::is_quantised;
use super::{Engine, EngineError, LogLevel, LogSink, Outputs, expect_shape};
use cache::PlanCache;
use key::PlanKey;
use ndarray::ArrayView3;
use prost::Message;
use shim::{Session, Shim};
use std::path::{Path, PathBuf};
use tract_onnx::pb::ModelProto;

/// The major versions of TensorRT that have a shim, in the order in which they are tried.
pub const MAJORS: [u32; 3] = [11, 10, 8];
/// The default folder of the shims.
pub const SHIM_FOLDER: &str = "/usr/local/lib/flukewatch";
/// The limit on the numbers of a plan's output.
const MAX_DIMENSION: i64 = 1 << 24;
/// The file with the release of NVIDIA's driver. Not every Jetson has it.
const DRIVER_RELEASE: &str = "/proc/driver/nvidia/version";

/// The folders of TensorRT's shims and plans, and how plans are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRtConfig {
    /// The folder of the shims, e.g. `libflukewatch_trt10.so`. They are native code: whoever can
    /// write there can run anything.
    pub shims: PathBuf,
    /// The folder of the plans; created if missing, writable by this user only.
    pub plans: PathBuf,
    /// How plans are built.
    pub options: PlanOptions,
}

impl TensorRtConfig {
    /// The installed shims, at least one, newest TensorRT first.
    ///
    /// # Errors
    /// [`TensorRtError::NoShim`] if there is none.
    pub fn find_shims(&self) -> Result<Vec<(u32, PathBuf)>, TensorRtError> {
        let file = |major| (major, self.shims.join(shim_file(major)));
        let there = |(_, file): &(u32, PathBuf)| file.is_file();
        let shims: Vec<_> = MAJORS.into_iter().map(file).filter(there).collect();
        if shims.is_empty() {
            return Err(TensorRtError::NoShim {
                folder: self.shims.clone(),
            });
        }
        Ok(shims)
    }
}

/// The file name of the shim for a major version.
pub fn shim_file(major: u32) -> String {
    format!("libflukewatch_trt{major}.so")
}

/// TensorRT and a GPU, ready to load a model.
pub struct TensorRt {
    session: Session,
    plans: PlanCache,
    options: PlanOptions,
    installation: Installation,
    driver_release: String,
    log: LogSink,
}

impl TensorRt {
    /// Starts TensorRT with the first shim that finds its version of it. `log` receives events, and
    /// TensorRT's own log, which is one for all that are started, until another one is.
    ///
    /// # Errors
    /// When shim, driver, GPU or TensorRT is missing, or others can write to the folder of plans.
    pub fn start(place: &TensorRtConfig, log: LogSink) -> Result<Self, TensorRtError> {
        let shims = place.find_shims()?;
        let plans = PlanCache::open(&place.plans)?;
        let session = start_any(&shims, &log)?;
        let installation = Installation::of(&session);
        log(LogLevel::Info, &format!("TensorRT started: {installation}"));
        Ok(Self {
            session,
            plans,
            options: place.options,
            installation,
            driver_release: std::fs::read_to_string(DRIVER_RELEASE).unwrap_or_default(),
            log,
        })
    }

    /// The TensorRT, GPU and driver that were started.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Loads a model from its cached plan, or builds a plan; a build stops when `should_continue`
    /// returns false.
    ///
    /// # Errors
    /// When the model does not have the required form, or TensorRT cannot build or load its plan.
    pub fn load(
        mut self,
        model: &[u8],
        should_continue: &(dyn Fn() -> bool + Sync),
    ) -> Result<TensorRtEngine, TensorRtError> {
        let graph = ModelProto::decode(model).map_err(|e| EngineError::NotOnnx(e.to_string()))?;
        let Form {
            input: input_shape,
            local: local_shape,
        } = check(&graph)?;
        let int8 = is_quantised(&graph);
        // The shim returns one vector.
        let local_numbers = local_shape.map_or(0, |shape| shape.iter().product());
        let packed = match local_shape {
            Some(_) => Some(packed(graph, local_numbers)?),
            None => None,
        };
        let model = packed.as_deref().unwrap_or(model);
        let key = PlanKey::new(
            model,
            &self.installation,
            &self.driver_release,
            self.options,
            int8,
        );
        let kept = self.kept_plan(&key, input_shape)?;
        let numbers = match kept {
            Some(numbers) => numbers,
            None => self.build(model, &key, int8, input_shape, should_continue)?,
        };
        let dimension = numbers.checked_sub(local_numbers).filter(|d| *d > 0);
        let dimension = dimension.ok_or_else(|| {
            TensorRtError::Unsupported(format!(
                "it gives {numbers} numbers; expected an embedding and {local_numbers} local descriptors"
            ))
        })?;
        let precision = if int8 { "int8" } else { "f32" };
        let Installation { version, gpu, .. } = &self.installation;
        let mut engine = TensorRtEngine {
            name: format!("TensorRT {version} {precision} on {gpu}"),
            input_shape,
            dimension,
            local_shape,
            row: vec![0.0; input_shape.iter().product()],
            session: self.session,
        };
        // Reject a plan that cannot run at load instead of at the first image.
        let output =
            run_row(&mut engine.session, &engine.row, numbers).map_err(TensorRtError::Failed)?;
        if output.iter().any(|v| !v.is_finite()) {
            return Err(TensorRtError::Failed("its output is not finite".into()));
        }
        Ok(engine)
    }

    /// Loads the cached plan if it is valid; deletes it otherwise.
    fn kept_plan(
        &mut self,
        key: &PlanKey,
        input_shape: [usize; 3],
    ) -> Result<Option<usize>, TensorRtError> {
        let why = match self.plans.get(key) {
            Ok(None) => return Ok(None),
            Ok(Some(plan)) => match self.take(&plan, input_shape) {
                Ok(dimension) => return Ok(Some(dimension)),
                Err(e) => e.to_string(),
            },
            Err(e @ CacheError::Damaged { .. }) => e.to_string(),
            Err(e) => return Err(e.into()),
        };
        (self.log)(
            LogLevel::Warning,
            &format!("cached plan rejected; rebuilding: {why}"),
        );
        self.plans.delete(key)?;
        Ok(None)
    }

    fn build(
        &mut self,
        model: &[u8],
        key: &PlanKey,
        int8: bool,
        input_shape: [usize; 3],
        should_continue: &(dyn Fn() -> bool + Sync),
    ) -> Result<usize, TensorRtError> {
        (self.log)(
            LogLevel::Info,
            "building a TensorRT plan for this model; takes minutes on a small machine, once",
        );
        let options = abi::Options {
            workspace_bytes: self.options.workspace_bytes,
            int8: i32::from(int8),
            fp16: i32::from(self.options.fp16),
        };
        let plan = self.session.build(model, &options, should_continue)?;
        let dimension = self.take(&plan, input_shape)?;
        match self.plans.put(key, &plan) {
            Ok(()) => (self.log)(
                LogLevel::Info,
                &format!("plan cached: {}", self.plans.path(key).display()),
            ),
            // The plan can be used now; only the next start is slow.
            Err(e) => (self.log)(
                LogLevel::Warning,
                &format!("plan not cached; it will be rebuilt at the next start: {e}"),
            ),
        }
        Ok(dimension)
    }

    /// Loads a plan, checks its shapes against the model's and returns the dimension of its output.
    fn take(&mut self, plan: &[u8], [c, h, w]: [usize; 3]) -> Result<usize, TensorRtError> {
        self.session.load(plan)?;
        let unfit = |what: String| Err(TensorRtError::Unsupported(what));
        let Some((input, dimension)) = self.session.shape() else {
            return unfit("it has no shape".into());
        };
        let expected = [1, c as i64, h as i64, w as i64];
        if input != expected {
            return unfit(format!(
                "it takes images of {input:?}, the model takes {expected:?}"
            ));
        }
        if !(1..=MAX_DIMENSION).contains(&dimension) {
            return unfit(format!(
                "it gives {dimension} numbers; expected 1 to {MAX_DIMENSION}"
            ));
        }
        Ok(dimension as usize)
    }
}

/// Tries each shim; a missing driver or GPU is reported only once.
fn start_any(shims: &[(u32, PathBuf)], log: &LogSink) -> Result<Session, TensorRtError> {
    let mut failed = vec![];
    for (major, file) in shims {
        match start_one(*major, file, log) {
            Ok(session) => return Ok(session),
            Err(
                e @ TensorRtError::NotStarted {
                    reason: NotStarted::Driver | NotStarted::Device,
                    ..
                },
            ) => return Err(e),
            Err(e) => failed.push(e),
        }
    }
    Err(match failed.len() {
        1 => failed.remove(0),
        _ => TensorRtError::NoneStarts(failed),
    })
}

fn start_one(major: u32, file: &Path, log: &LogSink) -> Result<Session, TensorRtError> {
    Shim::open(file, major)?.start(log.clone())
}

/// A model loaded into TensorRT.
pub struct TensorRtEngine {
    name: String,
    input_shape: [usize; 3],
    dimension: usize,
    local_shape: Option<[usize; 3]>,
    /// A buffer for images whose memory layout TensorRT cannot read.
    row: Vec<f32>,
    session: Session,
}

/// Runs the plan on the numbers of one image; returns `dimension` numbers.
fn run_row(session: &mut Session, row: &[f32], dimension: usize) -> Result<Vec<f32>, String> {
    let mut output = vec![0.0; dimension];
    session.run(row, &mut output)?;
    Ok(output)
}

impl Engine for TensorRtEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn input_shape(&self) -> [usize; 3] {
        self.input_shape
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn run(&mut self, input: ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
        Ok(self.run_with_local(input)?.embedding)
    }

    fn local_shape(&self) -> Option<[usize; 3]> {
        self.local_shape
    }

    fn run_with_local(&mut self, input: ArrayView3<f32>) -> Result<Outputs, EngineError> {
        expect_shape(self.input_shape, &input)?;
        let row = match input.as_slice() {
            Some(row) => row,
            None => {
                for (to, from) in self.row.iter_mut().zip(&input) {
                    *to = *from;
                }
                &self.row
            }
        };
        let local_numbers: usize = self.local_shape.map_or(0, |shape| shape.iter().product());
        let numbers = self.dimension + local_numbers;
        let mut embedding = run_row(&mut self.session, row, numbers).map_err(EngineError::Run)?;
        let local = embedding.split_off(self.dimension);
        Ok(Outputs {
            embedding,
            local: self.local_shape.map(|_| local),
        })
    }
}

#[cfg(test)]
#[path = "../../shim/fake/fake.rs"]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
