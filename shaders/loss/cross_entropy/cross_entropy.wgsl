// row_losses[row] = -ln softmax(logits[row])[label], one workgroup per row, which it reads once: each lane carries the sum of
// weights below its own largest logit along, scaled anew where a larger one turns up.

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
@group(0) @binding(3) var<storage, read_write> row_losses: array<f32>;

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
    let label = targets[row];
    // Of a masked language model that is most rows: they are not read.
    if label >= params.classes {
        if lane == 0u {
            row_losses[row] = 0.0;
            keep_lse(row, 0.0);
        }
        return;
    }
    let first = row * params.width;
    let origin = lane_of(Lanes(logits[first]), 0u);

    // A lane without elements repeats the last pack, and adds nothing.
    var lane_max = lanes_max(Lanes(logits[first + min(lane, params.width - 1u)]));
    var lane_sum = 0.0;
    var deviations = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let x = Lanes(logits[first + i]);
        let pack_max = lanes_max(x);
        if pack_max > lane_max {
            lane_sum *= scalar_weight(lane_max, pack_max);
            lane_max = pack_max;
        }
        lane_sum += lanes_sum(weight(x, lane_max));
        deviations += x - origin;
    }
    let largest = row_max(0u, lane_max, lane);
    let sum = row_sum(1u, lane_sum * scalar_weight(lane_max, largest), lane);
    // WGSL allows log(1) to be off by as much as counts beside losses of 0, as rows of one class have.
    let log_sum = select(log(sum), 0.0, sum == 1.0);

    var loss = log_sum + (largest - lane_of(Lanes(logits[first + label / LANES]), label % LANES));
    if SMOOTHS {
        let mean = row_sum(0u, lanes_sum(deviations), lane) / f32(params.classes);
        let spread = log_sum + ((largest - origin) - mean);
        loss = (1.0 - params.smoothing) * loss + params.smoothing * spread;
    }
    if lane == 0u {
        row_losses[row] = loss;
        keep_lse(row, largest + log_sum);
    }
}

fn scalar_weight(x: f32, largest: f32) -> f32 {
    return lane_of(weight(Lanes(x), largest), 0u);
}
