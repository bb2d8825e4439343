struct Params {
    // In packs, innermost axis first.
    kept_extents: vec4<u32>,
    kept_strides: vec4<u32>,
    summed_extents: vec4<u32>,
    summed_strides: vec4<u32>,
    // All axes but the outermost.
    kept_inner: u32,
    summed_inner: u32,
    results: u32,
    terms: u32, // of a result
    chunk: u32, // terms, but for the last chunk, which may have fewer
    chunks: u32, // of a result
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read_write> result: array<Out>;

fn first_of(kept: u32) -> u32 {
    if ONE_KEPT {
        return kept * params.kept_strides.x;
    }
    return offset(kept, params.kept_extents, params.kept_strides, params.kept_inner);
}

fn offset_of(term: u32) -> u32 {
    // Indexing by a variable in the inner loop costs more than the sum.
    if ONE_SUMMED {
        return term * params.summed_strides.x;
    }
    return offset(term, params.summed_extents, params.summed_strides, params.summed_inner);
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
