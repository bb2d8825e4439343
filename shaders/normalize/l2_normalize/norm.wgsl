// The Euclidean norm of a row as a product of two numbers, largest magnitude * scaled norm. Elements are divided by the first before they
// are squared, so that no square overflows, nor need the product be formed, which may.

// The smallest divisor there is: what lies below may count as 0.
const LEAST: f32 = 1.1754944e-38;

fn largest_magnitude(first: u32, lane: u32) -> f32 {
    var lane_max = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_max = max(lane_max, lanes_max(abs(load_x(first + i))));
    }
    return max(row_max(0u, lane_max, lane), LEAST);
}

// The root of the sum of squares of a row divided by its largest magnitude: at least 1 but for rows of nothing.
fn scaled_norm(sum_of_squares: f32) -> f32 {
    return max(sqrt(sum_of_squares), 1.0);
}

fn is_short(largest: f32, scaled_norm: f32) -> bool {
    return largest < params.eps / scaled_norm;
}

// What a row is divided by, one after the other: its norm, or eps for a shorter one.
fn divisors(largest: f32, scaled_norm: f32) -> vec2<f32> {
    return select(vec2(largest, scaled_norm), vec2(params.eps, 1.0), is_short(largest, scaled_norm));
}
