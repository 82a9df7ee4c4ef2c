//! Tests the boat's capture against the kernel's test driver `vivid`: every pixel format, and every
//! fault that vivid can inject.
//!
//! ```sh
//! modprobe vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1
//! cargo run --example v4l2_trial -- /dev/video0
//! ```
//!
//! Prints a line for each test; the exit code is 1 if one failed. With `--unplug`, which requires root,
//! the driver is unbound from the camera and bound again.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    trial::all(&<trial::Arguments as clap::Parser>::parse())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("error: only Linux has Video4Linux2");
}

#[cfg(target_os = "linux")]
mod trial {
    use clap::Parser;
    use flukewatch_edge::capture::device::{
        Camera, Controls, DeviceError, Encoding, FrameMetadata, Mode,
    };
    use flukewatch_edge::capture::v4l2;
    use flukewatch_edge::frame::RawFormat;
    use flukewatch_edge::time::{MonotonicClock, SystemMonotonicClock};
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;
    use std::time::Duration;
    use v4l::control::{Control, Value};
    use v4l::device::Device;

    type Outcome = Result<String, Box<dyn Error>>;

    /// Test the boat's capture against vivid.
    #[derive(Parser)]
    pub(crate) struct Arguments {
        /// vivid's capture device
        camera: PathBuf,
        /// Also unplug the camera: unbind and rebind the driver; requires root
        #[arg(long)]
        unplug: bool,
    }

    const TIMEOUT: Duration = Duration::from_secs(3);
    const DRIVER: &str = "/sys/bus/platform/drivers/vivid";
    const DEVICE: &str = "vivid.0";

