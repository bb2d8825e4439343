// Where the sequences of packed tokens begin and end: for each token the first token with its id, and the first behind those. `ids` is
// [batch, time]; one element is one token. Ids never decrease along time; where they do, what is found still holds the token itself and
// lies within its batch item.
fn element(token: u32) {
    let own = load_ids(token);
    let item = token - token % params.time;

    var first = item;
    var same = token;  // known to have the id
    while first < same {
        let middle = first + (same - first) / 2u;
        if load_ids(middle) < own {
            first = middle + 1u;
        } else {
            same = middle;
        }
    }
    var end = token + 1u;
    var behind = item + params.time;  // known not to have it, or behind the item
    while end < behind {
        let middle = end + (behind - end) / 2u;
        if load_ids(middle) > own {
            behind = middle;
        } else {
            end = middle + 1u;
        }
    }
    store_aux_buffer(params.start + 2u * token, first - item);
    store_aux_buffer(params.start + 2u * token + 1u, end - item);
}
