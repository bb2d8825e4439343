// The log-sum-exp of each row, of its maximum and sum.
fn element(row: u32) {
    store_lse(row, log_sum_exp(load_statistics(2u * row), load_statistics(2u * row + 1u)));
}
