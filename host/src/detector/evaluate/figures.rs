//! Average precision and recall of boxes.

use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use serde::Serialize;

/// A box is right if it overlaps the true one by so much.
pub const RIGHT: f64 = 0.5;
/// Widths of flukes at which sizes part, as if a frame had 1,920 pixels across.
pub const SIZES: [f32; 6] = [24.0, 48.0, 96.0, 192.0, 384.0, 1921.0];

/// What was found in one picture and what is there.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Pixels of the picture across.
    pub across: u32,
    /// The boxes, the surest first.
    pub found: Vec<Detection>,
    /// The flukes.
    pub truth: Vec<PixelBox>,
}

/// The share of flukes of a size that were found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SizeRecall {
    /// From this width on, as if a frame had 1,920 pixels across.
    pub from: f32,
    /// Below this one.
    pub to: f32,
    /// How many there are.
    pub flukes: usize,
    /// The share that was found; none where there are no flukes.
    pub recall: Option<f64>,
}

/// Pairs each found box with the true one that it is right about, if any: the surest first, each true one once.
fn matches(judged: &Judged) -> Vec<Option<usize>> {
    let mut taken = vec![false; judged.truth.len()];
    judged
        .found
        .iter()
        .map(|found| {
            let best = judged
                .truth
                .iter()
                .enumerate()
                .filter(|(i, _)| !taken[*i])
                .map(|(i, t)| (i, t.overlap(&found.region)))
                .filter(|(_, o)| *o >= RIGHT)
                .max_by(|a, b| a.1.total_cmp(&b.1));
            best.map(|(i, _)| {
                taken[i] = true;
                i
            })
        })
        .collect()
}

/// Average precision: the area under precision over recall, precision taken as the best at any recall as high. `None` without
/// flukes.
pub fn average_precision(pictures: &[Judged]) -> Option<f64> {
    let flukes: usize = pictures.iter().map(|p| p.truth.len()).sum();
    if flukes == 0 {
        return None;
    }
    let mut all: Vec<(f32, bool)> = pictures
        .iter()
        .flat_map(|p| {
            let right = matches(p).into_iter().map(|m| m.is_some());
            p.found.iter().map(|d| d.score).zip(right)
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

/// The share of flukes found at `threshold`, all of them first and then by size.
pub fn recall(pictures: &[Judged], threshold: f32) -> (Option<f64>, Vec<SizeRecall>) {
    let bins = SIZES.len() - 1;
    let (mut there, mut hit) = (vec![0usize; bins], vec![0usize; bins]);
    for picture in pictures {
        let scale = 1920.0 / picture.across.max(1) as f32;
        let bin = |t: &PixelBox| {
            let width = t.width() as f32 * scale;
            SIZES[1..]
                .iter()
                .position(|s| width < *s)
                .unwrap_or(bins - 1)
        };
        picture.truth.iter().for_each(|t| there[bin(t)] += 1);
        for (found, matched) in picture.found.iter().zip(matches(picture)) {
            if let Some(i) = matched.filter(|_| found.score >= threshold) {
                hit[bin(&picture.truth[i])] += 1;
            }
        }
    }
    let share = |hit: usize, there: usize| (there > 0).then(|| hit as f64 / there as f64);
    let sizes = (0..bins)
        .map(|i| SizeRecall {
            from: if i == 0 { 0.0 } else { SIZES[i] },
            to: SIZES[i + 1],
            flukes: there[i],
            recall: share(hit[i], there[i]),
        })
        .collect();
    (share(hit.iter().sum(), there.iter().sum()), sizes)
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

    fn found(x0: u32, width: u32, score: f32) -> Detection {
        Detection {
            region: region(x0, width),
            score,
        }
    }

    #[test]
    fn average_precision_worked_by_hand() {
        // Sorted: right, wrong, right, and one of three is never found: 1/3 at precision 1, 1/3 at 2/3.
        let pictures = [
            Judged {
                across: 1920,
                found: vec![found(0, 40, 0.9), found(500, 40, 0.8)],
                truth: vec![region(0, 40)],
            },
            Judged {
                across: 1920,
                found: vec![found(2, 40, 0.7), found(4, 40, 0.6)],
                truth: vec![region(0, 40), region(900, 100)],
            },
        ];
        let expected = 1.0 / 3.0 + (1.0 / 3.0) * (2.0 / 3.0);
        assert!((average_precision(&pictures).unwrap() - expected).abs() < 1e-9);
        let (all, sizes) = recall(&pictures, 0.75);
        assert!((all.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((sizes[0].flukes, sizes[0].recall), (2, Some(0.5)));
        assert_eq!((sizes[2].flukes, sizes[2].recall), (1, Some(0.0)));
        assert_eq!(sizes[1].recall, None);
        assert_eq!(average_precision(&[]), None);
    }
}
