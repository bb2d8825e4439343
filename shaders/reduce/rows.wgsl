// result[row, chunk] = what the chunk's terms, which are packs, of `row` are reduced to. One workgroup a row and chunk.
fn row(row: u32, lane: u32) {
    let first = first_of(row / params.chunks);
    let begin = row % params.chunks * params.chunk;
    let end = begin + min(params.chunk, params.terms - begin);
    var state = State();
    if begin < end {
        // A lane without a term of its own starts from the last one: of what is counted twice, sums start from 0.
        let own = min(begin + lane, end - 1u);
        state = start_of(first + offset_of(own), own);
    }
    for (var j = begin + lane; j < end; j += WORKGROUP) {
        state = append(state, first + offset_of(j), j);
    }
    let total = over_lanes(state, lane);
    if lane == 0u {
        store(row, total, params.elements);
    }
}
