fn pool(first: u32, positions: u32) -> Lanes {
    var sum = Lanes(0.0);
    for (var j = 0u; j < positions; j++) {
        sum += Lanes(x[first + j * params.width]);
    }
    return sum / f32(positions);
}
