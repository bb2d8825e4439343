// Where element `i` of the result lies in each of up to three operands, in packs. Axes are innermost first; a stride of 0 repeats an
// operand.
fn places(i: u32) -> vec3<u32> {
    var rest = i;
    var at = vec3(0u);
    for (var axis = 0u; axis < params.inner_axes; axis++) {
        let extent = params.extents[axis / 4u][axis % 4u];
        at += rest % extent * strides(axis);
        rest /= extent;
    }
    return at + rest * strides(params.inner_axes);
}

fn strides(axis: u32) -> vec3<u32> {
    let word = axis / 4u;
    let lane = axis % 4u;
    return vec3(params.first_strides[word][lane], params.second_strides[word][lane], params.third_strides[word][lane]);
}
