//! Cameras of Linux, through Video4Linux2 and the crate `v4l`.
//!
//! The crate panics where a driver says what it does not know (a colour space, a name that is no UTF-8) and when it cannot let go
//! of a camera. Each call therefore goes through [`guarded`], which makes an error of it.

use super::device::{Agreed, Camera, Controls, DeviceError, Encoding, Mode, Offer, Span, Stamp};
use crate::pixels::Range;
use crate::time::{Moment, Timing};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use v4l::buffer::{Flags, Type};
use v4l::capability;
use v4l::control::{Control, Value};
use v4l::device::Device;
use v4l::format::{Colorspace, Quantization};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::CaptureStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC, Fraction};

/// Buffers of the driver: one is filled, one is copied, two wait.
const BUFFERS: u32 = 4;

// `linux/v4l2-controls.h`
const EXPOSURE_AUTO: u32 = 0x009a_0901;
const EXPOSURE_MANUAL: i64 = 1;
/// All automatic, and time automatic with a given aperture: a camera has one or the other.
const EXPOSURE_AUTOMATIC: [i64; 2] = [3, 0];
const EXPOSURE_ABSOLUTE: u32 = 0x009a_0902;
/// Its unit, in microseconds.
const EXPOSURE_UNIT: u128 = 100;
const EXPOSURE_AUTO_PRIORITY: u32 = 0x009a_0903;

/// The nodes under `/dev` that may be cameras, in order, with the names that the kernel gives them.
pub fn paths() -> Vec<(PathBuf, String)> {
    let mut numbers: Vec<u32> = std::fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("video")?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let named = |number| {
        let name = std::fs::read_to_string(format!("/sys/class/video4linux/video{number}/name"));
        let path = PathBuf::from(format!("/dev/video{number}"));
        (path, name.unwrap_or_default().trim().to_owned())
    };
    numbers.into_iter().map(named).collect()
}

/// Opens the camera at `path`.
///
/// # Errors
/// When there is none, it is no camera, or it may not be used.
pub fn open(path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    let opened = guarded(|| {
        let device = Device::with_path(path)?;
        keep_from_children(device.handle().fd())?;
        let capabilities = device.query_caps()?;
        Ok((device, capabilities))
    });
    let (device, capabilities) = opened.map_err(|e| match e {
        DeviceError::Refused(why) => DeviceError::Refused(format!("{}: {why}", path.display())),
        DeviceError::Gone(why) => DeviceError::Gone(format!("{}: {why}", path.display())),
        other => other,
    })?;
    let needed = capability::Flags::VIDEO_CAPTURE | capability::Flags::STREAMING;
    if !capabilities.capabilities.contains(needed) {
        return Err(DeviceError::Refused(format!(
            "{}: this node of '{}' gives no video frames; another node of the same camera may",
            path.display(),
            capabilities.card
        )));
    }
    Ok(Box::new(V4l2Camera {
        name: capabilities.card,
        device: Some(device),
        stream: None,
    }))
}

struct V4l2Camera {
    name: String,
    /// `None` only while it is let go of.
    device: Option<Device>,
    stream: Option<Stream<'static>>,
}

/// A panic of the crate `v4l` is an error of the camera.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, DeviceError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(told(&e)),
        Err(_) => Err(DeviceError::Refused(
            "its driver says what the v4l crate does not know".into(),
        )),
    }
}

fn told(error: &io::Error) -> DeviceError {
    const NO_DEVICE: i32 = 19;
    const NO_SUCH_DEVICE: i32 = 6;
    match (error.kind(), error.raw_os_error()) {
        (_, Some(NO_DEVICE | NO_SUCH_DEVICE)) | (ErrorKind::NotFound, _) => {
            DeviceError::Gone(error.to_string())
        }
        (ErrorKind::PermissionDenied, _) => DeviceError::Refused(format!(
            "{error}: the user that runs flukewatch-edge must be in the group 'video'"
        )),
        (ErrorKind::ResourceBusy, _) => {
            DeviceError::Refused(format!("{error}: another program uses the camera"))
        }
        _ => DeviceError::Refused(error.to_string()),
    }
}

impl V4l2Camera {
    fn device(&self) -> Result<&Device, DeviceError> {
        self.device
            .as_ref()
            .ok_or_else(|| DeviceError::Gone("it was closed".into()))
    }

