//! Batch normalisation with its running statistics, folded into the layer before it: the one
//! implementation that export and quantisation share.

use super::tensors::Weights;

/// Batch normalisation; parameters `<name>.weight`, `.bias`, `.running_mean`, `.running_var`, each
/// `[channels] f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// The prefix of its parameters' names.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Weight of a batch in the running statistics.
    pub momentum: f64,
}

impl BatchNorm {
    /// What it computes in evaluation. `weights` must hold its four parameters.
    ///
    /// # Panics
    /// When a parameter is missing.
    pub fn affine(&self, weights: &Weights) -> ChannelAffine {
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|part| weights[&format!("{}.{part}", self.name)].data.as_slice());
        ChannelAffine::of_statistics(gamma, beta, mean, variance, self.epsilon)
    }
}

/// `y = scale x + shift` with one scale and one shift for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAffine {
    /// `[channels]`
    pub scale: Vec<f32>,
    /// `[channels]`
    pub shift: Vec<f32>,
}

impl ChannelAffine {
    /// `scale = gamma / sqrt(variance + epsilon)` and `shift = beta - mean scale`; all slices are
    /// `[channels]`.
    pub fn of_statistics(
        gamma: &[f32],
        beta: &[f32],
        mean: &[f32],
        variance: &[f32],
        epsilon: f64,
    ) -> Self {
        let scale: Vec<f32> = gamma
            .iter()
            .zip(variance)
            .map(|(g, v)| (f64::from(*g) / (f64::from(*v) + epsilon).sqrt()) as f32)
            .collect();
        let shift = beta
            .iter()
            .zip(mean)
            .zip(&scale)
            .map(|((b, m), s)| b - m * s)
            .collect();
        Self { scale, shift }
    }

    /// Folds it into the layer before it, in place: `weight` is `[channels, ..]` row by row, `bias`
    /// is `[channels]`.
    pub fn fold_into(&self, weight: &mut [f32], bias: &mut [f32]) {
        let per_row = (weight.len() / self.scale.len().max(1)).max(1);
        for (row, scale) in weight.chunks_exact_mut(per_row).zip(&self.scale) {
            row.iter_mut().for_each(|w| *w *= scale);
        }
        for ((bias, scale), shift) in bias.iter_mut().zip(&self.scale).zip(&self.shift) {
            *bias = *bias * scale + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (x - 2) / 2 * 3 + 0.5 = 1.5 x - 2.5, and 2 (x - 1); behind 10 x + 1 and 3 x.
    #[test]
    fn a_norm_by_hand() {
        let affine =
            ChannelAffine::of_statistics(&[3.0, 2.0], &[0.5, 0.0], &[2.0, 1.0], &[4.0, 1.0], 0.0);
        assert_eq!(
            (&affine.scale[..], &affine.shift[..]),
            (&[1.5, 2.0][..], &[-2.5, -2.0][..])
        );
        let (mut weight, mut bias) = ([10.0, 20.0, 3.0, 4.0], [1.0, 0.0]);
        affine.fold_into(&mut weight, &mut bias);
        assert_eq!((weight, bias), ([15.0, 30.0, 6.0, 8.0], [-1.0, -2.0]));
    }

    #[test]
    fn epsilon_is_added_to_the_variance() {
        let affine = ChannelAffine::of_statistics(&[1.0], &[0.0], &[0.0], &[3.0], 1.0);
        assert_eq!(affine.scale, [0.5]);
    }
}
