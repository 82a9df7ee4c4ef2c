//! In steady state, processing frames allocates nothing.
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code, reason = "a counting allocator needs it")]

use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_edge::buffers::BufferPool;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::capture::device::Controls;
use flukewatch_edge::capture::gstreamer::{self, PipelineOptions};
use flukewatch_edge::capture::negotiate::{RequestedMode, best_mode};
use flukewatch_edge::encounter::{Encounters, FlukeBoxes, Grouping};
use flukewatch_edge::frame::{FrameImage, RawFormat, RawImage};
use flukewatch_edge::pixel_format::{ColourRange, PixelLayout, Shape};
use flukewatch_edge::pixels::Decoder;
use flukewatch_edge::time::{MonotonicTimestamp, SystemMonotonicClock};
use image::RgbImage;
use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// A global allocator that counts the allocations of the current thread.
struct Counting;

// SAFETY: it forwards to the system's allocator, and the counter has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the allocator's contract.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: the caller upholds the allocator's contract.
        unsafe { System.dealloc(at, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SHAPE: Shape = Shape {
    width: 640,
    height: 360,
    stride: 1280,
};

/// The processing of a frame up to its crops.
struct Stages {
    buffers: BufferPool,
    decoder: Decoder,
    small: RgbImage,
    encounters: Encounters,
    frame: i64,
}

impl Stages {
    fn process(&mut self, detections: &[Detection]) {
        let mut bytes = self.buffers.take();
        let shade = |i: usize| (i * 7 % 251) as u8;
        bytes.extend((0..1280 * 360).map(shade));
        let raw = RawImage {
            bytes,
            format: RawFormat::Uncompressed {
                layout: PixelLayout::Yuyv,
                shape: SHAPE,
                range: ColourRange::Limited,
            },
        };
        let decoded = self.decoder.decode(FrameImage::Raw(raw)).unwrap();
        assert!(decoded.colour_source().is_none(), "colour is not needed");
        let pixels = decoded.image.pixels();
        pixels.downscale(2, &mut self.small);
        self.frame += 1;
        let now = MonotonicTimestamp(self.frame * 33_333);
        let frame = FrameSize {
            width: SHAPE.width,
            height: SHAPE.height,
        };
        let flukes = FlukeBoxes::Detected(detections);
        let mut observed = self.encounters.observe(flukes, frame, now);
        if observed.wants_pixels() {
            observed.keep_crops(pixels);
        }
        assert!(observed.complete().is_empty());
    }

    /// The number of allocations over `frames` frames.
    fn allocations(&mut self, frames: usize, detections: &[Detection]) -> usize {
        let before = ALLOCATIONS.get();
        (0..frames).for_each(|_| self.process(detections));
        ALLOCATIONS.get() - before
    }
}

fn fluke(x0: u32) -> Detection {
    let (x1, y0, y1) = (x0 + 120, 100, 150);
    Detection {
        region: PixelBox { x0, y0, x1, y1 },
        score: 0.8,
    }
}

#[test]
fn neither_open_sea_nor_an_encounter_allocates_per_frame() {
    let grouping = Grouping::Video {
        gap: 2000,
        longest: 300_000,
    };
    let mut stages = Stages {
        buffers: BufferPool::default(),
        decoder: Decoder::new(true),
        small: RgbImage::default(),
        encounters: Encounters::new(grouping, 5, 0.1),
        frame: 0,
    };
    assert!(stages.allocations(1, &[]) > 0, "allocations are counted");
    assert_eq!(stages.allocations(60, &[]), 0, "open sea");
    let one = [fluke(100)];
    assert!(stages.allocations(30, &one) > 0, "an encounter starts");
    assert_eq!(stages.allocations(120, &one), 0, "one fluke");
    let two = [fluke(100), fluke(400)];
    stages.allocations(30, &two);
    assert_eq!(stages.allocations(120, &two), 0, "two flukes");
    assert_eq!(stages.allocations(30, &[]), 0, "spray");
}

#[test]
fn frames_of_a_pipeline_allocate_nothing() {
    let options = PipelineOptions {
        program: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in/gst-launch-1.0").into(),
        ..PipelineOptions::new(Arc::new(SystemMonotonicClock), CancellationToken::default())
    };
    let pipeline = "head:640x360 frames:40 hang".parse().unwrap();
    let mut camera = gstreamer::open(&pipeline, options);
    let requested = RequestedMode {
        width: 640,
        height: 360,
        rate: 30.0,
    };
    let mode = best_mode(&camera.formats().unwrap(), requested).unwrap();
    camera.start(&mode, &Controls::default()).unwrap();
    let buffers = BufferPool::default();
    let mut allocations = |frames: usize| {
        let before = ALLOCATIONS.get();
        for _ in 0..frames {
            let mut bytes = buffers.take();
            camera
                .read_frame(Duration::from_secs(20), &mut bytes)
                .unwrap();
        }
        ALLOCATIONS.get() - before
    };
    assert!(allocations(5) > 0, "allocations are counted");
    assert_eq!(allocations(30), 0);
}
