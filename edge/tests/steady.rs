//! Once it is at work, looking at frames takes no new memory.
#![allow(clippy::unwrap_used)]
#![allow(
    unsafe_code,
    reason = "an allocator that counts can only be written so"
)]

use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_edge::capture::device::Controls;
use flukewatch_edge::capture::gstreamer::{self, Tools};
use flukewatch_edge::capture::negotiate::{Wanted, best};
use flukewatch_edge::encounter::{Encounters, Found, Grouping};
use flukewatch_edge::frame::{FramePicture, RawFormat, RawPicture};
use flukewatch_edge::pixels::{Developer, Layout, Range, Shape};
use flukewatch_edge::source::Buffers;
use flukewatch_edge::stop::Stop;
use flukewatch_edge::time::{MachineSteadyClock, Moment};
use image::RgbImage;
use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// Counts what the present thread takes.
struct Counting;

// SAFETY: all is left to the system's allocator; a counter without a destructor is all there is besides.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: as the caller promises.
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

/// The boat's way of a frame, up to its crops.
struct Way {
    buffers: Buffers,
    developer: Developer,
    small: RgbImage,
    encounters: Encounters,
    frame: i64,
}

impl Way {
    fn look(&mut self, found: &[Detection]) {
        let mut bytes = self.buffers.empty();
        let light = |i: usize| (i * 7 % 251) as u8;
        bytes.extend((0..1280 * 360).map(light));
        let raw = RawPicture {
            bytes: self.buffers.lend(bytes),
            format: RawFormat::Plain {
                layout: Layout::Yuyv,
                shape: SHAPE,
                range: Range::Limited,
            },
        };
        let (photo, raw) = self.developer.look(FramePicture::Raw(raw)).unwrap();
        assert!(raw.is_none(), "nobody wants colours");
        photo.pixels().reduce(2, &mut self.small);
        self.frame += 1;
        let now = Moment(self.frame * 33_333);
        assert!(self.encounters.pass(now).is_empty());
        let frame = FrameSize {
            width: SHAPE.width,
            height: SHAPE.height,
        };
        self.encounters.look(Found::Detected(found), frame, now);
        if self.encounters.wants_pixels() {
            self.encounters.keep(photo.pixels());
        }
        assert!(self.encounters.complete().is_empty());
        self.developer.take_back(photo);
    }

    /// How often memory is taken for so many frames.
    fn takes(&mut self, frames: usize, found: &[Detection]) -> usize {
        let before = TAKEN.get();
        (0..frames).for_each(|_| self.look(found));
        TAKEN.get() - before
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
fn neither_open_sea_nor_an_encounter_takes_memory_for_each_frame() {
    let grouping = Grouping::Film {
        gap: 2000,
        longest: 300_000,
    };
    let mut way = Way {
        buffers: Buffers::default(),
        developer: Developer::new(true),
        small: RgbImage::default(),
        encounters: Encounters::new(grouping, 5, 0.1),
        frame: 0,
    };
    assert!(way.takes(1, &[]) > 0, "it counts");
    assert_eq!(way.takes(60, &[]), 0, "open sea");
    let one = [fluke(100)];
    assert!(way.takes(30, &one) > 0, "an encounter begins");
    assert_eq!(way.takes(120, &one), 0, "one fluke");
    let two = [fluke(100), fluke(400)];
    way.takes(30, &two);
    assert_eq!(way.takes(120, &two), 0, "two flukes");
    assert_eq!(way.takes(30, &[]), 0, "spray");
}

#[test]
fn frames_of_a_pipeline_take_no_memory() {
    let tools = Tools {
        program: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in/gst-launch-1.0").into(),
        ..Tools::new(Arc::new(MachineSteadyClock), Stop::default())
    };
    let pipeline = "head:640x360 frames:40 hang".parse().unwrap();
    let mut camera = gstreamer::open(&pipeline, tools);
    let wanted = Wanted {
        width: 640,
        height: 360,
        rate: 30.0,
    };
    let mode = best(&camera.offers().unwrap(), wanted).unwrap();
    camera.start(&mode, &Controls::default()).unwrap();
    let buffers = Buffers::default();
    let mut takes = |frames: usize| {
        let before = TAKEN.get();
        for _ in 0..frames {
            let mut bytes = buffers.empty();
            camera.frame(Duration::from_secs(20), &mut bytes).unwrap();
            drop(buffers.lend(bytes));
        }
        TAKEN.get() - before
    };
    assert!(takes(5) > 0, "it counts");
    assert_eq!(takes(30), 0);
}
