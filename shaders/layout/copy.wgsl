// result = x, element by element along the same axes, each side with strides of its own: transposes, slices, concatenations, repeats.
// Extents, strides and starts are in packs, innermost axis first.
fn element(i: u32) {
    var rest = i;
    var x_index = params.x_start;
    var result_index = params.result_start;
    for (var axis = 0u; axis < params.inner_axes; axis++) {
        let extent = params.extents[axis / 4u][axis % 4u];
        let position = rest % extent;
        rest /= extent;
        x_index += position * params.x_strides[axis / 4u][axis % 4u];
        result_index += position * params.result_strides[axis / 4u][axis % 4u];
    }
    let outermost = params.inner_axes;
    x_index += rest * params.x_strides[outermost / 4u][outermost % 4u];
    result_index += rest * params.result_strides[outermost / 4u][outermost % 4u];
    store_result(result_index, load_x(x_index));
}
