// Sums along the rows of a chunk of what the gradients of weight and bias are sums of, one invocation for each chunk and pack of
// columns.
fn element(i: u32) {
    let chunk = i / params.width;
    let column = i - chunk * params.width;
    let first = chunk * params.chunk_rows;
    let last = first + min(params.rows - first, params.chunk_rows);
    var weight_sum = Lanes(0.0);
    var bias_sum = Lanes(0.0);
    for (var row = first; row < last; row++) {
        let at = row * params.width + column;
        let g = load_upstream(at);
        // Where the row's deviations are taken from, in two steps, and their factor.
        let of_row = load_statistics(row);
        weight_sum += g * (((load_x(at) - of_row.x) - of_row.y) * of_row.z);
        bias_sum += g;
    }
    store_weight_sums(i, weight_sum);
    store_bias_sums(i, bias_sum);
}
