// aux_buffer.wgsl for the dispatches that fill it.
@group(0) @binding(6) var<storage, read_write> aux_buffer: array<u32>;
