fn share(upstream: Lanes, at: u32, row: u32, item: u32, t: u32) -> Lanes {
    let run = run_of(row, item);
    if t < run.x || t >= run.y {
        return Lanes(0.0);
    }
    return upstream / f32(run.y - run.x);
}
