//! Boxes as tables write them.

use flukewatch_common::pixel_box::PixelBox;

/// How a table writes numbers.
pub(crate) struct Numbers {
    /// Whether 10,5 is ten and a half, as in tables with semicolons.
    pub(crate) decimal_comma: bool,
}

impl Numbers {
    fn parse(&self, text: &str) -> Option<f64> {
        let number: f64 = if self.decimal_comma {
            text.replace(',', ".").parse().ok()?
        } else {
            text.parse().ok()?
        };
        number.is_finite().then_some(number)
    }

    fn side(&self, text: &str) -> Result<f64, String> {
        self.parse(text)
            .and_then(side)
            .ok_or_else(|| format!("box side '{text}' is not a pixel number"))
    }

    /// A side of the picture.
    pub(crate) fn size(&self, column: &str, text: &str) -> Result<u32, String> {
        self.parse(text)
            .filter(|n| n.fract() == 0.0 && (1.0..f64::from(u32::MAX)).contains(n))
            .map(|n| n as u32)
            .ok_or_else(|| {
                format!("{column} '{text}' is not the size of a picture in pixels; correct it or leave it empty")
            })
    }
}

/// A side of a box, in pixels. One that lies less than a pixel outside the picture is on its edge.
fn side(number: f64) -> Option<f64> {
    let is_possible = number > -1.0 && number < f64::from(u32::MAX);
    is_possible.then_some(number.max(0.0))
}

/// A box from its left, top, right and bottom edge.
pub(crate) fn corners(text: [&str; 4], numbers: &Numbers) -> Result<PixelBox, String> {
    let mut sides = [0.0; 4];
    for (side, text) in sides.iter_mut().zip(text) {
        *side = numbers.side(text)?;
    }
    covered(sides)
}

/// A box `[x, y, w, h]`: left and top edge, width and height.
pub(crate) fn list(text: &str, numbers: &Numbers) -> Result<PixelBox, String> {
    let fault = || format!("bbox '{text}' is not [x, y, w, h] in pixels");
    let inner = text.trim_matches(['[', ']', '(', ')', ' ']);
    let sides = inner
        .split([',', ';', ' ', '\n', '\r', '\t'])
        .filter(|t| !t.is_empty())
        .map(|t| numbers.side(t))
        .collect::<Result<Vec<f64>, String>>()
        .map_err(|e| format!("{}: {e}", fault()))?;
    let Ok(sides) = <[f64; 4]>::try_from(sides) else {
        return Err(fault());
    };
    sized(sides)
}

/// A box `[x, y, w, h]` of numbers.
pub(crate) fn sized(sides: [f64; 4]) -> Result<PixelBox, String> {
    let mut checked = [0.0; 4];
    for (checked, number) in checked.iter_mut().zip(sides) {
        *checked = side(number).ok_or_else(|| format!("{number} is not a pixel number"))?;
    }
    let [x, y, w, h] = checked;
    for end in [x + w, y + h] {
        side(end).ok_or_else(|| format!("{end} is not a pixel number"))?;
    }
    covered([x, y, x + w, y + h])
}

/// The pixels that a box covers.
fn covered(sides: [f64; 4]) -> Result<PixelBox, String> {
    let [x0, y0, x1, y1] = sides;
    let covered = PixelBox::covering(sides).ok_or_else(|| {
        format!("box ({x0}, {y0})-({x1}, {y1}) is empty; expected x0 < x1 and y0 < y1")
    })?;
    if x1 <= 1.0 && y1 <= 1.0 && [x0, y0, x1, y1].iter().any(|s| s.fract() != 0.0) {
        return Err(format!(
            "box ({x0}, {y0})-({x1}, {y1}) is in fractions of the picture; expected pixels"
        ));
    }
    Ok(covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: Numbers = Numbers {
        decimal_comma: false,
    };

    fn pixels(x0: u32, y0: u32, x1: u32, y1: u32) -> Result<PixelBox, String> {
        Ok(PixelBox { x0, y0, x1, y1 })
    }

    #[test]
    fn fractions_of_a_pixel_are_rounded_outward() {
        let read = |text| corners(text, &POINT);
        assert_eq!(
            read(["10.0", "40", "630.0", "2.6e2"]),
            pixels(10, 40, 630, 260)
        );
        assert_eq!(
            read(["10.36", "40.9", "629.1", "259.01"]),
            pixels(10, 40, 630, 260)
        );
        assert_eq!(read(["-0.36", "0", "5", "5"]), pixels(0, 0, 5, 5));
        let comma = Numbers {
            decimal_comma: true,
        };
        assert_eq!(
            corners(["10,36", "1", "12,5", "3"], &comma),
            pixels(10, 1, 13, 3)
        );
        for bad in ["-1", "-2", "NaN", "inf", "1e12", "ten", "10,5"] {
            assert!(read([bad, "0", "2000", "5"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn fractions_of_the_picture_are_rejected() {
        let error = corners(["0.1", "0.2", "0.9", "1.0"], &POINT).unwrap_err();
        assert!(error.contains("fractions of the picture"), "{error}");
        assert_eq!(corners(["0", "0", "1", "1"], &POINT), pixels(0, 0, 1, 1));
    }

    #[test]
    fn a_list_is_corner_and_size() {
        for text in [
            "[10, 40, 620, 220]",
            "[10.5 40.2 619. 219.1]",
            "(10,40,620,220)",
            "10 40 620 220",
        ] {
            assert_eq!(list(text, &POINT), pixels(10, 40, 630, 260), "{text}");
        }
        for text in [
            "[1, 2, 3]",
            "[1, 2, 3, 4, 5]",
            "[1, 2, x, 4]",
            "[1, 2, 0, 4]",
            "[]",
        ] {
            assert!(list(text, &POINT).is_err(), "{text}");
        }
    }
}
