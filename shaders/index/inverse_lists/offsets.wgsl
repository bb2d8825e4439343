// offsets[batch][id] = where among the batch's sorted items those of `id` begin, and behind the last id where they all end. Items of no id
// have the largest keys.
fn element(i: u32) {
    let batch = i / (params.ids + 1u);
    let id = i - batch * (params.ids + 1u);
    let first = batch * params.length;
    var low = 0u;
    var high = params.length;
    while low < high {
        let middle = low + (high - low) / 2u;
        if load_items(2u * (first + middle)) < id {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    store_offsets(i, low);
}
