//! What each backbone's file describes.

use super::Builder;

/// Whose parameter names a weight file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Those of our checkpoints: torchvision's for ResNet and MobileNetV3, those of
    /// `efficientnet-lite-pytorch` for EfficientNet-Lite.
    Native,
    /// Those of timm (PyTorch Image Models).
    Timm,
}

/// A backbone described in its own file.
pub(super) struct Spec {
    /// In recipes and on the command line: the variant in kebab case.
    pub(super) name: &'static str,
    /// Mean and standard deviation of red, green and blue (0 to 255) that its pretrained weights
    /// expect.
    pub(super) normalisation: ([f32; 3], [f32; 3]),
    /// The namings of its weight files, our own first, and what users call them.
    pub(super) namings: &'static [(Naming, &'static str)],
    /// Adds its nodes for images of some channels; returns the channels of the last map.
    pub(super) build: fn(&mut Builder, usize, Naming) -> usize,
}

/// The mean and standard deviation of ImageNet, as torchvision and timm use them.
pub(super) const IMAGENET: ([f32; 3], [f32; 3]) =
    ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
