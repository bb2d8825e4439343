use foveate::kernel::{CooperativeTile, MatmulKernel, Tuning};
use foveate::ops::{Heads, Matmul, matmul};
use foveate::{ErrorKind, TensorDesc};

use crate::support::{
    assert_error, conform_everywhere, conform_some, conform_with, context, cooperative, own_caps, refused,
};

#[test]
fn conforms() {
    conform_everywhere("matmul");
}

#[test]
fn the_yardstick_kernel_conforms_too() {
    let mut caps = own_caps();
    caps.tuning.matmul = MatmulKernel::Classic;
    conform_with("matmul", context(), &caps);
}

#[test]
fn every_register_tile_conforms() {
    let direct = [(1, 1), (2, 2), (4, 2)].map(|(row_blocks, col_vecs)| MatmulKernel::Direct {
        row_blocks,
        col_vecs,
        shared_reads: false,
    });
    let mut caps = own_caps();
    // However few tiles there are, they stay as large.
    caps.tuning.attention.busy_workgroups = 1;
    for kernel in direct.into_iter().chain([MatmulKernel::Staged { row_blocks: 2, col_vecs: 2 }]) {
        caps.tuning.matmul = kernel;
        conform_with("matmul", context(), &caps);
    }
    conform_some("linear", context(), &caps, |_, label| label.contains("gate"));
}

/// Tiles of cooperative matrices: one fragment, several subgroups, and several fragments of each.
fn on_cooperative_matrices(takes: impl Fn(usize, usize) -> bool) {
    let tiles = [([1, 1], [1, 1], 16), ([2, 2], [2, 1], 32), ([1, 2], [2, 4], 16)];
    for (number, (blocks, fragments, inner)) in tiles.into_iter().enumerate() {
        let large = |tuning: &mut Tuning| {
            tuning.cooperative = Some(CooperativeTile { blocks, fragments, inner, subgroup_size: 8 });
            tuning.attention.busy_workgroups = 1;
        };
        let Some((context, caps)) = cooperative(large) else { return };
        for op in ["matmul", "linear"] {
            // Others have no fragments.
            conform_some(op, context, &caps, |place, label| label.starts_with("f16") && takes(place, number));
        }
    }
}

/// Each case in one of the tiles: software compiles each for seconds.
#[test]
fn cooperative_tiles_conform() {
    on_cooperative_matrices(|place, tile| place % 3 == tile);
}

#[test]
#[ignore = "compiles for minutes"]
fn cooperative_tiles_conform_everywhere() {
    on_cooperative_matrices(|_, _| true);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let check = |a: &[usize], b: &[usize], spec: Matmul, sentence: &str| {
        let error =
            refused(&[TensorDesc::f32(a), TensorDesc::f32(b)], |graph, v| matmul(graph, v[0], v[1], &spec));
        assert_eq!(error.to_string(), sentence);
    };
    let plain = Matmul::new();
    check(&[2, 3], &[4, 5], plain, "matmul: b: expected axis 0 (inner) = 3 as bound by a, found 4");
    check(
        &[2, 3],
        &[4, 5],
        plain.transpose_b(),
        "matmul: b: expected axis 1 (inner) = 3 as bound by a, found 5",
    );
    check(&[3], &[3, 5], plain, "matmul: a: expected rank 2 [rows, inner], found rank 1 [3]");
    check(&[2, 2, 3], &[3, 3, 5], plain, "matmul: b: expected axis 0 (batch 0) = 2 as bound by a, found 3");
    check(
        &[2, 2, 2, 3],
        &[2, 3, 5],
        plain,
        "matmul: b: expected 2 leading axes as bound by a, or none, found 1 in [2, 3, 5]",
    );
    check(&[0, 2, 3], &[0, 3, 5], plain, "matmul: a: expected axis 0 (batch 0) of at least 1, found 0");
    check(
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Inner, Heads::Outer, Heads::Outer),
        "matmul: a: expected rank 4 [batch 0, rows, batch 1, inner], found rank 2 [2, 3]",
    );
    check(
        &[2, 3],
        &[3, 5],
        plain.heads(Heads::Outer, Heads::Outer, Heads::Inner),
        "matmul: heads: expected two leading axes, [batch, head], for a result with inner heads, found 0",
    );
}

#[test]
fn element_types_must_agree_and_be_floats() {
    let error = refused(&[TensorDesc::f16([2, 2]), TensorDesc::f32([2, 2])], |graph, v| {
        matmul(graph, v[0], v[1], &Matmul::new())
    });
    assert_error(&error, ErrorKind::Dtype, "matmul: b: expected f16, found f32");
}
