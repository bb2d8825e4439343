// counts[row][digit][chunk] = how many items of the chunk have the digit.
fn element(i: u32) {
    let row = i / params.chunks;
    let chunk = i - row * params.chunks;
    let elements = elements_of(row, chunk);
    var counts = array<u32, DIGITS>();
    for (var at = elements.x; at < elements.y; at++) {
        counts[digit_of(key_at(at))] += 1u;
    }
    let first = first_count_of(row, chunk);
    for (var digit = 0u; digit < DIGITS; digit++) {
        store_counts(first + digit * params.chunks, counts[digit]);
    }
}
