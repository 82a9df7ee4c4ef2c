//! Plays pictures into a Video4Linux2 output, to test the boat's capture without a camera.
//!
//! ```sh
//! modprobe vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1
//! cargo run --example v4l2_player -- /dev/video1 --loop-at /dev/video0 --seconds 20 flukes/*.jpg
//! ```
//!
//! The kernel's `vivid` driver forwards frames from its HDMI output to its HDMI input while its control
//! 'Loop Video' is set; `v4l2loopback` always does. vivid requires the same size and format on both
//! sides: frames have the output's size, and a boat without a preferred format selects GREY. A picture
//! with a sidecar file is cropped to its largest box with padding, so that a detector has to find the
//! fluke.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match player::play(<player::Arguments as clap::Parser>::parse()) {
        Ok(frames) => {
            println!("{frames} frames played");
            std::process::ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("error: only Linux has Video4Linux2");
}

#[cfg(target_os = "linux")]
mod player {
    use clap::{Parser, ValueEnum};
    use flukewatch_common::pixel_box::PixelBox;
    use flukewatch_common::sidecar::Sidecar;
    use image::imageops::{self, FilterType};
    use image::{DynamicImage, Rgb, RgbImage};
    use std::error::Error;
    use std::io::{self, ErrorKind};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};
    use v4l::buffer::Type;
    use v4l::control::{Control, Value};
    use v4l::device::Device;
    use v4l::io::mmap::Stream;
    use v4l::io::traits::{CaptureStream, OutputStream};
    use v4l::video::Output;
    use v4l::{Format, FourCC};

    /// Padding around a box, as a fraction of its sides.
    const PADDING: f64 = 0.6;

    /// The pixel format of the frames.
    #[derive(Clone, Copy, ValueEnum)]
    enum PixelFormat {
        Grey,
        Yuyv,
    }

    impl PixelFormat {
        fn fourcc(self) -> FourCC {
            FourCC::new(match self {
                Self::Grey => b"GREY",
                Self::Yuyv => b"YUYV",
            })
        }

        fn bytes_per_pixel(self) -> u32 {
            match self {
                Self::Grey => 1,
                Self::Yuyv => 2,
            }
        }
    }

    /// Plays pictures into a Video4Linux2 output.
    #[derive(Parser)]
    pub(crate) struct Arguments {
        /// Output device, e.g. /dev/video1
        output: PathBuf,
        /// JPEG or PNG pictures, repeated in this order
        #[arg(required = true)]
        pictures: Vec<PathBuf>,
        /// vivid's input device to connect to the output first
        #[arg(long, value_name = "NODE")]
        loop_at: Option<PathBuf>,
        /// Pixel format of the frames
        #[arg(long, value_enum, default_value_t = PixelFormat::Grey)]
        format: PixelFormat,
        /// Duration in seconds
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Seconds to show each picture
        #[arg(long, default_value_t = 0.5)]
        each: f64,
        /// Frames per second to send; the driver limits it to its own rate
        #[arg(long, default_value_t = 30.0)]
        rate: f64,
    }

    /// Plays the pictures; returns the number of frames sent.
    pub(crate) fn play(arguments: Arguments) -> Result<u64, Box<dyn Error>> {
        let length = Duration::try_from_secs_f64(arguments.seconds)?;
        let each = Duration::try_from_secs_f64(arguments.each)?.max(Duration::from_millis(1));
        let frame = Duration::try_from_secs_f64(1.0 / arguments.rate)?;
        if let Some(node) = &arguments.loop_at {
            join(node)?;
        }
        let (width, height) = agree(&arguments.output, arguments.format)?;
        let frames: Vec<Vec<u8>> = arguments
            .pictures
            .iter()
            .map(|picture| Ok(encoded(&shown(picture)?, width, height, arguments.format)))
            .collect::<Result<_, Box<dyn Error>>>()?;
        let device = Device::with_path(&arguments.output)?;
        let mut output = Played::start(&device)?;
        println!("playing {} pictures of {width} x {height}", frames.len());
        let began = Instant::now();
        let mut played = 0;
        while began.elapsed() < length {
            let due = (began.elapsed().as_nanos() / each.as_nanos()) as usize;
            let Some(bytes) = frames.get(due % frames.len()) else {
                break;
            };
            output.play(bytes)?;
            played += 1;
            std::thread::sleep(frame);
        }
        Ok(played)
    }

    /// Number of the driver's buffers.
    const BUFFERS: u32 = 4;
    /// Timeout for a free buffer.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// A running output.
    ///
    /// The crate's `next` waits for a free buffer before it queues one, which blocks forever with a
    /// driver that needs two to start. All buffers are therefore queued first, with black frames,
    /// through the capture call, which does not wait.
    struct Played(Stream<'static>);

    impl Played {
        fn start(device: &Device) -> io::Result<Self> {
            let mut stream = Stream::with_buffers(device, Type::VideoOutput, BUFFERS)?;
            stream.set_timeout(TIMEOUT);
            OutputStream::next(&mut stream)?.0.fill(0);
            for index in 0..BUFFERS as usize {
                CaptureStream::queue(&mut stream, index)?;
            }
            let began = Instant::now();
            loop {
                match OutputStream::dequeue(&mut stream) {
                    Ok(_) => return Ok(Self(stream)),
                    Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
                    Err(e) if began.elapsed() > TIMEOUT => return Err(e),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        }

        /// Waits for a free buffer and queues it with this frame.
        fn play(&mut self, frame: &[u8]) -> io::Result<()> {
            let (bytes, _) = OutputStream::next(&mut self.0)?;
            let length = frame.len().min(bytes.len());
            bytes[..length].copy_from_slice(&frame[..length]);
            Ok(())
        }
    }

    /// Index of "none" in the menu of vivid's control 'OSD Text Mode'.
    const NO_TEXT: i64 = 2;

    /// Connects vivid's output to its input, and disables the text that it draws on frames.
    fn join(node: &Path) -> Result<(), Box<dyn Error>> {
        let device = Device::with_path(node)?;
        let controls = device.query_controls()?;
        for (name, value) in [
            ("Loop Video", Value::Boolean(true)),
            ("OSD Text Mode", Value::Integer(NO_TEXT)),
        ] {
            let control = controls.iter().find(|c| c.name == name);
            let control =
                control.ok_or_else(|| format!("{} has no control '{name}'", node.display()))?;
            device.set_control(Control {
                id: control.id,
                value,
            })?;
        }
        Ok(())
    }

    /// Sets the output's pixel format; returns its frame size.
    fn agree(node: &Path, format: PixelFormat) -> Result<(u32, u32), Box<dyn Error>> {
        let device = Device::with_path(node)?;
        let now = Output::format(&device)?;
        let wanted = Format::new(now.width, now.height, format.fourcc());
        let agreed = Output::set_format(&device, &wanted)?;
        if agreed.fourcc != wanted.fourcc
            || agreed.stride != agreed.width * format.bytes_per_pixel()
        {
            let wanted = wanted.fourcc;
            return Err(format!(
                "{} does not accept {wanted} with packed rows; it offers:\n{agreed}",
                node.display()
            )
            .into());
        }
        Ok((agreed.width, agreed.height))
    }

    /// The picture, cropped to its largest box with padding if it has a sidecar file.
    fn shown(picture: &Path) -> Result<DynamicImage, Box<dyn Error>> {
        let whole = image::open(picture).map_err(|e| format!("{}: {e}", picture.display()))?;
        let boxes = Sidecar::beside(picture)?.map_or_else(Vec::new, |s| s.boxes);
        let largest = boxes
            .into_iter()
            .filter_map(|b| widened(b).within(whole.width(), whole.height()))
            .max_by_key(PixelBox::area);
        Ok(match largest {
            Some(b) => whole.crop_imm(b.x0, b.y0, b.width(), b.height()),
            None => whole,
        })
    }

    fn widened(b: PixelBox) -> PixelBox {
        let by = |side: u32| (f64::from(side) * PADDING).round() as u32;
        let (across, down) = (by(b.width()), by(b.height()));
        PixelBox {
            x0: b.x0.saturating_sub(across),
            y0: b.y0.saturating_sub(down),
            x1: b.x1.saturating_add(across),
            y1: b.y1.saturating_add(down),
        }
    }

    /// The picture scaled to nine tenths of the frame, on a background of its mean colour.
    fn on_plain(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
        let room = |side: u32| (side * 9 / 10).max(1);
        let sized = picture.resize(room(width), room(height), FilterType::Triangle);
        let sized = sized.into_rgb8();
        let count = sized.pixels().len().max(1) as u64;
        let mean = std::array::from_fn(|c| {
            let sum: u64 = sized.pixels().map(|p| u64::from(p.0[c])).sum();
            (sum / count) as u8
        });
        let mut plain = RgbImage::from_pixel(width, height, Rgb(mean));
        let (left, top) = (
            (width - sized.width().min(width)) / 2,
            (height - sized.height().min(height)) / 2,
        );
        imageops::replace(&mut plain, &sized, left.into(), top.into());
        plain.into()
    }

    /// Encodes the picture in this size and format: GREY in full range, YUYV in limited range by ITU-R
    /// BT.601.
    fn encoded(picture: &DynamicImage, width: u32, height: u32, format: PixelFormat) -> Vec<u8> {
        let sized = on_plain(picture, width, height);
        match format {
            PixelFormat::Grey => sized.into_luma8().into_raw(),
            PixelFormat::Yuyv => {
                let rgb = sized.into_rgb8();
                let pairs = rgb.as_raw().as_chunks::<6>().0;
                pairs.iter().flat_map(|p| pair(*p)).collect()
            }
        }
    }

    /// Converts two RGB pixels to YUYV.
    fn pair([r0, g0, b0, r1, g1, b1]: [u8; 6]) -> [u8; 4] {
        let (first, second) = (ycbcr([r0, g0, b0]), ycbcr([r1, g1, b1]));
        let colour = |i: usize| f32::midpoint(first[i], second[i]).round() as u8;
        [
            first[0].round() as u8,
            colour(1),
            second[0].round() as u8,
            colour(2),
        ]
    }

    fn ycbcr(rgb: [u8; 3]) -> [f32; 3] {
        let [r, g, b] = rgb.map(|c| f32::from(c) / 255.0);
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        [
            16.0 + 219.0 * y,
            128.0 + 224.0 * (b - y) / 1.772,
            128.0 + 224.0 * (r - y) / 1.402,
        ]
    }
}
