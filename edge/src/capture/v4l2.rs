//! Linux cameras, through Video4Linux2 and the crate `v4l`.
//!
//! The crate panics on unknown answers of a driver (a colour space, a name that is not UTF-8) and when
//! it cannot release a camera. Therefore each call goes through [`guarded`], which returns an error.

use super::device::{
    Camera, Controls, DeviceError, Encoding, FrameMetadata, Mode, NegotiatedFormat, SizeRange,
    SupportedFormat,
};
use crate::pixel_format::ColourRange;
use crate::time::{MonotonicTimestamp, Timing};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
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

/// Buffers of the driver: one being filled, one being copied, two queued.
const BUFFERS: u32 = 4;

// `linux/v4l2-controls.h`
const EXPOSURE_AUTO: u32 = 0x009a_0901;
const EXPOSURE_MANUAL: i64 = 1;
/// Fully automatic, and automatic with a fixed aperture: a camera supports one or the other.
const EXPOSURE_AUTOMATIC: [i64; 2] = [3, 0];
const EXPOSURE_ABSOLUTE: u32 = 0x009a_0902;
/// The unit of exposure time, in microseconds.
const EXPOSURE_UNIT: u128 = 100;
const EXPOSURE_AUTO_PRIORITY: u32 = 0x009a_0903;

/// The nodes under `/dev` that may be cameras, in order, with their names in the kernel.
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
/// When there is none, it is not a camera, or it may not be used.
pub fn open(path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    let opened = guarded(|| {
        let device = Device::with_path(path)?;
        close_on_exec(&device)?;
        let capabilities = device.query_caps()?;
        Ok((device, capabilities))
    });
    let usable = opened.and_then(|(device, found)| {
        expect_frames(found.capabilities, &found.card)?;
        Ok((device, found.card))
    });
    let (device, name) = usable.map_err(|e| match e {
        DeviceError::Unusable(why) => DeviceError::Unusable(format!("{}: {why}", path.display())),
        DeviceError::Disconnected(why) => {
            DeviceError::Disconnected(format!("{}: {why}", path.display()))
        }
        other => other,
    })?;
    Ok(Box::new(V4l2Camera {
        name,
        device: Some(device),
        stream: None,
    }))
}

/// Checks that a node with these flags gives frames of one plane.
fn expect_frames(flags: capability::Flags, card: &str) -> Result<(), DeviceError> {
    let captures = |flag| flags.contains(flag | capability::Flags::STREAMING);
    if captures(capability::Flags::VIDEO_CAPTURE) {
        Ok(())
    } else if captures(capability::Flags::VIDEO_CAPTURE_MPLANE) {
        Err(DeviceError::SeveralPlanes(card.to_owned()))
    } else {
        Err(DeviceError::Unusable(format!(
            "this node of '{card}' provides no video frames; try another node of the camera"
        )))
    }
}

struct V4l2Camera {
    name: String,
    /// `None` only while it is closed.
    device: Option<Device>,
    stream: Option<Stream<'static>>,
}

/// Turns a panic of the crate `v4l` into an error.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, DeviceError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(device_error(&e)),
        Err(_) => Err(DeviceError::Unusable(
            "the v4l crate panicked on the driver's answer".into(),
        )),
    }
}

fn device_error(error: &io::Error) -> DeviceError {
    const NO_DEVICE: i32 = 19;
    const NO_SUCH_DEVICE: i32 = 6;
    match (error.kind(), error.raw_os_error()) {
        (_, Some(NO_DEVICE | NO_SUCH_DEVICE)) | (ErrorKind::NotFound, _) => {
            DeviceError::Disconnected(error.to_string())
        }
        (ErrorKind::PermissionDenied, _) => DeviceError::Unusable(format!(
            "{error}: add the user that runs flukewatch-edge to the group 'video'"
        )),
        (ErrorKind::ResourceBusy, _) => {
            DeviceError::Unusable(format!("{error}: another program is using the camera"))
        }
        _ => DeviceError::Unusable(error.to_string()),
    }
}

impl V4l2Camera {
    fn device(&self) -> Result<&Device, DeviceError> {
        self.device
            .as_ref()
            .ok_or_else(|| DeviceError::Disconnected("the camera was closed".into()))
    }

