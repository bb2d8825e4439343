// dx[position] = the share that it has in the upstream gradient of its row. One invocation a pack.
fn element(i: u32) {
    let position = i / params.width;
    let item = position / params.time;
    let t = position - item * params.time;
    var segment = 0u;
    if IN_SEGMENTS {
        // Negative ids are large ones here, beyond every row.
        segment = u32(load_bounds(position));
    }
    var dx = Lanes(0.0);
    if segment < params.segments {
        let row = item * params.segments + segment;
        dx = share(row, item, t, row * params.width + i % params.width);
    }
    store_dx(i, dx);
}

fn share(row: u32, item: u32, t: u32, pooled: u32) -> Lanes {
    let run = run_of(row, item);
    let upstream = load_upstream(pooled);
    if t < run.x || t >= run.y {
        return Lanes(0.0);
    }
    if IS_MAX {
        return select(Lanes(0.0), upstream, load_chosen(pooled) == Places(t));
    }
    if IS_FIRST {
        return select(Lanes(0.0), upstream, t == run.x);
    }
    if IS_LAST {
        return select(Lanes(0.0), upstream, t + 1u == run.y);
    }
    return upstream / f32(run.y - run.x);
}

fn run_of(row: u32, item: u32) -> vec2<u32> {
    if !IN_SEGMENTS {
        return positions_of(item, 0u, params.time);
    }
    if IS_MAX {
        // The position itself has the row's id.
        return vec2(0u, params.time);
    }
    return vec2(load_runs(2u * row), load_runs(2u * row + 1u));
}
