// A fold that keeps the largest term, times SIGN, and the first place where it is.
struct State {
    value: Lanes,
    place: Places,
}

fn start_of(at: u32, term: u32) -> State {
    return State(SIGN * load_x(at), place_of(at, term));
}

fn append(state: State, at: u32, term: u32) -> State {
    let value = SIGN * load_x(at);
    let is_larger = value > state.value;
    return State(
        select(state.value, value, is_larger),
        select(state.place, place_of(at, term), is_larger),
    );
}

fn place_of(at: u32, term: u32) -> Places {
    if OF_CHUNKS {
        return load_places(at);
    }
    return Places(term);
}

fn store(i: u32, state: State, elements: u32) {
    store_result(i, state.place);
    store_best(i, state.value);
}
