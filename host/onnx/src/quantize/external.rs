//! Weights in files next to the model.

use super::QuantizeError;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, TensorProto};

/// Reads every tensor stored in a separate file, initialisers and attributes of nodes, from the
/// folder `beside` or below it.
///
/// # Errors
/// Names the tensor and its file.
pub(super) fn read_all(graph: &mut GraphProto, beside: Option<&Path>) -> Result<(), QuantizeError> {
    let attributes = graph.node.iter_mut().flat_map(|n| &mut n.attribute);
    let within = attributes.flat_map(|a| a.t.iter_mut().chain(&mut a.tensors));
    for tensor in within.chain(&mut graph.initializer) {
        read(tensor, beside)?;
    }
    Ok(())
}

fn read(tensor: &mut TensorProto, beside: Option<&Path>) -> Result<(), QuantizeError> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|e| e.key == key);
        found.map(|e| e.value.as_str())
    };
    let location = entry("location").unwrap_or_default();
    let error = |path: PathBuf, why: String| QuantizeError::Weights {
        tensor: tensor.name.clone(),
        path,
        why,
    };
    let Some(folder) = beside.filter(|_| !location.is_empty()) else {
        let why = "external weights must be in a file next to the model";
        return Err(error(location.into(), why.into()));
    };
    let path = folder.join(location);
    let path = match inside(folder, location) {
        Ok(Some(path)) => path,
        // A model must not make us read arbitrary files.
        Ok(None) => {
            let why =
                "external weights must be in a file next to the model or in a folder next to it";
            return Err(error(path, why.into()));
        }
        Err(e) => return Err(error(path, e.to_string())),
    };
    let number = |key: &str| entry(key).map(str::parse::<u64>).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        let why = "the model gives no valid offset and length";
        return Err(error(path, why.into()));
    };
    // ONNX's own reader takes a length of 0 as none.
    let given = length.filter(|&length| length > 0);
    let by_shape = size(tensor);
    let Some(length) = given.or(by_shape) else {
        let why = "the model gives neither its length nor a type and shape that define it";
        return Err(error(path, why.into()));
    };
    let bytes = read_part(&path, offset.unwrap_or(0), length)
        .map_err(|e| error(path.clone(), e.to_string()))?;
    if bytes.len() as u64 != length {
        let why = format!(
            "the file is too short: expected {length} bytes from byte {}, found {}",
            offset.unwrap_or(0),
            bytes.len()
        );
        return Err(error(path, why));
    }
    if let Some(by_shape) = by_shape.filter(|&n| n != length) {
        let why = format!(
            "the model gives a length of {length} bytes, but the shape {:?} requires {by_shape}",
            tensor.dims
        );
        return Err(error(path, why));
    }
    tensor.raw_data = bytes;
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

/// The file at `location`, if it is inside of `folder`, also through links.
fn inside(folder: &Path, location: &str) -> std::io::Result<Option<PathBuf>> {
    use std::path::Component::{CurDir, Normal};
    let relative = Path::new(location);
    if !relative
        .components()
        .all(|part| matches!(part, Normal(_) | CurDir))
    {
        return Ok(None);
    }
    let folder = folder.canonicalize()?;
    let file = folder.join(relative).canonicalize()?;
    Ok((file.starts_with(&folder) && file != folder).then_some(file))
}

fn read_part(path: &Path, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![];
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a tensor of this type and shape.
fn size(tensor: &TensorProto) -> Option<u64> {
    let bits = match DataType::try_from(tensor.data_type).ok()? {
        DataType::Undefined | DataType::String => return None,
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => 4,
        DataType::Bool
        | DataType::Int8
        | DataType::Uint8
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz => 8,
        DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Int32 | DataType::Uint32 | DataType::Float => 32,
        DataType::Int64 | DataType::Uint64 | DataType::Double | DataType::Complex64 => 64,
        DataType::Complex128 => 128,
    };
    let count = tensor.dims.iter().try_fold(1u64, |count, &side| {
        count.checked_mul(u64::try_from(side).ok()?)
    })?;
    Some(count.checked_mul(bits)?.div_ceil(8))
}

#[cfg(test)]
mod tests;
