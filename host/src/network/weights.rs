//! Weights as safetensors: pretrained files in, checkpoints in and out.

use super::{Network, Parameter};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file itself.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No safetensors, or cut off.
    #[error("{path} is no safetensors file, or is damaged: {reason}")]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A parameter that the network needs is not there.
    #[error(
        "{path} has no tensor '{name}' (shape {shape:?}): are these weights of another network?"
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A parameter of another shape.
    #[error("{path}: tensor '{name}' has shape {got:?}, the network needs {expected:?}")]
    Shape {
        /// Which file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// As the network has it.
        expected: Vec<usize>,
        /// As the file has it.
        got: Vec<usize>,
    },
}

/// A tensor of floats on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Shape.
    pub shape: Vec<usize>,
    /// Row-major.
    pub data: Vec<f32>,
}

/// Named tensors.
pub type Weights = BTreeMap<String, Values>;

/// Reads every float tensor of a safetensors file (f32, f16 and bf16 become f32; integers are passed over) and its metadata.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read(path: &Path) -> Result<(Weights, BTreeMap<String, String>), WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::File {
        path: path.to_owned(),
        source,
    })?;
    let format = |e: safetensors::SafeTensorError| WeightsError::Format {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let metadata = header
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    let tensors = SafeTensors::deserialize(&bytes).map_err(format)?;
    let mut weights = Weights::new();
    for (name, view) in tensors.tensors() {
        if let Some(data) = floats(&view) {
            weights.insert(
                name,
                Values {
                    shape: view.shape().to_vec(),
                    data,
                },
            );
        }
    }
    Ok((weights, metadata))
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        ),
        Dtype::BF16 => Some(
            bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
                .collect(),
        ),
        Dtype::F16 => Some(
            bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| half(u16::from_le_bytes(*b)))
                .collect(),
        ),
        _ => None,
    }
}

fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (
        i32::from((bits >> 10) & 31),
        f32::from(bits & 0x3ff) / 1024.0,
    );
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction) * 2f32.powi(e - 15),
    }
}

/// Writes tensors and metadata: to a file beside, synced, then renamed, so that a crash leaves the old file or the new one.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    weights: &Weights,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let file = |source| WeightsError::File {
        path: path.to_owned(),
        source,
    };
    let bytes: BTreeMap<&String, Vec<u8>> = weights
        .iter()
        .map(|(n, v)| (n, v.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let mut views = vec![];
    for (name, v) in weights {
        let view = TensorView::new(Dtype::F32, v.shape.clone(), &bytes[name]).map_err(|e| {
            WeightsError::Format {
                path: path.to_owned(),
                reason: e.to_string(),
            }
        })?;
        views.push((name, view));
    }
    let metadata = metadata
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let content =
        safetensors::serialize(views, Some(metadata)).map_err(|e| WeightsError::Format {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
    crate::files::write_atomically(path, &content).map_err(file)
}

/// The network's parameters out of `weights`, in the network's order. A stem for colour serves a grey network by summing over
/// its channels.
///
/// # Errors
/// Names the first parameter that is missing or of another shape.
pub fn select(
    network: &Network,
    weights: &Weights,
    path: &Path,
    wanted: impl Fn(&Parameter) -> bool,
) -> Result<Weights, WeightsError> {
    let mut selected = Weights::new();
    for parameter in network.parameters().into_iter().filter(|p| wanted(p)) {
        let found = weights
            .get(&parameter.name)
            .ok_or_else(|| WeightsError::Missing {
                path: path.to_owned(),
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
            })?;
        let values = if found.shape == parameter.shape {
            found.clone()
        } else if let Some(grey) = grey_stem(found, &parameter.shape) {
            grey
        } else {
            return Err(WeightsError::Shape {
                path: path.to_owned(),
                name: parameter.name,
                expected: parameter.shape,
                got: found.shape.clone(),
            });
        };
        selected.insert(parameter.name, values);
    }
    Ok(selected)
}

fn grey_stem(found: &Values, wanted: &[usize]) -> Option<Values> {
    let [out, 3, kh, kw] = found.shape[..] else {
        return None;
    };
    if wanted != [out, 1, kh, kw] {
        return None;
    }
    let area = kh * kw;
    let data = (0..out * area)
        .map(|i| {
            (0..3)
                .map(|c| found.data[(i / area * 3 + c) * area + i % area])
                .sum()
        })
        .collect();
    Some(Values {
        shape: wanted.to_vec(),
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Backbone, Pooling, head::Head};

    fn network() -> Network {
        Network::new(
            Backbone::Resnet18,
            1,
            &Head {
                pooling: Pooling::Average,
                dropout: 0.0,
                dimension: 8,
            },
        )
    }

    fn zeros(network: &Network) -> Weights {
        network
            .parameters()
            .into_iter()
            .map(|p| {
                (
                    p.name,
                    Values {
                        data: vec![0.0; p.shape.iter().product()],
                        shape: p.shape,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn a_file_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = Weights::from([(
            "a".into(),
            Values {
                shape: vec![2, 1],
                data: vec![1.5, -2.0],
            },
        )]);
        let metadata = BTreeMap::from([("epoch".into(), "3".into())]);
        write(&path, &weights, &metadata).unwrap();
        assert_eq!(read(&path).unwrap(), (weights, metadata));
    }

    #[test]
    fn a_wrong_file_says_which_tensor_differs_and_how() {
        let net = network();
        let mut weights = zeros(&net);
        weights.get_mut("layer1.0.conv1.weight").unwrap().shape = vec![64, 64, 9];
        let error = select(&net, &weights, Path::new("w.safetensors"), |_| true)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "w.safetensors: tensor 'layer1.0.conv1.weight' has shape [64, 64, 9], the network needs [64, 64, 3, 3]"
        );
        weights.remove("layer1.0.conv1.weight");
        let error = select(&net, &weights, Path::new("w.safetensors"), |_| true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has no tensor 'layer1.0.conv1.weight'"),
            "{error}"
        );
    }

    #[test]
    fn a_colour_stem_is_summed_for_grey() {
        let net = network();
        let mut weights = zeros(&net);
        let data = (0..64 * 3 * 49).map(|i| (i / 49 % 3) as f32).collect();
        weights.insert(
            "conv1.weight".into(),
            Values {
                shape: vec![64, 3, 7, 7],
                data,
            },
        );
        let selected = select(&net, &weights, Path::new("w"), |_| true).unwrap();
        let stem = &selected["conv1.weight"];
        assert_eq!(stem.shape, [64, 1, 7, 7]);
        assert!(stem.data.iter().all(|&v| v == 3.0));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        std::fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\x7fnonsense").unwrap();
        assert!(matches!(read(&path), Err(WeightsError::Format { .. })));
    }

    #[test]
    fn halves_are_read() {
        assert_eq!(
            [half(0x3c00), half(0xc000), half(0x0001)],
            [1.0, -2.0, 2f32.powi(-24)]
        );
    }
}
