// One step of gradient descent with momentum, in place. The schedule begins with the learning rate. Gradients under a factor of 0 may be
// anything.
fn element(i: u32) {
    let factor = load_factor(0u);
    if factor == 0.0 {
        return;
    }
    let p = load_parameter(i);
    let g = factor * load_gradient(i) + params.weight_decay * p;
    let u = params.momentum * load_velocity(i) + g;
    store_velocity(i, u);
    let direction = select(u, g + params.momentum * u, NESTEROV);
    store_parameter(i, p - load_schedule(0u) * direction);
}
