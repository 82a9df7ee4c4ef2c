//! Curves, bars and points as SVG.

use crate::page::escape;
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 48.0;

/// A plot in the making: ranges and names of both axes.
pub struct Plot {
    x: (f64, f64),
    y: (f64, f64),
    /// Whether numbers stand along x and y.
    numbers: [bool; 2],
    body: String,
}

impl Plot {
    /// Between `x.0` and `x.1` across, `y.0` and `y.1` up; a range without width is widened.
    pub fn new(x: (f64, f64), y: (f64, f64)) -> Self {
        let widened = |(low, high): (f64, f64)| {
            if high > low {
                (low, high)
            } else {
                (low - 0.5, low + 0.5)
            }
        };
        Self {
            x: widened(x),
            y: widened(y),
            numbers: [true, true],
            body: String::new(),
        }
    }

    /// Leaves the numbers on the axes out: where they mean nothing.
    pub fn without_numbers(mut self) -> Self {
        self.numbers = [false, false];
        self
    }

    /// Leaves the numbers under the plot out: where the bars bear their names.
    pub fn without_x_numbers(mut self) -> Self {
        self.numbers[0] = false;
        self
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |v: f64, (low, high): (f64, f64)| ((v - low) / (high - low)).clamp(0.0, 1.0);
        (
            LEFT + share(x, self.x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - share(y, self.y) * (HEIGHT - TOP - BOTTOM),
        )
    }

    /// A line through the points that are finite. Classes: `sea`, `known`, `new` or `quiet`.
    pub fn curve(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points.filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (px, py) = self.at(x, y);
            let _ = write!(path, "{px:.1},{py:.1} ");
        }
        let _ = write!(
            self.body,
            "<polyline class=\"{class} curve\" points=\"{}\"/>",
            path.trim_end()
        );
    }

    /// A point.
    pub fn mark(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        let (px, py) = self.at(x, y);
        let _ = write!(
            self.body,
            "<circle class=\"{class} mark\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"{radius}\"/>"
        );
    }

    /// A point of a colour of its own.
    pub fn coloured_mark(&mut self, colour: &str, x: f64, y: f64, title: &str) {
        let (px, py) = self.at(x, y);
        let _ = write!(
            self.body,
            "<circle class=\"mark\" fill=\"{colour}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4.5\"><title>{}</title></circle>",
            escape(title)
        );
    }

    /// A bar from 0 up to `y`.
    pub fn bar(&mut self, class: &str, from: f64, to: f64, y: f64) {
        let ((x0, y0), (x1, y1)) = (self.at(from, 0.0), self.at(to, y));
        let _ = write!(
            self.body,
            "<rect class=\"{class} bar\" x=\"{x0:.1}\" y=\"{y1:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            (x1 - x0).max(0.5),
            y0 - y1
        );
    }

    /// An interval standing at `x`.
    pub fn whisker(&mut self, x: f64, low: f64, high: f64) {
        let ((px, y0), (_, y1)) = (self.at(x, low), self.at(x, high));
        let _ = write!(
            self.body,
            "<line class=\"whisker\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{y0:.1}\" y2=\"{y1:.1}\"/>"
        );
    }

    /// Words in the plot, centred on `x`, at `y`.
    pub fn words(&mut self, x: f64, y: f64, text: &str) {
        let (px, py) = self.at(x, y);
        let _ = write!(
            self.body,
            "<text x=\"{px:.1}\" y=\"{py:.1}\" text-anchor=\"middle\">{}</text>",
            escape(text)
        );
    }

    /// The plot with its axes named, as a figure with a caption (HTML).
    pub fn figure(self, x_name: &str, y_name: &str, caption: &str) -> String {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut grid = String::new();
        let shown = |asked: bool, range| if asked { ticks(range) } else { vec![] };
        for tick in shown(self.numbers[0], self.x) {
            let (px, _) = self.at(tick, self.y.0);
            let _ = write!(
                grid,
                "<line class=\"grid\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text x=\"{px:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                tidy(tick)
            );
        }
        for tick in shown(self.numbers[1], self.y) {
            let (_, py) = self.at(self.x.0, tick);
            let _ = write!(
                grid,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 7.0,
                py + 4.5,
                tidy(tick)
            );
        }
        let middle = (TOP + bottom) / 2.0;
        format!(
            "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{y} against {x}\">{grid}\
             <line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>{}\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>\
             <text transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{y}</text>\
             </svg><figcaption>{caption}</figcaption></figure>",
            self.body,
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            x = escape(x_name),
            y = escape(y_name),
        )
    }
}

/// Four to ten round numbers within a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(rough);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..)
        .map(|i| i as f64 * step)
        .take_while(|t| *t <= high + step * 1e-9)
        .collect()
}

fn tidy(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 1e5 {
        format!("{rounded:.1e}")
    } else {
        format!("{}", rounded + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let shown = |range| {
            ticks(range)
                .into_iter()
                .map(tidy)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown((0.0, 1.0)), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(shown((-0.3, 0.7)), "-0.2 0 0.2 0.4 0.6");
        assert_eq!(shown((1.0, 20.0)), "5 10 15 20");
    }

    #[test]
    fn a_plot_stays_within_its_frame_and_has_no_nan() {
        let mut plot = Plot::new((0.0, 0.0), (0.0, 1.0));
        plot.curve("sea", [(0.0, f64::NAN), (0.0, 0.5), (9.0, 7.0)].into_iter());
        let text = plot.figure("a < b", "y", "");
        assert!(!text.contains("NaN") && text.contains("a &lt; b"));
        assert!(text.contains("points=\"281.0,142.0 506.0,12.0\""), "{text}");
    }
}
