// The gradient of a symbol's log-probability in a frame, by the first of the states that have the symbol: the sum over all of them.
fn element(i: u32) {
    let place = i / STATES;
    let state = i - place * STATES;
    let item = place / params.frames;
    let frame = place - item * params.frames;
    let states = states_of(item);
    if frame >= frames_of(item) || state >= states {
        return;
    }
    let symbol = symbol_of(item, state);
    for (var other = 0u; other < state; other++) {
        if symbol_of(item, other) == symbol {
            return;
        }
    }
    // What all alignments come to, from the states that they begin in.
    let first = item * params.frames * STATES;
    var whole = load_alpha(first) + load_beta(first);
    if states > 1u {
        whole = log_add(whole, load_alpha(first + 1u) + load_beta(first + 1u));
    }
    if is_nan(whole) {
        store_result(place * params.symbols + symbol, whole);
        return;
    }
    if whole < FAR_BELOW {
        return;
    }
    var sum = 0.0;
    for (var other = state; other < states; other++) {
        if symbol_of(item, other) == symbol {
            let log_share = load_alpha(place * STATES + other) + load_beta(place * STATES + other) - whole;
            sum += exp(min(log_share, 0.0));
        }
    }
    store_result(place * params.symbols + symbol, -load_upstream(item) * sum);
}
