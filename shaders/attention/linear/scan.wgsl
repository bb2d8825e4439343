// From the sums of chunks to the state that stands before each of them, one vector of a state by an invocation: states[chunk] = what the walk
// brings to the chunk, in place of its own sum. The walk begins with what is given and goes from the first chunk to the last, or, where
// REVERSE, the other way. Where TOTAL, only the sum of all is written, for the first chunk.
//
// A state is a matrix of ROWS rows of COLUMNS columns, in whole vectors, and, where it has a VECTOR, that behind it, of VECTOR_SIZE elements.
const ROW_PACKS: u32 = (COLUMNS + 3u) / 4u;
const MATRIX: u32 = ROWS * ROW_PACKS;

fn element(i: u32) {
    let head = i / RECORD;
    let at = i % RECORD;
    let batch = head / params.kv_heads;
    var sum = beginning(head, at);
    for (var step = 0u; step < params.chunks; step++) {
        let chunk = select(step, params.chunks - 1u - step, REVERSE);
        let place = chunk * params.batch * params.kv_heads * RECORD + i;
        let own = load_states(place);
        if TOTAL {
            sum += own;
        } else {
            store_states(place, sum);
            if DECAYS && params.key_time > 0u {
                sum *= exp(log_left_of_chunk(batch, head % params.kv_heads, chunk));
            }
            sum = select(vec4(0.0), sum, goes_on(batch, chunk)) + own;
        }
    }
    if TOTAL {
        store_states(i, sum);
    }
    if HAS_LAST {
        put_last(head, at, sum);
    }
}

// Whether what the walk brings to a chunk is of the sequence that the walk leaves it with.
fn goes_on(batch: u32, chunk: u32) -> bool {
    if !SEGMENTS || params.key_time == 0u {
        return true;
    }
    let first = chunk * params.chunk;
    if REVERSE {
        return bounds(batch, first).y >= GOES_ON;
    }
    return bounds(batch, min(first + params.chunk, params.key_time) - 1u).x >= GOES_ON;
}

// Where element (row, column) of a head lies in the tensor that callers give and get.
fn matrix_place(head: u32, row: u32, column: u32) -> u32 {
    if TRANSPOSED {
        return (head * COLUMNS + column) * ROWS + row;
    }
    return (head * ROWS + row) * COLUMNS + column;
}

fn beginning(head: u32, at: u32) -> vec4<f32> {
    var values = vec4(0.0);
    for (var n = 0u; n < 4u; n++) {
        if at < MATRIX {
            let column = at % ROW_PACKS * 4u + n;
            if column < COLUMNS {
                values[n] = load_given(matrix_place(head, at / ROW_PACKS, column));
            }
        } else {
            let element = (at - MATRIX) * 4u + n;
            if element < VECTOR_SIZE {
                values[n] = load_given_vector(head * VECTOR_SIZE + element);
            }
        }
    }
    return values;
}

fn put_last(head: u32, at: u32, values: vec4<f32>) {
    for (var n = 0u; n < 4u; n++) {
        if at < MATRIX {
            let column = at % ROW_PACKS * 4u + n;
            if column < COLUMNS {
                store_last(matrix_place(head, at / ROW_PACKS, column), values[n]);
            }
        } else {
            let element = (at - MATRIX) * 4u + n;
            if element < VECTOR_SIZE {
                store_last_vector(head * VECTOR_SIZE + element, values[n]);
            }
        }
    }
}
