// One step of AdamW, in place. The schedule is the learning rate, 1 - beta1^t and 1 - beta2^t. Gradients under a factor of 0 may be
// anything.
fn element(i: u32) {
    let factor = load_factor(0u);
    if factor == 0.0 {
        return;
    }
    let rate = load_schedule(0u);
    let g = factor * load_gradient(i);
    let m = params.beta1 * load_first_moment(i) + (1.0 - params.beta1) * g;
    let v = params.beta2 * load_second_moment(i) + (1.0 - params.beta2) * g * g;
    store_first_moment(i, m);
    store_second_moment(i, v);
    let p = load_parameter(i);
    let root = sqrt(v / load_schedule(2u)) + params.eps;
    store_parameter(i, p - rate * params.weight_decay * p - rate / load_schedule(1u) * m / root);
}
