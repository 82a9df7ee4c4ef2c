//! The inputs of a layer's weights at some positions of its output.

use crate::proto::read::integer_or;
use crate::quantize::QuantizeError;
use crate::quantize::layers::Layer;
use ndarray::Array2;
use tract_onnx::pb::NodeProto;

/// The sliding window of a convolution; a matrix product reads its whole input once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Padding above and on the left.
    pad_start: [usize; 2],
    /// Vertical and horizontal padding in all.
    pad_total: [usize; 2],
    groups: usize,
}

impl Window {
    /// `None` where the layer does not read an image, or pads automatically.
    pub(super) fn of(layer: &Layer, node: &NodeProto) -> Option<Self> {
        let groups = layer.groups;
        let kernel = match layer.weight.shape[..] {
            [_, _] => [1, 1],
            [_, _, height, width] => [height, width],
            _ => return None,
        };
        let attribute = |name: &str, default: usize, count: usize| -> Option<Vec<usize>> {
            match node.attribute.iter().find(|a| a.name == name) {
                None => Some(vec![default; count]),
                Some(found) if found.ints.len() == count => found
                    .ints
                    .iter()
                    .map(|&n| usize::try_from(n).ok())
                    .collect(),
                Some(_) => None,
            }
        };
        if integer_or(node, "group", 1) != groups as i64 && layer.operator == "Conv" {
            return None;
        }
        let automatic = node.attribute.iter().find(|a| a.name == "auto_pad");
        if automatic.is_some_and(|a| a.s != b"NOTSET" && a.s != b"VALID") {
            return None;
        }
        let [top, left, bottom, right] = <[usize; 4]>::try_from(attribute("pads", 0, 4)?).ok()?;
        Some(Self {
            kernel,
            strides: attribute("strides", 1, 2)?.try_into().ok()?,
            dilations: attribute("dilations", 1, 2)?.try_into().ok()?,
            pad_start: [top, left],
            pad_total: [top + bottom, left + right],
            groups,
        })
    }

    /// Inputs of each output.
    pub(super) fn width(&self, channels: usize) -> usize {
        channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// For each group `[positions, width]`: the inputs of its weights at about `count` output
    /// positions of one image. The index of the image shifts them, so that images contribute
    /// different positions. `input` is `[1, C, H, W]` or `[1, C]`.
    ///
    /// # Errors
    /// When the input has another shape.
    pub(super) fn patches(
        &self,
        input: &[f32],
        shape: &[usize],
        count: usize,
        image: usize,
    ) -> Result<Vec<Array2<f32>>, QuantizeError> {
        let (channels, height, width) = match *shape {
            [1, c, h, w] => (c, h, w),
            [1, c] => (c, 1, 1),
            _ => {
                return Err(QuantizeError::Unsupported(format!(
                    "a layer reads {shape:?}, expected [1, C, H, W] or [1, C]"
                )));
            }
        };
        let out = |axis: usize, size: usize| {
            let reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1;
            (size + self.pad_total[axis])
                .checked_sub(reach)
                .map(|n| n / self.strides[axis].max(1) + 1)
        };
        let (Some(rows), Some(columns)) = (out(0, height), out(1, width)) else {
            return Ok(vec![]);
        };
        let all = rows * columns;
        let count = count.clamp(1, all);
        let per_group = channels / self.groups;
        let numbers = self.width(channels);
        let mut patches = vec![Array2::zeros((count, numbers)); self.groups];
        for position in 0..count {
            // Steps of the golden ratio from image to image spread the positions evenly.
            let at = (position * all / count + image * (all * 618 / 1000).max(1)) % all;
            let (row, column) = (at / columns, at % columns);
            for (group, patches) in patches.iter_mut().enumerate() {
                let mut patch = patches.row_mut(position);
                let mut number = 0;
                for channel in group * per_group..(group + 1) * per_group {
                    for down in 0..self.kernel[0] {
                        let y = (row * self.strides[0] + down * self.dilations[0])
                            .checked_sub(self.pad_start[0]);
                        for across in 0..self.kernel[1] {
                            let x = (column * self.strides[1] + across * self.dilations[1])
                                .checked_sub(self.pad_start[1]);
                            if let (Some(y), Some(x)) = (y, x)
                                && y < height
                                && x < width
                                && let Some(value) = input.get((channel * height + y) * width + x)
                            {
                                patch[number] = *value;
                            }
                            number += 1;
                        }
                    }
                }
            }
        }
        Ok(patches)
    }
}
