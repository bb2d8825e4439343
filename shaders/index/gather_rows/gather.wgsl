// result[p] = sum of the rows that the indices of p name, over up to three tables or parts of them; a row that is not there adds zeros. One
// invocation a pack. A further dispatch adds to what is there.
fn element(i: u32) {
    var position = i;
    if params.width > 1u {
        position = i / params.width;
    }
    let column = i - position * params.width;
    var batch = 0u;
    if BATCHED {
        batch = position / params.positions;
    }
    var sum = Sum();
    if ADDS {
        sum = Sum(load_result(i));
    }
    if PER_POSITION == 1u {
        sum += rows_of(position, batch, column);
    } else {
        for (var j = 0u; j < PER_POSITION; j++) {
            sum += rows_of(position * PER_POSITION + j, batch, column);
        }
    }
    store_result(i, sum);
}

// The packs of column `column` in the rows that index number `at` of each part names.
fn rows_of(at: u32, batch: u32, column: u32) -> Sum {
    var sum = Sum();
    let first = row_in(u32(load_ids_0(at)), batch, params.first_rows[0], params.rows[0], params.table_rows[0]);
    if first < params.rows[0] {
        sum = load_table_0(first * params.width + column);
    }
    if PARTS > 1u {
        let second = row_in(u32(load_ids_1(at)), batch, params.first_rows[1], params.rows[1], params.table_rows[1]);
        if second < params.rows[1] {
            sum += load_table_1(second * params.width + column);
        }
    }
    if PARTS > 2u {
        let third = row_in(u32(load_ids_2(at)), batch, params.first_rows[2], params.rows[2], params.table_rows[2]);
        if third < params.rows[2] {
            sum += load_table_2(third * params.width + column);
        }
    }
    return sum;
}

// Which row of a part an index names; one behind its last if none.
fn row_in(index: u32, batch: u32, first_row: u32, rows: u32, table_rows: u32) -> u32 {
    if BATCHED && index >= table_rows {
        return rows;
    }
    return batch * table_rows + index - first_row;
}
