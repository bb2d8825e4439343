//! Conformance cases: whole vectors of channels and not, groups, few places and many, taps that all lie outside, planes.

use super::NAME;
use crate::check::{Bench, Case};
use crate::ops::conv::cases::{Along, InPlane, SAME};
use crate::ops::elementwise::Activation;

const ALONG: [Along; 14] = [
    SAME,
    Along { activation: Activation::GeluTanh, channels: [12, 10], groups: 2, ..SAME },
    Along { kernel: 4, padding: [1, 2], ..SAME },
    Along { kernel: 1, padding: [0, 0], ..SAME },
    Along { channels: [5, 7], padding: [2, 0], ..SAME },
    Along { channels: [3, 2], stride: 2, padding: [0, 3], ..SAME },
    Along { stride: 3, dilation: 2, padding: [4, 1], ..SAME },
    Along { channels: [16, 24], groups: 4, stride: 2, dilation: 2, padding: [2, 2], ..SAME },
    Along { channels: [6, 9], groups: 3, kernel: 5, padding: [4, 0], ..SAME },
    Along { time: 4, kernel: 9, padding: [8, 3], ..SAME },
    Along { time: 1, kernel: 2, padding: [1, 0], ..SAME },
    Along { batch: 0, ..SAME },
    Along { batch: 1, time: 130, channels: [36, 68], ..SAME },
    Along { batch: 3, time: 70, channels: [20, 33], kernel: 7, stride: 4, padding: [3, 3], ..SAME },
];

const IN_PLANES: [(&str, InPlane); 4] = [
    (
        "f32 plane, stride 2 and padding",
        InPlane {
            x: [2, 7, 9],
            channels: [4, 8],
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            padding: [[1, 1], [1, 1]],
            groups: 1,
        },
    ),
    (
        "f32 plane, patches",
        InPlane {
            x: [2, 8, 12],
            channels: [3, 16],
            kernel: [4, 4],
            stride: [4, 4],
            dilation: [1, 1],
            padding: [[0, 0], [0, 0]],
            groups: 1,
        },
    ),
    (
        "f32 plane, uneven everything",
        InPlane {
            x: [1, 5, 11],
            channels: [6, 4],
            kernel: [2, 5],
            stride: [1, 3],
            dilation: [2, 1],
            padding: [[0, 2], [3, 1]],
            groups: 2,
        },
    ),
    (
        "f32 plane of one row",
        InPlane {
            x: [2, 1, 6],
            channels: [4, 4],
            kernel: [2, 1],
            stride: [1, 2],
            dilation: [1, 1],
            padding: [[1, 0], [0, 0]],
            groups: 1,
        },
    ),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ALONG.into_iter().flat_map(|along| along.cases(NAME)).collect();
    cases.push(SAME.in_segments(NAME));
    cases.push(Along { channels: [6, 10], groups: 2, kernel: 4, padding: [3, 0], ..SAME }.in_segments(NAME));
    cases.extend(IN_PLANES.map(|(label, plane)| plane.case(NAME, label)));
    cases
}

pub(crate) fn benches() -> Vec<Bench> {
    let wide = Along { batch: 1, time: 1024, channels: [512, 512], ..SAME };
    vec![
        wide.bench(NAME, "1024 x 512 to 512, 3 taps, f32"),
        Along { groups: 4, ..wide }.bench(NAME, "1024 x 512 to 512, 3 taps, 4 groups, f32"),
    ]
}
