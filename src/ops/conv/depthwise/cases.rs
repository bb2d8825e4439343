//! Conformance cases: whole vectors of channels and not, multipliers, many places and few, taps that all lie outside, planes.

use super::NAME;
use crate::check::{Bench, Case};
use crate::ops::conv::cases::{Along, InPlane, SAME};

const EIGHT: Along = Along { channels: [8, 8], groups: 8, ..SAME };

const ALONG: [Along; 14] = [
    EIGHT,
    Along { kernel: 31, padding: [15, 15], ..EIGHT },
    Along { kernel: 67, padding: [40, 26], ..EIGHT },
    Along { time: 300, kernel: 5, padding: [4, 1], ..EIGHT },
    Along { kernel: 4, padding: [1, 2], ..EIGHT },
    Along { kernel: 4, padding: [3, 0], ..EIGHT },
    Along { channels: [7, 7], groups: 7, padding: [0, 0], ..SAME },
    Along { channels: [4, 8], groups: 4, ..SAME },
    Along { channels: [5, 15], groups: 5, stride: 2, dilation: 2, padding: [3, 0], ..SAME },
    Along { stride: 3, dilation: 2, padding: [4, 1], ..EIGHT },
    Along { time: 4, kernel: 9, padding: [8, 3], ..EIGHT },
    Along { time: 1, kernel: 1, padding: [0, 0], ..EIGHT },
    Along { batch: 0, ..EIGHT },
    Along { batch: 3, time: 130, channels: [36, 36], groups: 36, kernel: 5, padding: [4, 0], ..SAME },
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ALONG.into_iter().flat_map(|along| along.cases(NAME)).collect();
    cases.push(EIGHT.in_segments(NAME));
    cases.push(Along { kernel: 19, padding: [9, 9], ..EIGHT }.in_segments(NAME));
    cases.push(Along { time: 140, kernel: 70, padding: [69, 0], ..EIGHT }.in_segments(NAME));
    cases.push(Along { channels: [3, 6], groups: 3, kernel: 5, padding: [4, 0], ..SAME }.in_segments(NAME));
    let plane = InPlane {
        x: [2, 5, 11],
        channels: [4, 4],
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        padding: [[1, 1], [0, 2]],
        groups: 4,
    };
    cases.push(plane.case(NAME, "f32 plane"));
    cases.push(InPlane { channels: [3, 6], groups: 3, ..plane }.case(NAME, "f32 plane, two of each channel"));
    cases
}

pub(crate) fn benches() -> Vec<Bench> {
    let wide = Along { batch: 1, time: 1024, channels: [512, 512], groups: 512, ..SAME };
    vec![
        Along { kernel: 31, padding: [15, 15], ..wide }.bench(NAME, "1024 x 512, 31 taps, f32"),
        wide.bench(NAME, "1024 x 512, 3 taps, f32"),
    ]
}
