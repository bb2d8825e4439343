fn kept(scaled: Lanes, pack: u32) -> Lanes {
    return select(Lanes(0.0), scaled, numbers(pack) >= vec4(params.threshold));
}
