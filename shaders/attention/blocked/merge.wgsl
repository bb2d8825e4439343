// Merges the key splits of blocked attention, each with the maximum m_s and sum l_s of every row:
//
//   m = max m_s    w_s = l_s exp(m_s - m)    l = sum w_s    O = sum w_s O_s / l
//
// One element is one output channel. Splits whose keys a row does not see have a sum of 0; a row that sees none gives 0.
fn element(channel: u32) {
    let row = channel / VALUE_SIZE;
    let head = row % params.heads;
    let time = row / params.heads % params.query_time;
    let batch = row / params.heads / params.query_time;
    let at = (batch * params.heads + head) * params.query_time + time;

    var largest = EMPTY_ROW_LSE;
    for (var s = 0u; s < params.splits; s++) {
        largest = max(largest, load_partial_statistics(2u * (s * params.rows + at)));
    }
    var sum = 0.0;
    var total = 0.0;
    for (var s = 0u; s < params.splits; s++) {
        let own = 2u * (s * params.rows + at);
        let own_sum = load_partial_statistics(own + 1u);
        if sees_some(own_sum) {
            let weight = exp2(load_partial_statistics(own) - largest) * own_sum;
            sum += weight;
            total += weight * load_partial_out(s * params.rows * VALUE_SIZE + channel);
        }
    }
    store_out(channel, select(0.0, total / select(1.0, sum, sees_some(sum)), sees_some(sum)));
    if channel % VALUE_SIZE == 0u {
        store_statistics(2u * at, largest);
        store_statistics(2u * at + 1u, sum);
        store_lse(at, log_sum_exp(largest, sum));
    }
}
