@group(0) @binding(4) var<storage, read> table_1: array<Pack>;
@group(0) @binding(5) var<storage, read> ids_1: array<u32>;

fn id_1(token: u32) -> u32 {
    return ids_1[token];
}

fn pack_1(index: u32) -> Lanes {
    return Lanes(table_1[index]);
}
