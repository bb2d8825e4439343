// The same for rows of any width, which are read three times: for the centre, for the variance, and for the result.
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
    let start = origin(first);

    var total = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let s = element(first + i);
        keep_sum(first + i, s);
        total += s - start;
    }
    let shift = mean(lanes_sum(total), lane);

    var squares = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let d = (element(first + i) - start) - shift;
        squares += d * d;
    }
    let factor = inverseSqrt(row_sum(1u, lanes_sum(squares), lane) / f32(params.elements) + params.eps);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        let d = (element(first + i) - start) - shift;
        result[first + i] = Pack(biased(d * factor * Lanes(scale[i]), i));
    }
}
