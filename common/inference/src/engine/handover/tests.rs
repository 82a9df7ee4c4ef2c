use super::*;
use ndarray::Array3;
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// Gives `number` for `left` images, then `then`.
struct Fixed {
    name: &'static str,
    number: f32,
    left: usize,
    then: Result<f32, EngineError>,
}

impl Engine for Fixed {
    fn name(&self) -> &str {
        self.name
    }
    fn input_shape(&self) -> [usize; 3] {
        [1, 2, 2]
    }
    fn dimension(&self) -> usize {
        1
    }
    fn run(&mut self, _: ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
        if self.left == 0 {
            return self.then.clone().map(|v| vec![v]);
        }
        self.left -= 1;
        Ok(vec![self.number])
    }
}

fn fixed(name: &'static str, number: f32, left: usize) -> Fixed {
    Fixed {
        name,
        number,
        left,
        then: Err(EngineError::Run("it broke".into())),
    }
}

fn start(
    make: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<Box<dyn Engine>, String> + Send + 'static,
) -> (HandoverEngine, Arc<EngineStatus>, Arc<Mutex<Vec<String>>>) {
    let status = Arc::new(EngineStatus::default());
    let logged = Arc::new(Mutex::new(vec![]));
    let log: LogSink = {
        let logged = logged.clone();
        Arc::new(move |_, line| logged.lock().unwrap().push(line.to_owned()))
    };
    let first = Box::new(fixed("tract", 1.0, usize::MAX));
    let engine = HandoverEngine::start(first, status.clone(), log, make).unwrap();
    (engine, status, logged)
}

fn run(engine: &mut HandoverEngine) -> f32 {
    engine.run(Array3::zeros((1, 2, 2)).view()).unwrap()[0]
}

fn until(status: &EngineStatus, wanted: impl Fn(&Accelerator) -> bool) {
    let began = Instant::now();
    while !wanted(&status.accelerator()) {
        assert!(began.elapsed() < STOP_TIMEOUT, "{}", status.accelerator());
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn the_first_engine_runs_until_the_second_is_ready() {
    let (go, wait) = channel::<()>();
    let (mut engine, status, logged) = start(move |_| {
        wait.recv().unwrap();
        Ok(Box::new(fixed("TensorRT", 2.0, usize::MAX)))
    });
    assert_eq!(run(&mut engine), 1.0);
    assert_eq!((engine.name(), &*status.active()), ("tract", "tract"));
    assert_eq!(status.accelerator(), Accelerator::Preparing);
    go.send(()).unwrap();
    until(&status, |a| *a == Accelerator::Ready);
    // Nothing changes between two images.
    assert_eq!((engine.name(), &*status.active()), ("tract", "tract"));
    // The engine may arrive a moment after the status.
    let began = Instant::now();
    while run(&mut engine) == 1.0 {
        assert!(began.elapsed() < STOP_TIMEOUT);
    }
    assert_eq!(run(&mut engine), 2.0);
    assert_eq!((engine.name(), &*status.active()), ("TensorRT", "TensorRT"));
    assert_eq!(status.accelerator(), Accelerator::Active);
    assert!(logged.lock().unwrap()[0].contains("TensorRT is ready"));
}

#[test]
fn a_second_engine_that_cannot_be_made_is_logged_once() {
    let (mut engine, status, logged) = start(|_| Err("no GPU".into()));
    until(&status, |a| matches!(a, Accelerator::Unavailable(_)));
    assert_eq!((run(&mut engine), run(&mut engine)), (1.0, 1.0));
    assert_eq!(status.accelerator().to_string(), "unavailable: no GPU");
    assert_eq!((engine.name(), &*status.active()), ("tract", "tract"));
    assert_eq!(
        *logged.lock().unwrap(),
        ["accelerator unavailable; continuing with tract: no GPU"]
    );
}

#[test]
fn a_second_engine_that_fails_costs_no_image() {
    for (then, why) in [
        (Err(EngineError::Run("it broke".into())), "it broke"),
        (Ok(f32::NAN), "not finite"),
    ] {
        let (mut engine, status, logged) = start(move |_| {
            Ok(Box::new(Fixed {
                then,
                ..fixed("TensorRT", 2.0, 2)
            }))
        });
        let began = Instant::now();
        while run(&mut engine) == 1.0 {
            assert!(began.elapsed() < STOP_TIMEOUT);
        }
        assert_eq!(run(&mut engine), 2.0);
        assert_eq!(run(&mut engine), 1.0, "tract runs the image");
        assert_eq!((engine.name(), &*status.active()), ("tract", "tract"));
        assert!(status.accelerator().to_string().contains(why));
        assert_eq!(run(&mut engine), 1.0, "and all later ones");
        assert!(logged.lock().unwrap().last().unwrap().contains(why));
    }
}

#[test]
fn an_image_of_another_shape_is_not_the_engines_fault() {
    let (mut engine, status, _) = start(|_| {
        let then = Err(EngineError::Shape {
            expected: [1, 2, 2],
            got: [1, 2, 3],
        });
        Ok(Box::new(Fixed {
            then,
            ..fixed("TensorRT", 2.0, 1)
        }))
    });
    let began = Instant::now();
    while run(&mut engine) == 1.0 {
        assert!(began.elapsed() < STOP_TIMEOUT);
    }
    let error = engine.run(Array3::zeros((1, 2, 3)).view()).unwrap_err();
    assert!(matches!(error, EngineError::Shape { .. }), "{error}");
    assert_eq!(status.accelerator(), Accelerator::Active);
}

#[test]
fn a_second_engine_with_another_model_is_rejected() {
    struct Other(Fixed);
    impl Engine for Other {
        fn name(&self) -> &str {
            "other"
        }
        fn input_shape(&self) -> [usize; 3] {
            self.0.input_shape()
        }
        fn dimension(&self) -> usize {
            2
        }
        fn run(&mut self, image: ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
            self.0.run(image)
        }
    }
    let (mut engine, status, _) = start(|_| Ok(Box::new(Other(fixed("", 2.0, 9)))));
    let began = Instant::now();
    while !matches!(status.accelerator(), Accelerator::Unavailable(_)) {
        assert_eq!(run(&mut engine), 1.0);
        assert!(began.elapsed() < STOP_TIMEOUT);
    }
    assert_eq!(&*status.active(), "tract");
}

#[test]
fn shutdown_stops_the_preparation() {
    let (stopped, stop) = channel();
    let (engine, ..) = start(move |should_continue| {
        while should_continue() {
            std::thread::sleep(POLL_INTERVAL);
        }
        stopped.send(()).unwrap();
        Err("it was stopped".into())
    });
    drop(engine);
    stop.recv_timeout(STOP_TIMEOUT).unwrap();
}
