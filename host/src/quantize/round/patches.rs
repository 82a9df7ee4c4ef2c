//! What a layer's weights are multiplied with, at some places of its output.

use crate::quantize::QuantizeError;
use crate::quantize::constants::integer_or;
use crate::quantize::layers::Layer;
use ndarray::Array2;
use tract_onnx::pb::NodeProto;

/// How a convolution goes over its input; a matrix sees all of it at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Walk {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Above and to the left.
    before: [usize; 2],
    /// Above and below, left and right.
    around: [usize; 2],
    groups: usize,
}

impl Walk {
    /// Of a layer's node; none where it goes over anything but a picture, or pads as its input happens to be.
    pub(super) fn of(layer: &Layer, node: &NodeProto) -> Option<Self> {
        let groups = layer.groups;
        let kernel = match layer.weight.shape[..] {
            [_, _] => [1, 1],
            [_, _, height, width] => [height, width],
            _ => return None,
        };
        let told = |name: &str, default: usize, count: usize| -> Option<Vec<usize>> {
            match node.attribute.iter().find(|a| a.name == name) {
                None => Some(vec![default; count]),
                Some(told) if told.ints.len() == count => {
                    told.ints.iter().map(|&n| usize::try_from(n).ok()).collect()
                }
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
        let [top, left, bottom, right] = <[usize; 4]>::try_from(told("pads", 0, 4)?).ok()?;
        Some(Self {
            kernel,
            strides: told("strides", 1, 2)?.try_into().ok()?,
            dilations: told("dilations", 1, 2)?.try_into().ok()?,
            before: [top, left],
            around: [top + bottom, left + right],
            groups,
        })
    }

    /// Numbers that an output's weights are multiplied with.
    pub(super) fn width(&self, channels: usize) -> usize {
        channels / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// For each group `[places, width]`: what its weights see at about `count` places, spread over the output of one photo and by its number,
    /// so that photos do not show the same places. `input` is `[1, C, H, W]` or `[1, C]`.
    ///
    /// # Errors
    /// When the input has another shape.
    pub(super) fn patches(
        &self,
        input: &[f32],
        shape: &[usize],
        count: usize,
        photo: usize,
    ) -> Result<Vec<Array2<f32>>, QuantizeError> {
        let (channels, height, width) = match *shape {
            [1, c, h, w] => (c, h, w),
            [1, c] => (c, 1, 1),
            _ => {
                return Err(QuantizeError::Unfit(format!(
                    "a layer reads {shape:?}, not one picture"
                )));
            }
        };
        let out = |axis: usize, size: usize| {
            let reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1;
            (size + self.around[axis])
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
        for place in 0..count {
            // Half of a golden section from photo to photo visits all places before any again.
            let at = (place * all / count + photo * (all * 618 / 1000).max(1)) % all;
            let (row, column) = (at / columns, at % columns);
            for (group, patches) in patches.iter_mut().enumerate() {
                let mut patch = patches.row_mut(place);
                let mut number = 0;
                for channel in group * per_group..(group + 1) * per_group {
                    for down in 0..self.kernel[0] {
                        let y = (row * self.strides[0] + down * self.dilations[0])
                            .checked_sub(self.before[0]);
                        for across in 0..self.kernel[1] {
                            let x = (column * self.strides[1] + across * self.dilations[1])
                                .checked_sub(self.before[1]);
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
