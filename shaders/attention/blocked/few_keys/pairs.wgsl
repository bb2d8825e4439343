// The few keys of a query, at distances that are the same for all: `local` of them without gaps and then at distances that grow by powers of two,
// which begin anew every `period`.
fn distance(number: u32) -> u32 {
    let within = number % params.per_period;
    let grown = params.local - 1u + (1u << (max(within, params.local) - params.local));
    return number / params.per_period * params.period + select(grown, within, within < params.local);
}

// From a product to a score in units of log2. A product that is not finite is not a number from here on: minus infinity would pass for hidden.
fn score(product: f32, is_seen: bool) -> f32 {
    let bits = bitcast<u32>(product);
    let told = bitcast<f32>(bits | select(0u, NOT_A_NUMBER, bits == MINUS_INFINITY));
    return select(EMPTY_ROW_LSE, told * (params.scale * LOG2_E), is_seen);
}

// Where what is known of a row of `[batch, time, heads]` lies among rows that have heads before time.
fn heads_first(row: u32) -> u32 {
    let head = row % params.heads;
    let token = row / params.heads;
    return (token / params.time * params.heads + head) * params.time + token % params.time;
}

// Channel by channel, as D is summed: a row that sees a single key then has gradients of exactly 0.
fn with_product(sum: f32, a: Lanes, b: Lanes) -> f32 {
    var total = sum;
    for (var i = 0u; i < PACK; i++) {
        total = fma(lane_of(a, i), lane_of(b, i), total);
    }
    return total;
}
