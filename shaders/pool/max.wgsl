fn pool(first: u32, positions: u32) -> Lanes {
    var largest = Lanes(x[first]);
    for (var j = 1u; j < positions; j++) {
        largest = max(largest, Lanes(x[first + j * params.width]));
    }
    return largest;
}
