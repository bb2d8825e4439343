// The same for rows of any width, which are read three times: for the centre, for the sums, and for the result.
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
        total += element(first + i) - start;
    }
    let shift = mean(lanes_sum(total), lane);

    var squares = Lanes(0.0);
    var gradients = Lanes(0.0);
    var products = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let d = (element(first + i) - start) - shift;
        let g = gradient(first, i);
        squares += d * d;
        gradients += g;
        products += g * d;
    }
    let of_row = row_of(row_sums(
        vec4(lanes_sum(squares), lanes_sum(gradients), lanes_sum(products), 0.0),
        lane,
    ));
    if lane == 0u {
        keep_statistics(row, vec4(start, shift, of_row.factor, 0.0));
    }

    for (var i = lane; i < params.width; i += WORKGROUP) {
        let d = (element(first + i) - start) - shift;
        keep_dx(first + i, slope(gradient(first, i), d, of_row));
    }
}
