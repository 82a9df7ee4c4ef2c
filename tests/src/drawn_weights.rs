//! Random weights for an untrained network.

use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{Network, Role};

/// Random parameters of `network` from `seed`: kernels as for an untrained network, normalisation
/// layers with a shift and a scale.
pub fn drawn(network: &Network, seed: u64) -> Weights {
    let mut state = seed;
    // SplitMix64 (Steele et al. 2014), scaled to -1 to 1.
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let parameters = network.parameters().into_iter();
    parameters
        .map(|p| {
            let count = p.shape.iter().product();
            let fan_in = p.shape.iter().skip(1).product::<usize>().max(1) as f32;
            let scale = p.name.ends_with("running_var")
                || (p.role == Role::Scale && p.name.ends_with(".weight"));
            let data = (0..count)
                .map(|_| match p.role {
                    Role::Weight => next() * (6.0 / fan_in).sqrt(),
                    _ if scale => 1.0 + 0.5 * next(),
                    _ => 0.3 * next(),
                })
                .collect();
            (
                p.name,
                Values {
                    shape: p.shape,
                    data,
                },
            )
        })
        .collect()
}