    fn stop(&mut self) {
        let stream = self.stream.take();
        if let Err(e) = guarded(|| {
            drop(stream);
            Ok(())
        }) {
            tracing::debug!(camera = self.name, "cannot release camera stream: {e}");
        }
    }

    fn set(&self, control: &str, id: u32, value: Value) -> bool {
        let Ok(device) = self.device() else {
            return false;
        };
        match guarded(|| device.set_control(Control { id, value })) {
            Ok(()) => true,
            Err(e) => {
                tracing::debug!(
                    camera = self.name,
                    control,
                    "cannot set camera control: {e}"
                );
                false
            }
        }
    }

    fn apply(&self, controls: &Controls) {
        if let Some(exposure) = controls.exposure {
            let units = (exposure.as_micros() / EXPOSURE_UNIT).max(1);
            let units = i64::try_from(units).unwrap_or(i64::MAX);
            let manual = self.set(
                "exposure_auto",
                EXPOSURE_AUTO,
                Value::Integer(EXPOSURE_MANUAL),
            );
            if !self.set(
                "exposure_time_absolute",
                EXPOSURE_ABSOLUTE,
                Value::Integer(units),
            ) || !manual
            {
                tracing::warn!(
                    camera = self.name,
                    "exposure time not supported; using automatic exposure"
                );
            }
        } else {
            let _ = EXPOSURE_AUTOMATIC
                .into_iter()
                .any(|mode| self.set("exposure_auto", EXPOSURE_AUTO, Value::Integer(mode)));
        }
        self.set(
            "exposure_dynamic_framerate",
            EXPOSURE_AUTO_PRIORITY,
            Value::Boolean(controls.dynamic_framerate),
        );
    }

