// One step of gradient descent with momentum, in place. A pack is one element or a vector of four.
struct Params {
    count: u32,
    workgroups: u32,
    momentum: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameter: array<Lanes>;
@group(0) @binding(2) var<storage, read> gradient: array<Lanes>;
@group(0) @binding(3) var<storage, read_write> velocity: array<Lanes>;
@group(0) @binding(4) var<storage, read> schedule: array<f32>;  // learning rate first
@group(0) @binding(5) var<storage, read> factor: array<f32>;

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
    let p = parameter[i];
    let g = factor[0] * gradient[i] + params.weight_decay * p;
    let u = params.momentum * velocity[i] + g;
    velocity[i] = u;
    parameter[i] = p - schedule[0] * direction(g, u);
}
