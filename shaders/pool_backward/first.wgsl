fn share(upstream: Lanes, at: u32, row: u32, item: u32, t: u32) -> Lanes {
    let run = run_of(row, item);
    return select(Lanes(0.0), upstream, t == run.x && t < run.y);
}
