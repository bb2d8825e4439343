// result = x / max(|x|, eps) along rows of `width` packs, each read three times: for the largest magnitude, the squares and the result.
fn row(row: u32, lane: u32) {
    let first = row * params.width;
    let largest = largest_magnitude(first, lane);

    var squares = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let scaled = load_x(first + i) / largest;
        squares += scaled * scaled;
    }
    let by = divisors(largest, scaled_norm(row_sum(1u, lanes_sum(squares), lane)));

    for (var i = lane; i < params.width; i += WORKGROUP) {
        store_result(first + i, load_x(first + i) / by.x / by.y);
    }
}
