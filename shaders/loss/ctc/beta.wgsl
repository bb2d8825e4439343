// beta of an item, from its last frame to the first: one workgroup, whose lanes share the states. A row holds beta and the frame's log-probability
// together, which is what the frame before adds up; rows of two frames take turns.
var<workgroup> rows: array<array<f32, STATES>, 2>;

fn workgroup_main(item: u32, lane: u32) {
    let frames = frames_of(item);
    let states = states_of(item);
    for (var back = 0u; back < params.frames; back++) {
        let frame = params.frames - 1u - back;
        let own = frame % 2u;
        for (var state = lane; state < STATES; state += WORKGROUP) {
            var sum = NOTHING;
            var with_frame = NOTHING;
            if frame < frames && state < states {
                if frame + 1u == frames {
                    sum = select(NOTHING, 0.0, state + 2u >= states);
                } else {
                    sum = rows[1u - own][state];
                    if state + 1u < states {
                        sum = log_add(sum, rows[1u - own][state + 1u]);
                    }
                    if state + 2u < states && skips(item, state + 2u) {
                        sum = log_add(sum, rows[1u - own][state + 2u]);
                    }
                }
                with_frame = at_least_nothing(sum + at_frame(item, frame, state));
            }
            store_beta((item * params.frames + frame) * STATES + state, sum);
            rows[own][state] = with_frame;
        }
        workgroupBarrier();
    }
}
