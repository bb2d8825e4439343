// result[column] = sum of partials[chunk][column] over the chunks, in their order, one invocation for each pack of columns.
fn element(column: u32) {
    var sum = Lanes(0.0);
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
        sum += load_partials(chunk * params.width + column);
    }
    store_result(column, sum);
}
