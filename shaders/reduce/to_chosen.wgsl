// dx = upstream at the element that each result chose, and 0 elsewhere. One invocation an element.
fn element(i: u32) {
    var rest = i;
    var result = 0u;
    var place = 0u;
    for (var axis = 0u; axis < params.axes; axis++) {
        let extent = params.extents[axis / 4u][axis % 4u];
        let position = rest % extent;
        rest /= extent;
        result += position * params.result_strides[axis / 4u][axis % 4u];
        place += position * params.place_strides[axis / 4u][axis % 4u];
    }
    store_dx(i, select(0.0, load_upstream(result), load_chosen(result) == place));
}
