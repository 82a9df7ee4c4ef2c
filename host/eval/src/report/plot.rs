//! Curves, bars and points as SVG.

use askama::Template;
use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 48.0;

/// A plot with its axes, its legend and its caption.
#[derive(Template)]
#[template(path = "plot.html")]
pub(super) struct Figure {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_name: String,
    y_name: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    shapes: Vec<Shape>,
    keys: Vec<Key>,
    caption: String,
}

struct Tick {
    at: String,
    label: String,
}

/// An entry of the legend; `colour` is any CSS colour.
pub(super) struct Key {
    pub(super) colour: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(colour: &str, name: &str) -> Self {
        Self {
            colour: colour.to_owned(),
            name: name.to_owned(),
        }
    }
}

enum Shape {
    Curve {
        class: &'static str,
        points: String,
    },
    Mark {
        class: &'static str,
        x: String,
        y: String,
        radius: String,
    },
    ColouredMark {
        colour: String,
        x: String,
        y: String,
        radius: String,
        title: String,
    },
    Bar {
        class: &'static str,
        x: String,
        y: String,
        width: String,
        height: String,
    },
    Whisker {
        x: String,
        y0: String,
        y1: String,
    },
    Text {
        x: String,
        y: String,
        text: String,
    },
}

/// Builds a [`Figure`]. Classes of shapes are `sea`, `known`, `new` and `quiet`.
pub(super) struct Plot {
    x: (f64, f64),
    y: (f64, f64),
    has_x_ticks: bool,
    has_y_ticks: bool,
    shapes: Vec<Shape>,
    keys: Vec<Key>,
}

impl Plot {
    /// An empty plot over these ranges; a range without width is widened.
    pub(super) fn new(x: (f64, f64), y: (f64, f64)) -> Self {
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
            has_x_ticks: true,
            has_y_ticks: true,
            shapes: vec![],
            keys: vec![],
        }
    }

    pub(super) fn without_ticks(mut self) -> Self {
        (self.has_x_ticks, self.has_y_ticks) = (false, false);
        self
    }

    pub(super) fn without_x_ticks(mut self) -> Self {
        self.has_x_ticks = false;
        self
    }

    pub(super) fn with_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys = keys.into_iter().collect();
        self
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let fraction = |v: f64, (low, high): (f64, f64)| ((v - low) / (high - low)).clamp(0.0, 1.0);
        (
            LEFT + fraction(x, self.x) * (RIGHT - LEFT),
            BOTTOM - fraction(y, self.y) * (BOTTOM - TOP),
        )
    }

    /// A line through the finite points.
    pub(super) fn curve(&mut self, class: &'static str, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points.filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = self.at(x, y);
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        self.shapes.push(Shape::Curve {
            class,
            points: path.trim_end().to_owned(),
        });
    }

    pub(super) fn mark(&mut self, class: &'static str, x: f64, y: f64, radius: f64) {
        let (x, y) = self.at(x, y);
        self.shapes.push(Shape::Mark {
            class,
            x: pixels(x),
            y: pixels(y),
            radius: pixels(radius),
        });
    }

    /// A mark of any CSS colour, with a text that a browser shows when a person points at it.
    pub(super) fn coloured_mark(
        &mut self,
        colour: String,
        x: f64,
        y: f64,
        radius: f64,
        title: String,
    ) {
        let (x, y) = self.at(x, y);
        self.shapes.push(Shape::ColouredMark {
            colour,
            x: pixels(x),
            y: pixels(y),
            radius: pixels(radius),
            title,
        });
    }

    /// A bar from 0 to `y`.
    pub(super) fn bar(&mut self, class: &'static str, from: f64, to: f64, y: f64) {
        let ((x0, y0), (x1, y1)) = (self.at(from, 0.0), self.at(to, y));
        self.shapes.push(Shape::Bar {
            class,
            x: pixels(x0),
            y: pixels(y1),
            width: pixels((x1 - x0).max(0.5)),
            height: pixels(y0 - y1),
        });
    }

    /// A vertical interval at `x`.
    pub(super) fn whisker(&mut self, x: f64, low: f64, high: f64) {
        let ((x, y0), (_, y1)) = (self.at(x, low), self.at(x, high));
        self.shapes.push(Shape::Whisker {
            x: pixels(x),
            y0: pixels(y0),
            y1: pixels(y1),
        });
    }

    /// Text centred on `x`.
    pub(super) fn text(&mut self, x: f64, y: f64, text: String) {
        let (x, y) = self.at(x, y);
        self.shapes.push(Shape::Text {
            x: pixels(x),
            y: pixels(y),
            text,
        });
    }

    pub(super) fn finish(self, x_name: &str, y_name: &str, caption: impl Into<String>) -> Figure {
        let tick = |at: f64, value: f64| Tick {
            at: pixels(at),
            label: label(value),
        };
        let values = |shown: bool, range| if shown { ticks(range) } else { vec![] };
        let x_ticks = values(self.has_x_ticks, self.x).into_iter();
        let y_ticks = values(self.has_y_ticks, self.y).into_iter();
        Figure {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            top: TOP,
            bottom: BOTTOM,
            x_name: x_name.to_owned(),
            y_name: y_name.to_owned(),
            x_ticks: x_ticks
                .map(|value| tick(self.at(value, self.y.0).0, value))
                .collect(),
            y_ticks: y_ticks
                .map(|value| tick(self.at(self.x.0, value).1, value))
                .collect(),
            shapes: self.shapes,
            keys: self.keys,
            caption: caption.into(),
        }
    }
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

/// Four to ten round values in a range.
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

fn label(value: f64) -> String {
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
                .map(label)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown((0.0, 1.0)), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(shown((-0.3, 0.7)), "-0.2 0 0.2 0.4 0.6");
        assert_eq!(shown((1.0, 20.0)), "5 10 15 20");
    }

    #[test]
    fn a_plot_stays_within_its_frame_has_no_nan_and_is_escaped() {
        let mut plot = Plot::new((0.0, 0.0), (0.0, 1.0));
        plot.curve("sea", [(0.0, f64::NAN), (0.0, 0.5), (9.0, 7.0)].into_iter());
        plot.coloured_mark("#000".into(), 0.0, 0.0, 4.0, "<b title='x'>\"&".into());
        let text = plot.finish("a < b", "y", "").render().unwrap();
        assert!(
            !text.contains("NaN") && text.contains("a &#60; b"),
            "{text}"
        );
        assert!(!text.contains("<b title"), "{text}");
        assert!(text.contains("points=\"281.0,142.0 506.0,12.0\""), "{text}");
    }
}
