//! The measurements of one training run of either trainer.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Epoch {
    /// Number of photos trained on.
    pub(super) images: f64,
    /// Wall-clock seconds.
    pub(super) seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Photos per second, without the first epoch.
    pub(super) images_per_second: f64,
    /// Peak memory in bytes.
    pub(super) peak: u64,
}

impl Run {
    /// Summarises a run's epochs; the first one warms up. `None` if there is no other.
    pub(super) fn of(epochs: &[Epoch], peak: u64) -> Option<Self> {
        let measured = epochs.get(1..)?;
        let images: f64 = measured.iter().map(|e| e.images).sum();
        let seconds: f64 = measured.iter().map(|e| e.seconds).sum();
        (images > 0.0 && seconds > 0.0).then(|| Self {
            images_per_second: images / seconds,
            peak,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_epoch_does_not_count() {
        let epoch = |images, seconds| Epoch { images, seconds };
        let run = Run::of(
            &[epoch(100.0, 50.0), epoch(100.0, 2.0), epoch(100.0, 3.0)],
            7,
        );
        assert_eq!(
            run,
            Some(Run {
                images_per_second: 40.0,
                peak: 7
            })
        );
        assert_eq!(Run::of(&[epoch(100.0, 50.0)], 7), None);
        assert_eq!(Run::of(&[], 7), None);
    }
}
