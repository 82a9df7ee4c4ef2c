//! Random initial weights.

use flukewatch_network::weights::Values;
use flukewatch_network::{Parameter, Role};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(crate) fn initial(parameter: &Parameter, rng: &mut ChaCha8Rng) -> Values {
    let count = parameter.shape.iter().product::<usize>();
    let data = if parameter.name == "pool.p" {
        vec![3.0; count]
    } else if parameter.role == Role::Weight {
        // He et al. 2015: variance 2 / fan-in, uniform.
        let fan_in = parameter.shape[1..].iter().product::<usize>().max(1);
        let bound = (6.0 / fan_in as f32).sqrt();
        (0..count)
            .map(|_| rng.random_range(-bound..=bound))
            .collect()
    } else {
        let one = parameter.name.ends_with("norm.weight")
            || parameter.name.ends_with("running_var")
            || (parameter.role == Role::Scale && parameter.name.ends_with(".weight"));
        vec![if one { 1.0 } else { 0.0 }; count]
    };
    Values {
        shape: parameter.shape.clone(),
        data,
    }
}
