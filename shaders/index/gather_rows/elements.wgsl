// result[p] = the row that the index of p names, of a table whose rows are one element; 0 where it has none. Four positions an invocation.
fn element(i: u32) {
    let rows = vec4<u32>(load_ids(i));
    let there = rows < vec4(params.rows);
    let at = min(rows, vec4(params.rows - 1u));
    let found = vec4(load_table(at.x), load_table(at.y), load_table(at.z), load_table(at.w));
    store_result(i, select(vec4(zero_table()), found, there));
}
