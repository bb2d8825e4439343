// dx = (g - y (y . g)) / |x| for y = x / |x|, and g / eps for rows shorter than eps, one workgroup per row. Elements are scaled by
// the row's largest magnitude before they are squared, so that no square overflows.

struct Params {
    rows: u32,
    width: u32,
    eps: f32,
}

// The smallest divisor there is: what lies below may count as 0.
const LEAST: f32 = 1.1754944e-38;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read> upstream: array<Pack>;
@group(0) @binding(3) var<storage, read_write> dx: array<Pack>;

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

    var lane_max = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_max = max(lane_max, lanes_max(abs(Lanes(x[first + i]))));
    }
    let largest = max(row_max(0u, lane_max, lane), LEAST);

    var squares = Lanes(0.0);
    var products = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let scaled = Lanes(x[first + i]) / largest;
        squares += scaled * scaled;
        products += scaled * Lanes(upstream[first + i]);
    }
    let sums = row_sums(vec4(lanes_sum(squares), lanes_sum(products), 0.0, 0.0), lane);
    // At least 1 but for rows of nothing.
    let scaled_norm = max(sqrt(sums.x), 1.0);

    // |x| = largest * scaled_norm, which may overflow; each of the two divisors alone does not. A short row is divided by eps,
    // whatever its elements.
    let is_short = largest < params.eps / scaled_norm;
    let divisors = select(vec2(largest, scaled_norm), vec2(params.eps, 1.0), is_short);
    let along = select(sums.y / scaled_norm, 0.0, is_short);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let y = Lanes(x[first + i]) / largest / scaled_norm;
        dx[first + i] = Pack((Lanes(upstream[first + i]) - y * along) / divisors.x / divisors.y);
    }
}