    /// Runs all tests in sequence.
    pub(crate) fn all(arguments: &Arguments) -> ExitCode {
        let path = arguments.camera.as_path();
        let mut good = true;
        let mut report = |what: &str, outcome: Outcome| match outcome {
            Ok(said) => println!("ok     {what}: {said}"),
            Err(e) => {
                println!("FAILED {what}: {e}");
                good = false;
            }
        };
        for encoding in [
            Encoding::Grey,
            Encoding::Nv12,
            Encoding::Yuyv,
            Encoding::Uyvy,
        ] {
            report(&format!("frames of {encoding}"), frames(path, encoding));
        }
        report("a size between the driver's steps", odd_size(path));
        report("controls that the camera lacks", lacking_controls(path));
        report("a damaged frame", damaged(path));
        report("a camera that sends nothing", stalled(path));
        for fault in [
            "Inject VIDIOC_STREAMON Error",
            "Inject VIDIOC_REQBUFS Error",
            "Inject Fatal Streaming Error",
        ] {
            report(fault, failing(path, fault));
        }
        report("a camera that is in use", busy(path));
        if arguments.unplug {
            report("a camera that is unplugged and comes back", unplugged(path));
        }
        if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn mode(encoding: Encoding) -> Mode {
        Mode {
            encoding,
            width: 640,
            height: 360,
            rate: 30.0,
        }
    }

    /// Opens and starts the camera.
    fn started(path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
        let mut camera = v4l2::open(path)?;
        camera.start(&mode(Encoding::Grey), &Controls::default())?;
        Ok(camera)
    }

    fn next(camera: &mut dyn Camera) -> Result<(Vec<u8>, FrameMetadata), DeviceError> {
        let mut bytes = vec![];
        let metadata = camera.read_frame(TIMEOUT, &mut bytes)?;
        Ok((bytes, metadata))
    }

    /// Sets a control of vivid.
    fn set(path: &Path, name: &str, value: Value) -> Result<(), Box<dyn Error>> {
        let device = Device::with_path(path)?;
        let controls = device.query_controls()?;
        let control = controls.iter().find(|c| c.name == name);
        let control = control
            .ok_or_else(|| format!("the camera has no control '{name}'; is it a vivid device?"))?;
        device.set_control(Control {
            id: control.id,
            value,
        })?;
        Ok(())
    }

    fn demand(good: bool, said: impl Into<String>) -> Result<(), Box<dyn Error>> {
        if good {
            Ok(())
        } else {
            Err(said.into().into())
        }
    }

    /// Frames have the length given by format and stride, monotonic timestamps and sequence numbers.
    fn frames(path: &Path, encoding: Encoding) -> Outcome {
        let clock = SystemMonotonicClock;
        let mut camera = v4l2::open(path)?;
        let agreed = camera.start(&mode(encoding), &Controls::default())?;
        let RawFormat::Uncompressed { layout, shape, .. } = agreed.raw_format() else {
            return Err(format!("the driver chose {}", agreed.mode).into());
        };
        let rows = match encoding {
            Encoding::Nv12 => shape.height as usize * 3 / 2,
            _ => shape.height as usize,
        };
        let wanted = shape.stride as usize * rows;
        let mut last: Option<FrameMetadata> = None;
        let mut oldest = Duration::ZERO;
        // The first frames of a stream may have the same sequence number.
        let mut held = 0;
        for _ in 0..10 {
            let (bytes, metadata) = next(&mut *camera)?;
            demand(
                bytes.len() == wanted,
                format!("{} bytes of {layout:?}, not {wanted}", bytes.len()),
            )?;
            let taken = metadata
                .taken
                .ok_or("no timestamp of the monotonic clock")?;
            oldest = oldest.max(taken.abs_diff(clock.now()));
            if let Some(last) = last {
                held += u32::from(metadata.sequence <= last.sequence);
                demand(Some(taken) > last.taken, "timestamps run backwards")?;
            }
            last = Some(metadata);
        }
        demand(held < 5, format!("{held} repeated sequence numbers"))?;
        demand(
            oldest < Duration::from_secs(2),
            format!("a timestamp differs from the frame's arrival by {oldest:?}"),
        )?;
        Ok(format!(
            "{}, stride {}, {wanted} bytes per frame, timestamps within {} ms of their arrival, {held} repeated sequence numbers",
            agreed.mode,
            agreed.stride,
            oldest.as_millis()
        ))
    }

    /// The driver chooses another size, and frames have that size.
    fn odd_size(path: &Path) -> Outcome {
        let mut camera = v4l2::open(path)?;
        let wanted = Mode {
            width: 333,
            height: 201,
            ..mode(Encoding::Yuyv)
        };
        let agreed = camera.start(&wanted, &Controls::default())?;
        let (bytes, _) = next(&mut *camera)?;
        let given = agreed.mode;
        demand(
            bytes.len() == agreed.stride as usize * given.height as usize,
            format!(
                "{} bytes of {given} with stride {}",
                bytes.len(),
                agreed.stride
            ),
        )?;
        let RawFormat::Uncompressed { layout, shape, .. } = agreed.raw_format() else {
            return Err(format!("the driver chose {given}").into());
        };
        demand(
            layout.row(shape.width) <= shape.stride as usize,
            format!("{given} with stride {} cannot be read", agreed.stride),
        )?;
        Ok(format!(
            "asked for 333 x 201, got {given}, stride {}, of which {} x {} are read",
            agreed.stride, shape.width, shape.height
        ))
    }

    fn lacking_controls(path: &Path) -> Outcome {
        let mut camera = v4l2::open(path)?;
        let controls = Controls {
            exposure: Some(Duration::from_millis(2)),
            dynamic_framerate: false,
        };
        camera.start(&mode(Encoding::Grey), &controls)?;
        next(&mut *camera)?;
        Ok("ignored".into())
    }

    fn damaged(path: &Path) -> Outcome {
        let mut camera = started(path)?;
        next(&mut *camera)?;
        set(path, "Inject V4L2_BUF_FLAG_ERROR", Value::None)?;
        for number in 1..=30 {
            if next(&mut *camera)?.1.damaged {
                next(&mut *camera)?;
                return Ok(format!(
                    "frame {number} is marked as damaged, and others follow"
                ));
            }
        }
        Err("none of 30 frames is marked as damaged".into())
    }

    fn stalled(path: &Path) -> Outcome {
        let mut camera = started(path)?;
        next(&mut *camera)?;
        set(path, "Percentage of Dropped Buffers", Value::Integer(100))?;
        let stalled = (0..30).find_map(|_| next(&mut *camera).err());
        set(path, "Percentage of Dropped Buffers", Value::Integer(0))?;
        demand(
            matches!(stalled, Some(DeviceError::TimedOut(_))),
            format!("expected a timeout, got {stalled:?}"),
        )?;
        camera.start(&mode(Encoding::Grey), &Controls::default())?;
        next(&mut *camera)?;
        Ok("timed out; frames arrive after a restart of the stream".into())
    }

    /// The next call fails with an error, and a reopened camera works.
    fn failing(path: &Path, fault: &str) -> Outcome {
        let mut camera = v4l2::open(path)?;
        let fatal = fault.contains("Fatal");
        if fatal {
            camera.start(&mode(Encoding::Grey), &Controls::default())?;
            next(&mut *camera)?;
        }
        set(path, fault, Value::None)?;
        let error = if fatal {
            (0..30).find_map(|_| next(&mut *camera).err())
        } else {
            let started = camera.start(&mode(Encoding::Grey), &Controls::default());
            started.and_then(|_| next(&mut *camera)).err()
        };
        let error = error.ok_or("no call failed")?;
        drop(camera);
        next(&mut *started(path)?)?;
        Ok(format!("'{error}', and a reopened camera works"))
    }

    fn busy(path: &Path) -> Outcome {
        let mut first = started(path)?;
        next(&mut *first)?;
        let error = started(path)
            .err()
            .ok_or("a second open of the camera succeeded")?;
        demand(
            error.to_string().contains("another program"),
            format!("'{error}'"),
        )?;
        next(&mut *first)?;
        Ok(format!("'{error}'"))
    }

    fn unplugged(path: &Path) -> Outcome {
        let write = |file: &str| std::fs::write(Path::new(DRIVER).join(file), DEVICE);
        let mut camera = started(path)?;
        next(&mut *camera)?;
        write("unbind")?;
        let error = (0..30).find_map(|_| next(&mut *camera).err());
        let absent = v4l2::open(path).err();
        drop(camera);
        write("bind")?;
        demand(
            matches!(error, Some(DeviceError::Disconnected(_))),
            format!("expected a disconnection, got {error:?}"),
        )?;
        demand(
            matches!(absent, Some(DeviceError::Disconnected(_))),
            format!("opening the absent camera: expected a disconnection, got {absent:?}"),
        )?;
        for _ in 0..50 {
            if path.exists() {
                next(&mut *started(path)?)?;
                return Ok("disconnected while unbound; frames arrive afterwards".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("the device did not reappear".into())
    }
}
