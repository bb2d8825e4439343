struct Params {
    rows: u32,
    // In packs, and in elements.
    width: u32,
    elements: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read> scale: array<Pack>;
@group(0) @binding(3) var<storage, read_write> result: array<Pack>;
