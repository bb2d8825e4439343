// The loss does not depend on the log-sum-exp.
fn load_d_lse(at: u32) -> f32 {
    return 0.0;
}