    fn stop(&mut self) {
        let stream = self.stream.take();
        if let Err(e) = guarded(|| {
            drop(stream);
            Ok(())
        }) {
            tracing::debug!("camera '{}' was not let go of cleanly: {e}", self.name);
        }
    }

    fn set(&self, what: &str, id: u32, value: Value) -> bool {
        let Ok(device) = self.device() else {
            return false;
        };
        match guarded(|| device.set_control(Control { id, value })) {
            Ok(()) => true,
            Err(e) => {
                tracing::debug!("camera '{}' does not take {what}: {e}", self.name);
                false
            }
        }
    }

    fn control(&self, controls: &Controls) {
        if let Some(exposure) = controls.exposure {
            let units = (exposure.as_micros() / EXPOSURE_UNIT).max(1);
            let units = i64::try_from(units).unwrap_or(i64::MAX);
            let manual = self.set(
                "manual exposure",
                EXPOSURE_AUTO,
                Value::Integer(EXPOSURE_MANUAL),
            );
            if !self.set("an exposure", EXPOSURE_ABSOLUTE, Value::Integer(units)) || !manual {
                tracing::warn!(
                    "camera '{}' cannot be told how long to expose; it decides itself",
                    self.name
                );
            }
        } else {
            let _ = EXPOSURE_AUTOMATIC
                .into_iter()
                .any(|mode| self.set("automatic exposure", EXPOSURE_AUTO, Value::Integer(mode)));
        }
        self.set(
            "a word on its rate in poor light",
            EXPOSURE_AUTO_PRIORITY,
            Value::Boolean(!controls.hold_rate),
        );
    }

    fn rates(&self, fourcc: FourCC, width: u32, height: u32) -> Vec<f64> {
        let Ok(device) = self.device() else {
            return vec![];
        };
        // Many drivers do not say; then any rate may be asked for.
        let intervals = guarded(|| device.enum_frameintervals(fourcc, width, height));
        let mut rates: Vec<f64> = intervals
            .unwrap_or_default()
            .into_iter()
            .flat_map(|i| match i.interval {
                FrameIntervalEnum::Discrete(interval) => vec![rate(interval)],
                FrameIntervalEnum::Stepwise(steps) => vec![rate(steps.min), rate(steps.max)],
            })
            .filter(|r| r.is_finite() && *r > 0.0)
            .collect();
        rates.sort_by(|a, b| b.total_cmp(a));
        rates.dedup();
        rates
    }
}

fn rate(interval: Fraction) -> f64 {
    f64::from(interval.denominator) / f64::from(interval.numerator)
}

impl Camera for V4l2Camera {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn offers(&mut self) -> Result<Vec<Offer>, DeviceError> {
        let device = self.device()?;
        let formats = guarded(|| device.enum_formats())?;
        let mut offers = vec![];
        for format in formats {
            let Some(encoding) = Encoding::from_fourcc(format.fourcc.repr) else {
                continue;
            };
            let sizes = guarded(|| device.enum_framesizes(format.fourcc))?;
            for size in sizes {
                let (width, height) = match size.size {
                    FrameSizeEnum::Discrete(one) => (Span::one(one.width), Span::one(one.height)),
                    FrameSizeEnum::Stepwise(s) => {
                        let span = |least, most, step| Span { least, most, step };
                        (
                            span(s.min_width, s.max_width, s.step_width),
                            span(s.min_height, s.max_height, s.step_height),
                        )
                    }
                };
                offers.push(Offer {
                    encoding,
                    width,
                    height,
                    rates: self.rates(format.fourcc, width.most, height.most),
                });
            }
        }
        Ok(offers)
    }

    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<Agreed, DeviceError> {
        // After a stall the driver's queue is in no known state: the old stream must go before a new one is made.
        self.stop();
        let device = self.device()?;
        let wanted = Format::new(
            mode.width,
            mode.height,
            FourCC::new(&mode.encoding.fourcc()),
        );
        let format = guarded(|| device.set_format(&wanted))?;
        let encoding = Encoding::from_fourcc(format.fourcc.repr).ok_or_else(|| {
            DeviceError::Refused(format!(
                "it insists on the format {}, which is not read",
                format.fourcc
            ))
        })?;
        let interval = Fraction::new(1000, (mode.rate * 1000.0).round().max(1.0) as u32);
        // Some cameras have one rate and refuse to be told.
        let told = guarded(|| device.set_params(&Parameters::new(interval)));
        let told = told.map(|p| rate(p.interval)).ok();
        self.control(controls);
        let device = self.device()?;
        let stream = guarded(|| Stream::with_buffers(device, Type::VideoCapture, BUFFERS))?;
        self.stream = Some(stream);
        let full = match format.quantization {
            Quantization::FullRange => true,
            Quantization::LimitedRange => false,
            Quantization::Default => {
                encoding == Encoding::Grey || matches!(format.colorspace, Colorspace::JPEG)
            }
        };
        Ok(Agreed {
            mode: Mode {
                encoding,
                width: format.width,
                height: format.height,
                rate: told
                    .filter(|r| r.is_finite() && *r > 0.0)
                    .unwrap_or(mode.rate),
            },
            stride: format.stride,
            range: if full { Range::Full } else { Range::Limited },
        })
    }

