// One step of AdamW, in place. A pack is one element or a vector of four.
struct Params {
    count: u32,
    workgroups: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameter: array<Lanes>;
@group(0) @binding(2) var<storage, read> gradient: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<Lanes>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<Lanes>;
@group(0) @binding(5) var<storage, read> schedule: array<f32>;  // learning rate, 1 - beta1^t, 1 - beta2^t
@group(0) @binding(6) var<storage, read> factor: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work. Gradients under a factor of 0 may be anything.
    if group >= params.workgroups || i >= params.count || factor[0] == 0.0 {
        return;
    }
    let rate = schedule[0];
    let g = factor[0] * gradient[i];
    let m = params.beta1 * first_moment[i] + (1.0 - params.beta1) * g;
    let v = params.beta2 * second_moment[i] + (1.0 - params.beta2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    let p = parameter[i];
    parameter[i] = p - rate * params.weight_decay * p - rate / schedule[1] * m / (sqrt(v / schedule[2]) + params.eps);
}
