// result[chunk, pack] = what the chunk's terms of `pack` are reduced to. One invocation a pack and chunk.
fn element(i: u32) {
    let result = i % params.results;
    let range = range_of(result);
    // A term is `unit` elements along the reduced axes: one, or those of a chunk where chunks are reduced.
    let chunk = i / params.results * params.chunk;
    let begin = max(range.x / params.unit, chunk);
    let end = min(range.y / params.unit + u32(range.y % params.unit != 0u), chunk + params.chunk);
    let first = first_of(result);
    var state = State();
    if begin < end {
        state = start_of(first + offset_of(begin), begin);
    }
    for (var j = begin; j < end; j++) {
        state = append(state, first + offset_of(j), j);
    }
    store(i, state, range.y - range.x);
}
