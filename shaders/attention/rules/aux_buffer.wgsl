// Auxiliary buffer of a step: lengths, tables and lists that rules read, block lists, statistics of rows, packed together because a
// shader may bind no more than eight buffers. `params.sections` says where each begins.
@group(0) @binding(6) var<storage, read> aux_buffer: array<u32>;
