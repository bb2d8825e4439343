// A fold that keeps one number: `start`, `combine`, `over_lanes` and `finish` are those of the reduction.
alias State = Lanes;

fn start_of(at: u32, term: u32) -> State {
    return start(load_x(at));
}

fn append(state: State, at: u32, term: u32) -> State {
    return combine(state, load_x(at));
}

fn store(i: u32, state: Result, elements: u32) {
    store_result(i, finish(state, elements));
}
