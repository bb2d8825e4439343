// Keys at distances that are the same for all queries: `local` of them without gaps and then at distances that grow by powers of two, which begin
// anew every `period`. Keys have as many heads as queries.
fn distance(number: u32) -> u32 {
    let within = number % params.per_period;
    let grown = params.local - 1u + (1u << (max(within, params.local) - params.local));
    return number / params.per_period * params.period + select(grown, within, within < params.local);
}

// In place of a key before the first, the query's own.
fn key_of(row: u32, number: u32) -> Far {
    let distance = distance(number);
    let is_seen = distance <= row / params.heads % params.time;
    return Far(row - select(0u, distance, is_seen) * params.heads, is_seen);
}

// The query that sees the key of a row at this distance.
fn query_of(row: u32, number: u32) -> Far {
    let distance = distance(number);
    let is_seen = distance < params.time - row / params.heads % params.time;
    return Far(row + select(0u, distance, is_seen) * params.heads, is_seen);
}
