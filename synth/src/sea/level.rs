//! Where the water is in a picture.

/// Where the water is in a picture at one point in time.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// The row of the horizon at the picture's centre.
    pub horizon: f32,
    /// Slope of the horizon: rows down per column to the right.
    pub slope: f32,
}

impl Level {
    /// The row of the horizon at a column; `middle` is the middle column.
    pub fn at(&self, x: f32, middle: f32) -> f32 {
        self.horizon + self.slope * (x - middle)
    }
}
