@group(0) @binding(4) var<storage, read_write> dx: array<Pack>;

fn keep_dx(i: u32, value: Lanes) {
    dx[i] = Pack(value + carried(i));
}
