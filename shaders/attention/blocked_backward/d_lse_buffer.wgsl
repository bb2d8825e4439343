// Upstream gradient of the log-sum-exp.
@group(0) @binding(4) var<storage, read> d_lse: array<f32>;  // as lse

fn load_d_lse(at: u32) -> f32 {
    return d_lse[at];
}
