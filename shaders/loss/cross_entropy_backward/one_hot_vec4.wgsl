fn one_hot(i: u32) -> Lanes {
    return select(Lanes(0.0), Lanes(1.0), vec4(0u, 1u, 2u, 3u) == vec4(i));
}
