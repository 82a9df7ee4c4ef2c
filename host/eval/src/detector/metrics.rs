//! Average precision and recall of detections.

use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use serde::Serialize;

/// Least intersection over union of a detection with its fluke.
const MIN_OVERLAP: f64 = 0.5;
/// Boundaries between classes of fluke width, in pixels of a frame 1,920 wide.
const SIZES: [f32; 6] = [24.0, 48.0, 96.0, 192.0, 384.0, 1921.0];

/// Detections in an image and the flukes that it shows.
#[derive(Clone, Debug)]
pub struct LabelledDetections {
    /// Width of the image in pixels.
    pub image_width: u32,
    /// Detections by descending score.
    pub detections: Vec<Detection>,
    /// Boxes of the flukes.
    pub flukes: Vec<PixelBox>,
}

/// Recall of flukes in one class of width.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeRecall {
    /// Lowest width, in pixels of a frame 1,920 wide.
    pub from: f32,
    /// Width below which the class ends.
    pub to: f32,
    /// Number of flukes.
    pub flukes: usize,
    /// Fraction of them detected; `None` without flukes.
    pub recall: Option<f64>,
}

/// The fluke that each detection matches, if any; higher scores match first, each fluke once.
fn matches(image: &LabelledDetections) -> Vec<Option<usize>> {
    let mut taken = vec![false; image.flukes.len()];
    image
        .detections
        .iter()
        .map(|detection| {
            let best = image
                .flukes
                .iter()
                .enumerate()
                .filter(|(i, _)| !taken[*i])
                .map(|(i, t)| (i, t.overlap(&detection.region)))
                .filter(|(_, o)| *o >= MIN_OVERLAP)
                .max_by(|a, b| a.1.total_cmp(&b.1));
            best.map(|(i, _)| {
                taken[i] = true;
                i
            })
        })
        .collect()
}

/// Average precision: the area under precision over recall, with precision interpolated to the best
/// at any higher recall. `None` without flukes.
pub fn average_precision(images: &[LabelledDetections]) -> Option<f64> {
    let flukes: usize = images.iter().map(|image| image.flukes.len()).sum();
    if flukes == 0 {
        return None;
    }
    let mut all: Vec<(f32, bool)> = images
        .iter()
        .flat_map(|image| {
            let right = matches(image).into_iter().map(|m| m.is_some());
            image.detections.iter().map(|d| d.score).zip(right)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0usize;
    let mut curve: Vec<(f64, f64)> = all
        .iter()
        .enumerate()
        .map(|(i, (_, is_right))| {
            right += usize::from(*is_right);
            (right as f64 / flukes as f64, right as f64 / (i + 1) as f64)
        })
        .collect();
    for i in (1..curve.len()).rev() {
        curve[i - 1].1 = curve[i - 1].1.max(curve[i].1);
    }
    let mut before = 0.0;
    let area = curve.iter().map(|(recall, precision)| {
        let step = recall - before;
        before = *recall;
        step * precision
    });
    Some(area.sum())
}

/// Recall at a threshold: of all flukes, and by width.
pub fn recall(images: &[LabelledDetections], threshold: f32) -> (Option<f64>, Vec<SizeRecall>) {
    let bins = SIZES.len() - 1;
    let (mut flukes, mut detected) = (vec![0usize; bins], vec![0usize; bins]);
    for image in images {
        let scale = 1920.0 / image.image_width.max(1) as f32;
        let bin = |t: &PixelBox| {
            let width = t.width() as f32 * scale;
            SIZES[1..]
                .iter()
                .position(|s| width < *s)
                // A box may extend beyond its image.
                .unwrap_or(bins - 1)
        };
        image.flukes.iter().for_each(|t| flukes[bin(t)] += 1);
        for (detection, matched) in image.detections.iter().zip(matches(image)) {
            if let Some(i) = matched.filter(|_| detection.score >= threshold) {
                detected[bin(&image.flukes[i])] += 1;
            }
        }
    }
    let fraction =
        |detected: usize, flukes: usize| (flukes > 0).then(|| detected as f64 / flukes as f64);
    let sizes = (0..bins)
        .map(|i| SizeRecall {
            from: if i == 0 { 0.0 } else { SIZES[i] },
            to: SIZES[i + 1],
            flukes: flukes[i],
            recall: fraction(detected[i], flukes[i]),
        })
        .collect();
    (fraction(detected.iter().sum(), flukes.iter().sum()), sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(x0: u32, width: u32) -> PixelBox {
        PixelBox {
            x0,
            y0: 0,
            x1: x0 + width,
            y1: 10,
        }
    }

    fn detection(x0: u32, width: u32, score: f32) -> Detection {
        Detection {
            region: region(x0, width),
            score,
        }
    }

    #[test]
    fn average_precision_worked_by_hand() {
        // Sorted: right, wrong, right; one of three flukes is never detected: 1/3 at precision 1,
        // 1/3 at 2/3.
        let images = [
            LabelledDetections {
                image_width: 1920,
                detections: vec![detection(0, 40, 0.9), detection(500, 40, 0.8)],
                flukes: vec![region(0, 40)],
            },
            LabelledDetections {
                image_width: 1920,
                detections: vec![detection(2, 40, 0.7), detection(4, 40, 0.6)],
                flukes: vec![region(0, 40), region(900, 100)],
            },
        ];
        let expected = 1.0 / 3.0 + (1.0 / 3.0) * (2.0 / 3.0);
        assert!((average_precision(&images).unwrap() - expected).abs() < 1e-9);
        let (all, sizes) = recall(&images, 0.75);
        assert!((all.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((sizes[0].flukes, sizes[0].recall), (2, Some(0.5)));
        assert_eq!((sizes[2].flukes, sizes[2].recall), (1, Some(0.0)));
        assert_eq!(sizes[1].recall, None);
        assert_eq!(average_precision(&[]), None);
    }
}
