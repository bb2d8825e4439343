// The bucket of a row: of each factor, the place of the largest among its elements and their negatives behind them.
fn element(row: u32) {
    var halves = array<u32, 8>(
        params.half0, params.half1, params.half2, params.half3, params.half4, params.half5, params.half6, params.half7,
    );
    var at = row * params.width;
    var bucket = 0u;
    var unit = 1u;
    for (var factor = 0u; factor < params.factors; factor++) {
        let half = halves[factor];
        var largest = load_rotated(at);
        var least = largest;
        var place = 0u;
        var place_of_least = 0u;
        for (var i = 1u; i < half; i++) {
            let x = load_rotated(at + i);
            if x > largest {
                largest = x;
                place = i;
            }
            if x < least {
                least = x;
                place_of_least = i;
            }
        }
        bucket += unit * select(place, half + place_of_least, -least > largest);
        unit *= 2u * half;
        at += half;
    }
    store_result(row, i32(bucket));
}
