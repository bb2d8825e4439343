// Where the terms of a result lie in x, in packs.
fn first_of(result: u32) -> u32 {
    if ONE_KEPT {
        return result * params.kept_strides.x;
    }
    return offset(result, params.kept_extents, params.kept_strides, params.kept_inner);
}

fn offset_of(term: u32) -> u32 {
    // Indexing by a variable in the inner loop costs more than the sum.
    if ONE_REDUCED {
        return term * params.reduced_strides.x;
    }
    return offset(term, params.reduced_extents, params.reduced_strides, params.reduced_inner);
}

fn offset(i: u32, extents: vec4<u32>, strides: vec4<u32>, inner_axes: u32) -> u32 {
    var rest = i;
    var offset = 0u;
    for (var axis = 0u; axis < inner_axes; axis++) {
        offset += rest % extents[axis] * strides[axis];
        rest /= extents[axis];
    }
    return offset + rest * strides[inner_axes];
}
