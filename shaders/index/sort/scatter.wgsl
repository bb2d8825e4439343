// sorted[starts[row][digit][chunk]..] = the chunk's items with the digit, in their order; only their positions where !WITH_KEYS.
fn element(i: u32) {
    let row = i / params.chunks;
    let chunk = i - row * params.chunks;
    let elements = elements_of(row, chunk);
    let first = first_count_of(row, chunk);
    var next = array<u32, DIGITS>();
    for (var digit = 0u; digit < DIGITS; digit++) {
        next[digit] = load_starts(first + digit * params.chunks);
    }
    for (var at = elements.x; at < elements.y; at++) {
        let key = key_at(at);
        let digit = digit_of(key);
        let to = next[digit];
        next[digit] = to + 1u;
        let position = position_at(at, elements.z);
        if WITH_KEYS {
            store_sorted(2u * to, key);
            store_sorted(2u * to + 1u, position);
        } else {
            store_sorted(to, position);
        }
    }
}
