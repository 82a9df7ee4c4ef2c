//! Selects the parameters of a network from the tensors of a file.

use super::{Values, Weights, WeightsError};
use crate::spec::Naming;
use crate::{Backbone, Network, Parameter};
use std::fmt;
use std::path::{Path, PathBuf};

/// How the tensors of a file differ from the network's parameters.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Difference {
    /// Path of the weights.
    pub path: PathBuf,
    /// The first parameter that differs, by the name in the file.
    pub name: String,
    /// Its shape in the network.
    pub expected: Vec<usize>,
    /// How the first parameter differs.
    pub how: How,
    /// Number of parameters that differ.
    pub count: usize,
    /// Parameters of the network.
    pub of: usize,
    /// A backbone all of whose tensors the file has.
    pub matches: Option<(Backbone, Naming)>,
}

/// How a tensor differs from a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The file does not have it.
    Missing,
    /// It has this shape.
    Shape(Vec<usize>),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, name, expected) = (self.path.display(), &self.name, &self.expected);
        match &self.how {
            How::Missing => write!(f, "{path}: missing tensor '{name}' (shape {expected:?})")?,
            How::Shape(got) => write!(
                f,
                "{path}: tensor '{name}' has shape {got:?}, expected {expected:?}"
            )?,
        }
        let (count, of) = (self.count, self.of);
        match count {
            1 => write!(f, "; all other tensors match")?,
            _ => write!(f, "; {count} of {of} tensors are missing or differ")?,
        }
        if let Some((backbone, naming)) = self.matches {
            let names = backbone.describe(naming);
            write!(
                f,
                "; all tensors match {backbone} ({names}): set backbone = \"{backbone}\""
            )?;
        } else if count == of {
            write!(f, "; are these weights of another network?")?;
        }
        Ok(())
    }
}

/// The parameters of the network that pass `wanted`, from `weights`. A colour stem fits a grey
/// network by summing its channels.
///
/// # Errors
/// Names the first parameter that is missing or of another shape, and counts them.
pub fn select(
    network: &Network,
    weights: &Weights,
    path: &Path,
    wanted: impl Fn(&Parameter) -> bool,
) -> Result<Weights, WeightsError> {
    let parameters = network.parameters().into_iter().filter(|p| wanted(p));
    select_parameters(parameters, weights, path)
}

/// The given parameters from `weights`.
///
/// # Errors
/// As [`select`].
pub fn select_parameters(
    parameters: impl IntoIterator<Item = Parameter>,
    weights: &Weights,
    path: &Path,
) -> Result<Weights, WeightsError> {
    let mut selected = Weights::new();
    let mut first = None;
    let (mut count, mut of) = (0, 0);
    for parameter in parameters {
        of += 1;
        match fitting(weights, &parameter) {
            Ok(values) => {
                selected.insert(parameter.name, values);
            }
            Err(how) => {
                count += 1;
                first.get_or_insert((parameter, how));
            }
        }
    }
    match first {
        None => Ok(selected),
        Some((parameter, how)) => Err(WeightsError::Differs(Box::new(Difference {
            path: path.to_owned(),
            name: parameter.name,
            expected: parameter.shape,
            how,
            count,
            of,
            matches: None,
        }))),
    }
}

fn fitting(weights: &Weights, parameter: &Parameter) -> Result<Values, How> {
    let found = weights.get(&parameter.name).ok_or(How::Missing)?;
    if found.shape == parameter.shape {
        return Ok(found.clone());
    }
    grey_stem(found, &parameter.shape).ok_or_else(|| How::Shape(found.shape.clone()))
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
    use crate::{Pooling, head::Head};

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

    fn error(weights: &Weights) -> String {
        select(&network(), weights, Path::new("w.safetensors"), |_| true)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_error_names_the_tensor_that_differs() {
        let mut weights = zeros(&network());
        weights.get_mut("layer1.0.conv1.weight").unwrap().shape = vec![64, 64, 9];
        assert_eq!(
            error(&weights),
            "w.safetensors: tensor 'layer1.0.conv1.weight' has shape [64, 64, 9], expected [64, 64, 3, 3]; \
             all other tensors match"
        );
        weights.remove("layer1.0.conv1.weight");
        weights.remove("layer2.0.conv1.weight");
        assert_eq!(
            error(&weights),
            "w.safetensors: missing tensor 'layer1.0.conv1.weight' (shape [64, 64, 3, 3]); 2 of 106 tensors are missing or differ"
        );
        weights.clear();
        assert!(error(&weights).ends_with(
            "; 106 of 106 tensors are missing or differ; are these weights of another network?"
        ));
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
}
