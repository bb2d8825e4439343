// d_logits = (p - q) * factor + p * d_lse for p = softmax(logits) along rows of `width` packs, one workgroup per row; q is 1 at the row's target,
// smoothed. The factor is the upstream gradient over the number of targets that count.

struct Params {
    rows: u32,
    // In packs, and in elements.
    width: u32,
    classes: u32,
    smoothing: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Pack>;
// Negative classes are large ones here, beyond every row.
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> factor: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_logits: array<Pack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = id.x + id.y * grid.x;
    if row >= params.rows {
        return;
    }
    let first = row * params.width;
    let label = targets[row];
    if label >= params.classes {
        for (var i = lane; i < params.width; i += WORKGROUP) {
            d_logits[first + i] = Pack(0.0);
        }
        return;
    }
    let everywhere = params.smoothing / f32(params.classes);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let p = weight(Lanes(logits[first + i]), lse[row]);
        var d = p - everywhere;
        if i == label / LANES {
            d -= (1.0 - params.smoothing) * one_hot(label % LANES);
        }
        d_logits[first + i] = Pack(d * factor[0] + p * of_lse(row));
    }
}
