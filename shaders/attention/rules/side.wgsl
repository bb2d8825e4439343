// What a step knows beside its tensors: numbers that rules read, lists of runs, statistics of rows. All of it lies in one buffer,
// as shaders may have no more than eight; `params.sections` says where.
@group(0) @binding(6) var<storage, read> side: array<u32>;
