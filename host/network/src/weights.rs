//! Weights as safetensors files: reads pretrained weights, reads and writes checkpoints.

mod select;

pub use select::{Difference, How, select, select_parameters};

pub use super::tensors::{Values, Weights};
use super::{Backbone, spec::Naming};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the weights.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is not a safetensors file, or it is damaged.
    #[error("{path} is not a safetensors file, or it is damaged: {reason}")]
    Format {
        /// Path of the weights.
        path: PathBuf,
        /// Why it is not safetensors.
        reason: String,
    },
    /// The file is what `torch.save` writes: a program, not data.
    #[error(
        "{path} is a PyTorch pickle, which can run any program when it is read. If you trust it, convert it in Python \
         (pip install torch safetensors):\n  {}",
        conversion(path).join("\n  ")
    )]
    Pickle {
        /// Path of the weights.
        path: PathBuf,
    },
    /// The tensors are of a larger network: those that fit would compute something else.
    #[error(
        "{path}: {count} tensors are not part of {backbone}, e.g. '{name}'; the file is of a larger network{}",
        matches.map(|(b, naming)| format!("; all tensors match {b} ({}): set backbone = \"{b}\"", b.describe(naming))).unwrap_or_default()
    )]
    Surplus {
        /// Path of the weights.
        path: PathBuf,
        /// The backbone of the network.
        backbone: Backbone,
        /// The first surplus tensor.
        name: String,
        /// The number of surplus tensors.
        count: usize,
        /// A backbone all of whose tensors the file has.
        matches: Option<(Backbone, Naming)>,
    },
    /// Tensors are missing or of another shape.
    #[error(transparent)]
    Differs(Box<Difference>),
}

/// Two lines of Python that convert a pickle to safetensors.
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

/// Whether the bytes begin as `torch.save` writes them: a zip archive, or in old files a bare
/// pickle.
fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..])
}

/// Reads every float tensor of a safetensors file (f16 and bf16 become f32; integers are ignored)
/// and its metadata.
///
/// # Errors
/// When the file cannot be read, is damaged, or is a pickle.
pub fn read(path: &Path) -> Result<(Weights, BTreeMap<String, String>), WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::File {
        path: path.to_owned(),
        source,
    })?;
    // A safetensors file begins with the length of its header, which would be absurdly large to
    // look like a pickle.
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
        Dtype::BF16 => {
            let halves = bytes.as_chunks::<2>().0.iter();
            Some(halves.map(|b| bf16::from_le_bytes(*b).to_f32()).collect())
        }
        Dtype::F16 => {
            let halves = bytes.as_chunks::<2>().0.iter();
            Some(halves.map(|b| f16::from_le_bytes(*b).to_f32()).collect())
        }
        _ => None,
    }
}

/// Writes tensors and metadata atomically: a crash leaves the old file or the new one.
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
    flukewatch_common::atomic_file::write_atomically(path, &content).map_err(file)
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
    fn a_pickle_is_an_error_that_says_how_to_convert_it() {
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
    fn a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        std::fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\x7fnonsense").unwrap();
        assert!(matches!(read(&path), Err(WeightsError::Format { .. })));
    }

    #[test]
    fn half_precision_is_read() {
        let read = |dtype, bits: [u16; 3]| {
            let bytes = bits.map(u16::to_le_bytes).concat();
            floats(&TensorView::new(dtype, vec![3], &bytes).unwrap()).unwrap()
        };
        let expected = vec![1.0, -2.0, 2f32.powi(-24)];
        assert_eq!(read(Dtype::F16, [0x3c00, 0xc000, 0x0001]), expected);
        assert_eq!(read(Dtype::BF16, [0x3f80, 0xc000, 0x3380]), expected);
    }
}
