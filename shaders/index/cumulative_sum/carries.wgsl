// sums[chunk][column] = what the walk brings from before the chunk, in place of the chunk's own sum.
fn element(column: u32) {
    var carry = Sum();
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
        let i = chunk * params.columns + column;
        let sum = load_sums(i);
        store_sums(i, carry);
        if load_entered(i) != 0u {
            carry = sum;
        } else {
            carry += sum;
        }
    }
}
