//! Weights as safetensors: pretrained files in, checkpoints in and out.

mod select;

pub use select::{Difference, How, select, select_parameters};

use super::{Backbone, names::Naming};
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
    /// What `torch.save` writes: a program, not data.
    #[error(
        "{path} is a pickle of PyTorch, which may run any program when it is read. Where you trust it, convert it in Python \
         (pip install torch safetensors):\n  {}",
        conversion(path).join("\n  ")
    )]
    Pickle {
        /// Which.
        path: PathBuf,
    },
    /// Tensors of a larger network: what is there would fit, and compute something else.
    #[error(
        "{path} has {count} tensors that {backbone} has no place for, as '{name}': it is of a larger network{}",
        likeness.map(|(b, naming)| format!("; it is whole for {b} ({}): set backbone = \"{b}\"", b.describe(naming))).unwrap_or_default()
    )]
    Surplus {
        /// Which file.
        path: PathBuf,
        /// The backbone asked for.
        backbone: Backbone,
        /// The first such tensor.
        name: String,
        /// How many.
        count: usize,
        /// The backbone that the file has all tensors of.
        likeness: Option<(Backbone, Naming)>,
    },
    /// Tensors are missing or of another shape than the network's.
    #[error(transparent)]
    Differs(Box<Difference>),
}

/// Two lines of Python that make a safetensors file of a pickle.
fn conversion(path: &Path) -> [String; 2] {
    // A JSON string is a Python string.
    let quoted = |p: &Path| serde_json::Value::from(p.to_string_lossy()).to_string();
    [
        "import torch, safetensors.torch as st; w = torch.load(".to_owned()
            + &quoted(path)
            + ", map_location=\"cpu\", weights_only=True)",
        "st.save_file({k: v.clone().contiguous() for k, v in w.get(\"state_dict\", w).items() if torch.is_tensor(v)}, ".to_owned()
            + &quoted(&path.with_extension("safetensors"))
            + ")",
    ]
}

/// Whether the bytes begin as `torch.save` begins: a zip archive, or in old files a bare pickle.
fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..])
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
/// When the file cannot be read, is damaged, or is a pickle.
pub fn read(path: &Path) -> Result<(Weights, BTreeMap<String, String>), WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::File {
        path: path.to_owned(),
        source,
    })?;
    // A safetensors file begins with the length of its header, which would have to be absurd to look like one.
    if is_pickle(&bytes) && SafeTensors::read_metadata(&bytes).is_err() {
        return Err(WeightsError::Pickle {
            path: path.to_owned(),
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_pickle_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resnet18-f37072fd.pth");
        // How torch.save's archives and the files of before 2020 begin.
        for start in [
            &b"PK\x03\x04\0\0\x08\x08"[..],
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9",
        ] {
            std::fs::write(&path, start).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("torch.load(\"")
                    && error.contains("resnet18-f37072fd.safetensors\")"),
                "{error}"
            );
        }
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
