// alpha of an item, frame by frame: one workgroup, whose lanes share the states. Rows of two frames take turns.
var<workgroup> rows: array<array<f32, STATES>, 2>;

fn workgroup_main(item: u32, lane: u32) {
    let frames = frames_of(item);
    let states = states_of(item);
    for (var frame = 0u; frame < params.frames; frame++) {
        let own = frame % 2u;
        for (var state = lane; state < STATES; state += WORKGROUP) {
            var sum = NOTHING;
            if frame < frames && state < states {
                if frame == 0u {
                    sum = select(NOTHING, 0.0, state < 2u);
                } else {
                    sum = rows[1u - own][state];
                    if state > 0u {
                        sum = log_add(sum, rows[1u - own][state - 1u]);
                    }
                    if skips(item, state) {
                        sum = log_add(sum, rows[1u - own][state - 2u]);
                    }
                }
                sum = at_least_nothing(sum + at_frame(item, frame, state));
                store_alpha((item * params.frames + frame) * STATES + state, sum);
            } else {
                store_alpha((item * params.frames + frame) * STATES + state, 0.0);
            }
            if frame < frames {
                rows[own][state] = sum;
            }
        }
        workgroupBarrier();
    }
    if lane == 0u {
        var found = select(NOTHING, 0.0, states == 1u);
        if frames > 0u {
            let last = (frames - 1u) % 2u;
            found = rows[last][states - 1u];
            if states > 1u {
                found = log_add(found, rows[last][states - 2u]);
            }
        }
        if found < FAR_BELOW && !is_nan(found) {
            found = select(NOTHING, 0.0, ZERO_INFINITY);
        }
        store_losses(item, -found);
    }
}
