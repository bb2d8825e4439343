// dx = (g - y (y . g)) / |x| for y = x / |x|, and g / eps for rows shorter than eps, along rows of `width` packs, each read three times:
// for the largest magnitude, the sums and the result.
fn row(row: u32, lane: u32) {
    let first = row * params.width;
    let largest = largest_magnitude(first, lane);

    var squares = Lanes(0.0);
    var products = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let scaled = load_x(first + i) / largest;
        squares += scaled * scaled;
        products += scaled * load_upstream(first + i);
    }
    let sums = row_sums(vec4(lanes_sum(squares), lanes_sum(products), 0.0, 0.0), lane);
    let norm = scaled_norm(sums.x);
    let by = divisors(largest, norm);
    // A short row is divided by eps, whatever its elements.
    let along = select(sums.y / norm, 0.0, is_short(largest, norm));

    for (var i = lane; i < params.width; i += WORKGROUP) {
        let y = load_x(first + i) / largest / norm;
        store_dx(first + i, (load_upstream(first + i) - y * along) / by.x / by.y);
    }
}
