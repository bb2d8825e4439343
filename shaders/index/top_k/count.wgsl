// counts[row][digit][chunk] = how many items of the chunk have the digit, of those whose higher digits are the row's.
fn element(i: u32) {
    let row = i / params.chunks;
    let chunk = i - row * params.chunks;
    let elements = elements_of(row, chunk);
    let higher = load_found(2u * row);
    var counts = array<u32, DIGITS>();
    for (var at = elements.x; at < elements.y; at++) {
        let key = key_at(at);
        if IS_FIRST || key >> (params.shift + DIGIT_BITS) == higher {
            counts[digit_of(key)] += 1u;
        }
    }
    let first = first_count_of(row, chunk);
    for (var digit = 0u; digit < DIGITS; digit++) {
        store_counts(first + digit * params.chunks, counts[digit]);
    }
}
