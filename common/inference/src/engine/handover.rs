//! Runs tract until the accelerator is ready, then the accelerator, and tract again if that fails.

use super::status::{Accelerator, EngineStatus};
use super::{Engine, EngineError, LogLevel, LogSink, Outputs};
use ndarray::ArrayView3;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long shutdown waits for a build to stop; TensorRT checks between two steps.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often shutdown checks whether the build has stopped.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// An engine that starts at once, and a second one that takes over when it is ready.
pub struct HandoverEngine {
    first: Box<dyn Engine>,
    second: Option<Box<dyn Engine>>,
    coming: Option<Receiver<Box<dyn Engine>>>,
    worker: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    status: Arc<EngineStatus>,
    log: LogSink,
}

impl HandoverEngine {
    /// Runs `first` while `make` prepares the second engine on a separate thread. The function
    /// passed to `make` returns false once `make` should stop. A failure of `make` is logged and
    /// set in `status`.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub fn start<E: std::fmt::Display>(
        first: Box<dyn Engine>,
        status: Arc<EngineStatus>,
        log: LogSink,
        make: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<Box<dyn Engine>, E> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (ready, coming) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        status.set_active(first.name());
        status.set_accelerator(Accelerator::Preparing);
        let worker = {
            let (stop, status, log) = (stop.clone(), status.clone(), log.clone());
            std::thread::Builder::new()
                .name("accelerator".into())
                .spawn(move || match make(&|| !stop.load(Relaxed)) {
                    Ok(engine) => {
                        log(
                            LogLevel::Info,
                            &format!(
                                "{} is ready and takes over from the next image",
                                engine.name()
                            ),
                        );
                        status.set_accelerator(Accelerator::Ready);
                        // The receiver is gone if the program is shutting down.
                        let _ = ready.send(engine);
                    }
                    Err(e) => unavailable(&status, &log, &e.to_string()),
                })?
        };
        Ok(Self {
            first,
            second: None,
            coming: Some(coming),
            worker: Some(worker),
            stop,
            status,
            log,
        })
    }

    /// Switches to the second engine if it is ready.
    fn poll(&mut self) {
        let Some(coming) = &self.coming else {
            return;
        };
        match coming.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {}
            Ok(engine) => {
                let same = engine.input_shape() == self.first.input_shape()
                    && engine.dimension() == self.first.dimension()
                    && engine.local_shape() == self.first.local_shape();
                if same {
                    self.status.set_active(engine.name());
                    self.status.set_accelerator(Accelerator::Active);
                    self.second = Some(engine);
                } else {
                    let why = format!("{} runs another model", engine.name());
                    unavailable(&self.status, &self.log, &why);
                }
            }
        }
        self.coming = None;
    }
}

fn unavailable(status: &EngineStatus, log: &LogSink, why: &str) {
    log(
        LogLevel::Warning,
        &format!("accelerator unavailable; continuing with tract: {why}"),
    );
    status.set_accelerator(Accelerator::Unavailable(why.to_owned()));
}

impl Engine for HandoverEngine {
    fn name(&self) -> &str {
        self.second.as_ref().unwrap_or(&self.first).name()
    }

    fn input_shape(&self) -> [usize; 3] {
        self.first.input_shape()
    }

    fn dimension(&self) -> usize {
        self.first.dimension()
    }

    fn local_shape(&self) -> Option<[usize; 3]> {
        self.first.local_shape()
    }

    fn run(&mut self, input: ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
        Ok(self.run_with_local(input)?.embedding)
    }

    fn run_with_local(&mut self, input: ArrayView3<f32>) -> Result<Outputs, EngineError> {
        self.poll();
        let Some(second) = &mut self.second else {
            return self.first.run_with_local(input);
        };
        let finite = |outputs: &Outputs| {
            let local = outputs.local.iter().flatten();
            outputs.embedding.iter().chain(local).all(|v| v.is_finite())
        };
        let why = match second.run_with_local(input) {
            Ok(outputs) if finite(&outputs) => return Ok(outputs),
            Ok(_) => "its output is not finite".to_owned(),
            // The image is at fault, not the engine.
            Err(e @ EngineError::Shape { .. }) => return Err(e),
            Err(e) => e.to_string(),
        };
        let why = format!("{} failed: {why}", second.name());
        self.second = None;
        self.status.set_active(self.first.name());
        unavailable(&self.status, &self.log, &why);
        self.first.run_with_local(input)
    }
}

impl Drop for HandoverEngine {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let Some(worker) = self.worker.take() else {
            return;
        };
        let started = Instant::now();
        while !worker.is_finished() && started.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(POLL_INTERVAL);
        }
        if worker.is_finished() {
            // Its failure has been logged.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