    fn rates(&self, fourcc: FourCC, width: u32, height: u32) -> Vec<f64> {
        let Ok(device) = self.device() else {
            return vec![];
        };
        // Many drivers do not list rates; then any may be asked for.
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

    fn formats(&mut self) -> Result<Vec<SupportedFormat>, DeviceError> {
        let device = self.device()?;
        let described = guarded(|| device.enum_formats())?;
        let mut formats = vec![];
        for format in described {
            let Some(encoding) = Encoding::from_fourcc(format.fourcc.repr) else {
                continue;
            };
            let sizes = guarded(|| device.enum_framesizes(format.fourcc))?;
            for size in sizes {
                let (width, height) = match size.size {
                    FrameSizeEnum::Discrete(one) => {
                        (SizeRange::one(one.width), SizeRange::one(one.height))
                    }
                    FrameSizeEnum::Stepwise(s) => {
                        let range = |min, max, step| SizeRange { min, max, step };
                        (
                            range(s.min_width, s.max_width, s.step_width),
                            range(s.min_height, s.max_height, s.step_height),
                        )
                    }
                };
                formats.push(SupportedFormat {
                    encoding,
                    width,
                    height,
                    rates: self.rates(format.fourcc, width.max, height.max),
                });
            }
        }
        Ok(formats)
    }

    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<NegotiatedFormat, DeviceError> {
        // After a timeout the driver's queue is in an unknown state: drop the old stream first.
        self.stop();
        let device = self.device()?;
        let requested = Format::new(
            mode.width,
            mode.height,
            FourCC::new(&mode.encoding.fourcc()),
        );
        let format = guarded(|| device.set_format(&requested))?;
        let encoding = Encoding::from_fourcc(format.fourcc.repr).ok_or_else(|| {
            DeviceError::Unusable(format!(
                "the driver insists on the unsupported format {}",
                format.fourcc
            ))
        })?;
        let interval = Fraction::new(1000, (mode.rate * 1000.0).round().max(1.0) as u32);
        // Some cameras have a single rate and reject any request.
        let actual = guarded(|| device.set_params(&Parameters::new(interval)));
        let actual = actual.map(|p| rate(p.interval)).ok();
        self.apply(controls);
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
        Ok(NegotiatedFormat {
            mode: Mode {
                encoding,
                width: format.width,
                height: format.height,
                rate: actual
                    .filter(|r| r.is_finite() && *r > 0.0)
                    .unwrap_or(mode.rate),
            },
            stride: format.stride,
            range: if full {
                ColourRange::Full
            } else {
                ColourRange::Limited
            },
        })
    }

    fn read_frame(
        &mut self,
        timeout: Duration,
        into: &mut Vec<u8>,
    ) -> Result<FrameMetadata, DeviceError> {
        let Some(stream) = &mut self.stream else {
            return Err(DeviceError::Unusable("the camera is not started".into()));
        };
        let next = catch_unwind(AssertUnwindSafe(|| -> io::Result<FrameMetadata> {
            stream.set_timeout(timeout);
            let (bytes, meta) = stream.next()?;
            let used = bytes.len().min(meta.bytesused as usize);
            into.extend_from_slice(bytes.get(..used).unwrap_or_default());
            let kind = meta.flags & Flags::TIMESTAMP_MASK;
            let stamp = meta.timestamp;
            let taken = (kind == Flags::TIMESTAMP_MONOTONIC).then(|| {
                MonotonicTimestamp(
                    stamp
                        .sec
                        .saturating_mul(1_000_000)
                        .saturating_add(stamp.usec),
                )
            });
            Ok(FrameMetadata {
                taken,
                timing: Timing::Driver,
                sequence: meta.sequence,
                damaged: meta.flags.contains(Flags::ERROR),
                changed: None,
                encoded: vec![],
            })
        }));
        match next {
            Ok(Ok(stamp)) => Ok(stamp),
            // A signal may interrupt the wait, which leaves the buffers as after a timeout.
            Ok(Err(e)) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Err(DeviceError::TimedOut(timeout))
            }
            Ok(Err(e)) => Err(device_error(&e)),
            Err(_) => Err(DeviceError::Unusable("the v4l crate panicked".into())),
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

/// Sets close-on-exec, which `v4l` does not: a GStreamer pipeline that is started later would hold the
/// camera open, and it could not be reopened.
fn close_on_exec(device: &Device) -> io::Result<()> {
    #[allow(unsafe_code, reason = "v4l offers the descriptor as a number only")]
    // SAFETY: `device` holds the descriptor open while it is borrowed.
    let descriptor = unsafe { BorrowedFd::borrow_raw(device.handle().fd()) };
    set_close_on_exec(descriptor)
}

fn set_close_on_exec(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(
        descriptor,
        rustix::io::FdFlags::CLOEXEC,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_process_does_not_inherit_the_camera() {
        use std::os::fd::AsFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        set_close_on_exec(file.as_fd()).unwrap();
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_node_gives_frames_of_one_plane_of_several_or_none() {
        use capability::Flags;
        let of = |flags| expect_frames(flags, "ISP");
        let streaming = Flags::STREAMING;
        assert_eq!(of(Flags::VIDEO_CAPTURE | streaming), Ok(()));
        let several = of(Flags::VIDEO_CAPTURE_MPLANE | streaming);
        assert_eq!(several, Err(DeviceError::SeveralPlanes("ISP".into())));
        for flags in [
            Flags::VIDEO_CAPTURE,
            Flags::VIDEO_CAPTURE_MPLANE,
            Flags::VIDEO_OUTPUT_MPLANE | streaming,
        ] {
            let Err(DeviceError::Unusable(why)) = of(flags) else {
                panic!("{flags:?} gives frames");
            };
            assert!(why.contains("this node of 'ISP'"), "{why}");
        }
    }

    #[test]
    fn a_missing_camera_is_disconnected() {
        let Err(DeviceError::Disconnected(message)) = open(Path::new("/dev/video-none")) else {
            panic!("there is no such camera");
        };
        assert!(message.contains("/dev/video-none"), "{message}");
    }

    #[test]
    fn a_device_that_is_not_a_camera_is_unusable() {
        let Err(DeviceError::Unusable(message)) = open(Path::new("/dev/null")) else {
            panic!("the null device is not a camera");
        };
        assert!(message.starts_with("/dev/null: "), "{message}");
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error() {
        let error = guarded::<()>(|| panic!("Invalid colorspace")).unwrap_err();
        assert!(matches!(error, DeviceError::Unusable(_)), "{error}");
    }

    #[test]
    fn errors_say_what_to_do() {
        let busy = device_error(&io::Error::from_raw_os_error(16));
        assert!(busy.to_string().contains("another program"), "{busy}");
        let forbidden = device_error(&io::Error::from_raw_os_error(13));
        assert!(
            forbidden.to_string().contains("group 'video'"),
            "{forbidden}"
        );
        assert!(matches!(
            device_error(&io::Error::from_raw_os_error(19)),
            DeviceError::Disconnected(_)
        ));
    }
}
