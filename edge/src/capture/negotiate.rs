//! Chooses the best of a camera's formats for a requested mode.
//!
//! A mode scores the fraction of the requested pixels times the fraction of the requested rate, each
//! at most 1: half the rate is as bad as half the pixels. Ties go to the fewest excess pixels, then to
//! the encoding that is cheapest to decode ([`Encoding::ALL`]), then to the lowest rate.

use super::device::{Encoding, Mode, SupportedFormat};
use std::cmp::Reverse;

/// The requested size and rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestedMode {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub rate: f64,
}

/// The mode to ask for; `None` where there is no format.
pub fn best_mode(formats: &[SupportedFormat], requested: RequestedMode) -> Option<Mode> {
    let modes = formats.iter().flat_map(|format| {
        let (width, height) = size(format, requested);
        rates(format, requested.rate)
            .into_iter()
            .map(move |rate| Mode {
                encoding: format.encoding,
                width,
                height,
                rate,
            })
    });
    modes.max_by_key(|mode| {
        let area = |w: u32, h: u32| f64::from(w) * f64::from(h);
        let pixels =
            area(mode.width, mode.height) / area(requested.width, requested.height).max(1.0);
        let rate = mode.rate / requested.rate;
        // Rounded, so that 29.97 fps counts as 30.
        let score = (pixels.min(1.0) * rate.min(1.0) * 1000.0).round() as i64;
        let excess = (pixels.max(1.0) * 1000.0) as i64;
        let cost = Encoding::ALL.iter().position(|e| *e == mode.encoding);
        (
            (score + 2) / 5,
            Reverse(excess),
            Reverse(cost),
            Reverse((rate * 1000.0) as i64),
        )
    })
}

/// The size nearest to the requested one, not smaller where there is a choice.
fn size(format: &SupportedFormat, requested: RequestedMode) -> (u32, u32) {
    (
        format.width.nearest(requested.width),
        format.height.nearest(requested.height),
    )
}

/// The supported rates; the requested one where the driver lists none.
fn rates(format: &SupportedFormat, requested: f64) -> Vec<f64> {
    let known: Vec<f64> = format
        .rates
        .iter()
        .copied()
        .filter(|r| r.is_finite() && *r > 0.0)
        .collect();
    if known.is_empty() {
        vec![requested]
    } else {
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::device::SizeRange;
    use Encoding::{Grey, Mjpeg, Nv12, Yuyv};

    fn format(encoding: Encoding, width: u32, height: u32, rates: &[f64]) -> SupportedFormat {
        SupportedFormat {
            encoding,
            width: SizeRange::one(width),
            height: SizeRange::one(height),
            rates: rates.to_vec(),
        }
    }

    fn chosen(
        formats: &[SupportedFormat],
        width: u32,
        height: u32,
        rate: f64,
    ) -> (Encoding, u32, u32, f64) {
        let requested = RequestedMode {
            width,
            height,
            rate,
        };
        let mode = best_mode(formats, requested).unwrap();
        (mode.encoding, mode.width, mode.height, mode.rate)
    }

    /// The formats of a common USB camera.
    fn webcam() -> Vec<SupportedFormat> {
        vec![
            format(Yuyv, 640, 480, &[30.0, 15.0]),
            format(Yuyv, 1280, 720, &[10.0, 5.0]),
            format(Yuyv, 1920, 1080, &[5.0]),
            format(Mjpeg, 640, 480, &[30.0]),
            format(Mjpeg, 1280, 720, &[30.0]),
            format(Mjpeg, 1920, 1080, &[30.0, 15.0]),
        ]
    }

    #[test]
    fn the_requested_size_and_rate_decide_the_encoding() {
        assert_eq!(
            chosen(&webcam(), 1920, 1080, 30.0),
            (Mjpeg, 1920, 1080, 30.0)
        );
        assert_eq!(chosen(&webcam(), 1920, 1080, 5.0), (Yuyv, 1920, 1080, 5.0));
        assert_eq!(chosen(&webcam(), 1280, 720, 10.0), (Yuyv, 1280, 720, 10.0));
        assert_eq!(chosen(&webcam(), 640, 480, 30.0), (Yuyv, 640, 480, 30.0));
    }

    #[test]
    fn the_lowest_sufficient_rate_is_chosen() {
        assert_eq!(
            chosen(&webcam(), 1920, 1080, 12.0),
            (Mjpeg, 1920, 1080, 15.0)
        );
    }

    #[test]
    fn a_request_beyond_the_formats_gives_the_largest() {
        assert_eq!(
            chosen(&webcam(), 3840, 2160, 30.0),
            (Mjpeg, 1920, 1080, 30.0)
        );
        let slow = [
            format(Yuyv, 640, 480, &[30.0]),
            format(Yuyv, 1920, 1080, &[5.0]),
        ];
        // 1/6.75 of the pixels against 1/6 of the rate.
        assert_eq!(chosen(&slow, 1920, 1080, 30.0).1, 1920);
    }

    #[test]
    fn a_size_between_two_formats_gives_the_larger() {
        assert_eq!(chosen(&webcam(), 1000, 600, 10.0), (Yuyv, 1280, 720, 10.0));
    }

    #[test]
    fn a_rate_a_little_off_is_the_rate() {
        let formats = [
            format(Mjpeg, 1280, 720, &[30.0]),
            format(Nv12, 1280, 720, &[29.97]),
        ];
        assert_eq!(chosen(&formats, 1280, 720, 30.0).0, Nv12);
    }

    #[test]
    fn the_cheapest_encoding_is_preferred() {
        let formats = [Mjpeg, Yuyv, Grey, Nv12].map(|e| format(e, 1280, 720, &[30.0]));
        assert_eq!(chosen(&formats, 1280, 720, 30.0).0, Grey);
    }

    #[test]
    fn a_range_of_sizes_gives_the_requested_one() {
        let span = |max| SizeRange {
            min: 16,
            max,
            step: 2,
        };
        let free = SupportedFormat {
            encoding: Nv12,
            width: span(3840),
            height: span(2160),
            rates: vec![],
        };
        assert_eq!(chosen(&[free], 1921, 1081, 25.0), (Nv12, 1922, 1082, 25.0));
    }

    #[test]
    fn without_formats_there_is_no_mode() {
        let requested = RequestedMode {
            width: 640,
            height: 480,
            rate: 30.0,
        };
        assert_eq!(best_mode(&[], requested), None);
        let invalid = [format(Yuyv, 0, 0, &[f64::NAN, -1.0, 0.0])];
        assert!(best_mode(&invalid, requested).is_some());
    }
}
