// The positions of each row's items that are taken, in ascending order: those before the last key, and the first of those that have it.
fn element(i: u32) {
    let row = i / params.chunks;
    let first_chunk = row * params.chunks;
    let last = load_found(2u * row);
    var before = 0u;
    var equal = 0u;
    for (var chunk = first_chunk; chunk < i; chunk++) {
        before += load_of_chunks(2u * chunk);
        equal += load_of_chunks(2u * chunk + 1u);
    }
    let elements = elements_of(row, i - first_chunk);
    var rest = load_found(2u * row + 1u);
    equal = min(equal, rest);
    rest -= equal;
    var to = row * params.kept + before + equal;
    for (var at = elements.x; at < elements.y; at++) {
        let key = key_at(at);
        let is_last = key == last && rest > 0u;
        if key < last || is_last {
            store_positions(to, at - elements.z);
            to += 1u;
            rest -= u32(is_last);
        }
    }
}
