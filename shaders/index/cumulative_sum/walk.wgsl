// A scan walks over each column of x, [outer, length, inner], along the middle axis: from the last place to the first where REVERSE. The
// steps of the walk are cut into chunks, and an invocation takes one chunk of one column, number `chunk * columns + column`.

const BY_IDS: u32 = 1u;
const BY_FLAGS: u32 = 2u;

// The place along the axis that a step is.
fn place_of(step: u32) -> u32 {
    if REVERSE {
        return params.length - 1u - step;
    }
    return step;
}

// The first element of a column, in packs.
fn base_of(column: u32) -> u32 {
    let outer = column / params.inner;
    return outer * params.length * params.inner + (column - outer * params.inner);
}

// Whether the walk enters another segment with a step.
fn enters(step: u32, column: u32) -> bool {
    if SEGMENTS == 0u || step == 0u {
        return false;
    }
    // Segments begin in front of a place; the later one of the step's place and of the place before it in the walk tells.
    var later = step;
    if REVERSE {
        later = params.length - step;
    }
    if !SHARED {
        later += column / params.inner * params.length;
    }
    if SEGMENTS == BY_FLAGS {
        return load_segments(later) != 0;
    }
    return load_segments(later) != load_segments(later - 1u);
}