    fn frame(&mut self, patience: Duration, into: &mut Vec<u8>) -> Result<Stamp, DeviceError> {
        let Some(stream) = &mut self.stream else {
            return Err(DeviceError::Refused("it was not started".into()));
        };
        let next = catch_unwind(AssertUnwindSafe(|| -> io::Result<Stamp> {
            stream.set_timeout(patience);
            let (bytes, meta) = stream.next()?;
            let used = bytes.len().min(meta.bytesused as usize);
            into.extend_from_slice(bytes.get(..used).unwrap_or_default());
            let kind = meta.flags & Flags::TIMESTAMP_MASK;
            let stamp = meta.timestamp;
            let taken = (kind == Flags::TIMESTAMP_MONOTONIC).then(|| {
                Moment(
                    stamp
                        .sec
                        .saturating_mul(1_000_000)
                        .saturating_add(stamp.usec),
                )
            });
            Ok(Stamp {
                taken,
                timing: Timing::Driver,
                sequence: meta.sequence,
                damaged: meta.flags.contains(Flags::ERROR),
                changed: None,
            })
        }));
        match next {
            Ok(Ok(stamp)) => Ok(stamp),
            // A signal may interrupt the wait; the buffers are then as after a stall.
            Ok(Err(e)) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Err(DeviceError::Stalled(patience))
            }
            Ok(Err(e)) => Err(told(&e)),
            Err(_) => Err(DeviceError::Refused("the v4l crate gave up".into())),
        }
    }
}

impl Drop for V4l2Camera {
    fn drop(&mut self) {
        self.stop();
        let device = self.device.take();
        let _ = guarded(|| {
            drop(device);
            Ok(())
        });
    }
}

/// Closes `descriptor` in programs that are started from now on, as `v4l` does not when it opens a device: a pipeline of GStreamer would hold the
/// camera, and it could not be opened anew.
fn keep_from_children(descriptor: i32) -> io::Result<()> {
    #[allow(
        unsafe_code,
        reason = "fcntl takes three numbers, the descriptor that of a device which the caller holds open"
    )]
    // SAFETY: no memory is passed.
    let set = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_started_does_not_hold_the_camera() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        keep_from_children(file.as_raw_fd()).unwrap();
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert!(keep_from_children(-1).is_err());
    }

    #[test]
    fn a_camera_that_is_not_there_is_gone() {
        let Err(DeviceError::Gone(said)) = open(Path::new("/dev/video-none")) else {
            panic!("there is no such camera");
        };
        assert!(said.contains("/dev/video-none"), "{said}");
    }

    #[test]
    fn what_is_no_camera_is_refused() {
        let Err(DeviceError::Refused(said)) = open(Path::new("/dev/null")) else {
            panic!("the null device is no camera");
        };
        assert!(said.starts_with("/dev/null: "), "{said}");
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error() {
        let said = guarded::<()>(|| panic!("Invalid colorspace")).unwrap_err();
        assert!(matches!(said, DeviceError::Refused(_)), "{said}");
    }

    #[test]
    fn errors_say_what_to_do() {
        let busy = told(&io::Error::from_raw_os_error(16));
        assert!(busy.to_string().contains("another program"), "{busy}");
        let forbidden = told(&io::Error::from_raw_os_error(13));
        assert!(
            forbidden.to_string().contains("group 'video'"),
            "{forbidden}"
        );
        assert!(matches!(
            told(&io::Error::from_raw_os_error(19)),
            DeviceError::Gone(_)
        ));
    }
}
