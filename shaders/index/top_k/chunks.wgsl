// How many items of each chunk lie before the row's last key that is taken, and how many have it.
fn element(i: u32) {
    let row = i / params.chunks;
    let elements = elements_of(row, i - row * params.chunks);
    let last = load_found(2u * row);
    var before = 0u;
    var equal = 0u;
    for (var at = elements.x; at < elements.y; at++) {
        let key = key_at(at);
        before += u32(key < last);
        equal += u32(key == last);
    }
    store_of_chunks(2u * i, before);
    store_of_chunks(2u * i + 1u, equal);
}
