// Scores and weights. Scores are in units of log2, so that weights are powers of two of them; a hidden pair has EMPTY_ROW_LSE.
//
// Numbers that are not finite are told by their bits: WGSL lets a compiler assume that there are none, in comparisons, too.
const LOG2_E: f32 = 1.4426950408889634;
const INFINITY: u32 = 0x7f800000u;
const MINUS_INFINITY: u32 = 0xff800000u;
const NOT_A_NUMBER: u32 = 0xffffffffu;  // all bits, which is what comparisons give on many devices

// From HIDDEN_SCORE down to minus infinity.
fn is_hidden(score: vec4<f32>) -> vec4<bool> {
    return bitcast<vec4<u32>>(score) - vec4(HIDDEN_SCORE_BITS) <= vec4(MINUS_INFINITY - HIDDEN_SCORE_BITS);
}

fn is_not_finite(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4(INFINITY)) == vec4(INFINITY);
}

// A product that is minus infinity is not a number from here on: it would pass for hidden.
fn minus_infinity_to_nan(product: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(product);
    return bitcast<vec4<f32>>(bits | select(vec4(0u), vec4(NOT_A_NUMBER), bits == vec4(MINUS_INFINITY)));
}

// Whether a row with this sum of weights sees a key.
fn sees_some(sum: f32) -> bool {
    return (bitcast<u32>(sum) & 0x7fffffffu) != 0u;
}

fn log_sum_exp(largest: f32, sum: f32) -> f32 {
    let seen = sees_some(sum);
    return select(EMPTY_ROW_LSE, (largest + log2(select(1.0, sum, seen))) / LOG2_E, seen);
}
