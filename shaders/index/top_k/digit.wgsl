// The next digit of each row's last key that is taken, behind the higher ones that are found; and how many items with these digits are.
fn element(row: u32) {
    var rest = select(load_found(2u * row + 1u), params.kept, IS_FIRST);
    var digit = 0u;
    for (; digit < DIGITS; digit++) {
        let first = first_count_of(row, 0u) + digit * params.chunks;
        var count = 0u;
        for (var chunk = 0u; chunk < params.chunks; chunk++) {
            count += load_counts(first + chunk);
        }
        if count >= rest {
            break;
        }
        rest -= count;
    }
    let higher = select(load_found(2u * row), 0u, IS_FIRST);
    store_found(2u * row, higher * DIGITS + digit);
    store_found(2u * row + 1u, rest);
}
