// The logarithm of what nothing reaches, and a bound between these and all others.
const NOTHING: f32 = -1e30;
const FAR_BELOW: f32 = -1e29;

// A NaN is told by its bits and passed on: WGSL may assume that there is none, and a maximum may drop it.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn at_least_nothing(x: f32) -> f32 {
    return select(max(x, NOTHING), x, is_nan(x));
}

fn log_add(a: f32, b: f32) -> f32 {
    if is_nan(a) || is_nan(b) {
        return a + b;
    }
    let largest = max(a, b);
    if largest < FAR_BELOW {
        return NOTHING;
    }
    return largest + log(exp(a - largest) + exp(b - largest));
}

fn frames_of(item: u32) -> u32 {
    return min(u32(max(load_frames(item), 0)), params.frames);
}

fn states_of(item: u32) -> u32 {
    return 2u * min(u32(max(load_labels(item), 0)), params.labels) + 1u;
}

// Blanks at even states, labels between them.
fn symbol_of(item: u32, state: u32) -> u32 {
    if state % 2u == 0u {
        return params.blank;
    }
    return min(u32(max(load_targets(item * params.labels + state / 2u), 0)), params.symbols - 1u);
}

// Whether an alignment may go from the state two before to this one.
fn skips(item: u32, state: u32) -> bool {
    if state < 2u {
        return false;
    }
    let symbol = symbol_of(item, state);
    return symbol != params.blank && symbol != symbol_of(item, state - 2u);
}

fn at_frame(item: u32, frame: u32, state: u32) -> f32 {
    return load_log_probabilities((item * params.frames + frame) * params.symbols + symbol_of(item, state));
}
