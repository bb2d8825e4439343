// A fold that keeps the largest term, times SIGN, and the first place where it is, over the elements of packs and over lanes.
struct State {
    value: f32,
    place: u32,
}

fn start_of(at: u32, term: u32) -> State {
    return State(SIGN * lane_of(load_x(at), 0u), place_of(at, term, 0u));
}

fn append(state: State, at: u32, term: u32) -> State {
    let pack = SIGN * load_x(at);
    var best = state;
    for (var i = 0u; i < LANES; i++) {
        best = better(best, State(lane_of(pack, i), place_of(at, term, i)));
    }
    return best;
}

fn place_of(at: u32, term: u32, i: u32) -> u32 {
    if OF_CHUNKS {
        return load_places(at * LANES + i);
    }
    return term * LANES + i;
}

fn better(a: State, b: State) -> State {
    let is_b = b.value > a.value || (b.value == a.value && b.place < a.place);
    return State(select(a.value, b.value, is_b), select(a.place, b.place, is_b));
}

var<workgroup> lanes: array<State, WORKGROUP>;

fn over_lanes(state: State, lane: u32) -> State {
    lanes[lane] = state;
    workgroupBarrier();
    var best = lanes[0];
    for (var i = 1u; i < WORKGROUP; i++) {
        best = better(best, lanes[i]);
    }
    return best;
}

fn store(i: u32, state: State, elements: u32) {
    store_result(i, state.place);
    store_best(i, state.value);
}
