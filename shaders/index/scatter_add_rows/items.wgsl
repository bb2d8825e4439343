// Items are the indices of a batch, sorted: each the row of the result that it names, and where it was. Every PER_ROW neighbours were indices
// of one row that is added.

// The row of the result that item number `at` names.
fn target_of(at: u32) -> u32 {
    return load_items(2u * at);
}

// The sum, in one column, of the rows that the items from `first` to below `last` of a batch add.
fn sum_of(batch: u32, first: u32, last: u32, column: u32) -> Lanes {
    let first_item = batch * params.length;
    var sum = Lanes();
    for (var j = first; j < last; j++) {
        let position = load_items(2u * (first_item + j) + 1u);
        let row = load_rows((batch * params.rows + position / PER_ROW) * params.width + column);
        if SCALED {
            sum += load_factors(first_item + position) * row;
        } else {
            sum += row;
        }
    }
    return sum;
}
