//! Rules of the crate, and what each is compared with. Rules by hand know their numbers and read nothing; masks by hand say of tiles
//! what the crate's say, so that both skip the same ones.

use foveate::ops::attention::{
    BlockLayout, Blocked, Buckets, CustomMask, CustomScore, Mask, Pair, Score, alibi_slopes, global_tokens,
};
use foveate::ops::constant;
use foveate::{Graph, HostTensor, Result};

pub(crate) const HEADS: usize = 4;

/// Makes a rule as part of a graph, for sequences of `time`.
pub(crate) type Make = fn(&mut Graph, usize) -> Result<Blocked>;

/// A rule of the crate, and what its time is put over.
pub(crate) struct Comparison {
    pub(crate) name: &'static str,
    pub(crate) over: &'static str,
    pub(crate) time: usize,
    pub(crate) rule: Make,
    pub(crate) baseline: Make,
}

/// Each rule over the same by hand.
pub(crate) const BY_HAND: &[Comparison] = &[
    Comparison {
        name: "window of 256, 4096 tokens",
        over: "by hand",
        time: 4096,
        rule: |_, _| Ok(Blocked::new().mask(Mask::window(128, 127))),
        baseline: |_, _| mask("hand_window", WINDOW, |i, j| (-127..=128).contains(&(i - j))),
    },
    Comparison {
        name: "strided by 64, 4096 tokens",
        over: "by hand",
        time: 4096,
        rule: |_, _| Ok(Blocked::new().mask(Mask::strided(64))),
        baseline: |_, _| mask("hand_strided", STRIDED, |i, j| i >= j && (i - j < 64 || (i - j) % 64 == 0)),
    },
    Comparison {
        name: "window of 256 and 2 global tokens, 4096 tokens",
        over: "by hand",
        time: 4096,
        rule: longformer,
        baseline: |_, _| {
            mask("hand_longformer", LONGFORMER, |i, j| {
                (-127..=128).contains(&(i - j)) || [i, j].iter().any(|at| [0, 2048].contains(at))
            })
        },
    },
    Comparison {
        name: "every third block of 64, 4096 tokens",
        over: "by hand",
        time: 4096,
        rule: |_, time| {
            let blocks = time / 64;
            let meets =
                (0..blocks * blocks).map(|at| (at / blocks + at % blocks).is_multiple_of(3)).collect();
            Ok(Blocked::new().mask(Mask::blocks(BlockLayout::new(64, [1, blocks, blocks], meets)?)))
        },
        baseline: |_, _| mask("hand_blocks", BLOCKS, |i, j| (i / 64 + j / 64) % 3 == 0),
    },
    Comparison {
        name: "ALiBi, 1024 tokens",
        over: "by hand",
        time: 1024,
        rule: |graph, _| {
            let slopes = constant(graph, HostTensor::f32([HEADS], alibi_slopes(HEADS))?)?;
            Ok(Blocked::new().score(Score::alibi(slopes)))
        },
        baseline: |_, _| {
            score("hand_alibi", ALIBI, |head, distance| {
                -(distance.abs() as f64) * 2f64.powi(-2 * (head as i32 + 1))
            })
        },
    },
    Comparison {
        name: "Gaussian, 1024 tokens",
        over: "by hand",
        time: 1024,
        rule: |graph, _| {
            let sigma = constant(graph, HostTensor::f32([HEADS], vec![16.0, 32.0, 64.0, 128.0])?)?;
            Ok(Blocked::new().score(Score::gaussian(sigma)))
        },
        baseline: |_, _| {
            score("hand_gaussian", GAUSSIAN, |head, distance| {
                -0.5 * (distance as f64 / f64::from(16 << head)).powi(2)
            })
        },
    },
    Comparison {
        name: "T5's 32 buckets, 1024 tokens",
        over: "by hand",
        time: 1024,
        rule: |graph, _| {
            let table = (0..BUCKETS.count as usize * HEADS).map(|at| 0.01 * at as f32).collect();
            let table = constant(graph, HostTensor::f32([BUCKETS.count as usize, HEADS], table)?)?;
            Ok(Blocked::new().score(Score::buckets(table, BUCKETS)))
        },
        baseline: |_, _| {
            score("hand_buckets", BUCKETED, |head, distance| {
                0.01 * (BUCKETS.of(distance) as usize * HEADS + head) as f64
            })
        },
    },
];

/// What leaving pairs out saves.
pub(crate) const SPARSE: &[Comparison] = &[
    Comparison {
        name: "a tenth of the blocks of 64, 4096 tokens",
        over: "all of them",
        time: 4096,
        rule: tenth_of_blocks,
        baseline: |_, _| Ok(Blocked::new()),
    },
    Comparison {
        name: "window of 256 and 2 global tokens, 8192 tokens",
        over: "full attention",
        time: 8192,
        rule: longformer,
        baseline: |_, _| Ok(Blocked::new()),
    },
];

/// What keys of distances cost.
pub(crate) const RELATIVE: &[Comparison] = &[Comparison {
    name: "relative keys, causal, 1024 tokens",
    over: "causal",
    time: 1024,
    rule: relative_keys,
    baseline: |_, _| Ok(Blocked::new().mask(Mask::causal())),
}];

const BUCKETS: Buckets = Buckets { count: 32, max_distance: 128, bidirectional: true };

/// A window of 256 and two global tokens, the first and the middle one.
fn longformer(graph: &mut Graph, time: usize) -> Result<Blocked> {
    let globals = constant(graph, global_tokens(&[vec![0, time / 2]], time)?)?;
    Ok(Blocked::new().mask(Mask::window(128, 127) | Mask::globals(globals)))
}

/// Causal attention with Transformer-XL's relative keys and both of its biases.
fn relative_keys(graph: &mut Graph, time: usize) -> Result<Blocked> {
    let mut rows = |shape: &[usize]| {
        let numbers = (0..shape.iter().product::<usize>()).map(|at| (at % 7) as f32 * 0.1).collect();
        constant(graph, HostTensor::f32(shape, numbers)?)
    };
    let keys = rows(&[time, HEADS, 64])?;
    let (content_bias, position_bias) = (rows(&[HEADS, 64])?, rows(&[HEADS, 64])?);
    let score = Score::relative_keys(keys, Some(content_bias), Some(position_bias), 0);
    Ok(Blocked::new().mask(Mask::causal()).score(score))
}

/// One in ten pairs of blocks of 64, the diagonal among them: 6 in each row of 64 blocks, scattered.
fn tenth_of_blocks(_: &mut Graph, time: usize) -> Result<Blocked> {
    let blocks = time / 64;
    let scattered = |row: usize, i: usize| (row + i * i * 7) % blocks;
    let mut meets = vec![false; blocks * blocks];
    for row in 0..blocks {
        (0..6).for_each(|i| meets[row * blocks + scattered(row, i)] = true);
    }
    Ok(Blocked::new().mask(Mask::blocks(BlockLayout::new(64, [1, blocks, blocks], meets)?)))
}

fn mask(name: &str, wgsl: &str, sees: fn(i64, i64) -> bool) -> Result<Blocked> {
    let reference = move |pair: Pair| sees(pair.query as i64, pair.key as i64);
    Ok(Blocked::new().mask(Mask::custom(CustomMask::new(name, wgsl, reference)?.with_tiles()?)))
}

/// What is added, by head and distance.
fn score(name: &str, wgsl: &str, added: fn(usize, i64) -> f64) -> Result<Blocked> {
    let reference =
        move |pair: Pair, score: f64| score + added(pair.head, pair.query as i64 - pair.key as i64);
    Ok(Blocked::new().score(Score::custom(CustomScore::new(name, wgsl, reference)?.with_slope(|_, _| 1.0)?)))
}

const WINDOW: &str = "
fn hand_window(batch: u32, head: u32, query: i32, key: i32) -> bool {
    return query - key <= 128 && query - key >= -127;
}

fn hand_window_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
    let least = first_query - last_key;
    let most = last_query - first_key;
    return vec2(least <= 128 && most >= -127, most <= 128 && least >= -127);
}
";

const STRIDED: &str = "
fn hand_strided(batch: u32, head: u32, query: i32, key: i32) -> bool {
    let distance = query - key;
    return distance >= 0 && (distance < 64 || (distance & 63) == 0);
}

fn hand_strided_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
    let least = max(first_query - last_key, 0);
    let most = last_query - first_key;
    let some = most >= 0 && (least < 64 || most / 64 * 64 >= least);
    return vec2(some, first_query >= last_key && most < 64);
}
";

const LONGFORMER: &str = "
fn hand_longformer(batch: u32, head: u32, query: i32, key: i32) -> bool {
    let near = query - key <= 128 && query - key >= -127;
    return near || query == 0 || query == 2048 || key == 0 || key == 2048;
}

fn hand_longformer_holds(first: i32, last: i32) -> bool {
    return first == 0 || (first <= 2048 && last >= 2048);
}

fn hand_longformer_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
    let least = first_query - last_key;
    let most = last_query - first_key;
    let near = least <= 128 && most >= -127;
    let held = hand_longformer_holds(first_query, last_query) || hand_longformer_holds(first_key, last_key);
    return vec2(near || held, most <= 128 && least >= -127);
}
";

const BLOCKS: &str = "
fn hand_blocks(batch: u32, head: u32, query: i32, key: i32) -> bool {
    return (query / 64 + key / 64) % 3 == 0;
}

fn hand_blocks_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
    let first = first_query / 64 + first_key / 64;
    let last = last_query / 64 + last_key / 64;
    return vec2((first + 2) / 3 * 3 <= last, first == last && first % 3 == 0);
}
";

const ALIBI: &str = "
fn hand_alibi(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return score - f32(abs(query - key)) * exp2(-2.0 * f32(head + 1u));
}

fn hand_alibi_slope(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return 1.0;
}
";

const GAUSSIAN: &str = "
fn hand_gaussian(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    let of_sigma = f32(query - key) / f32(16u << head);
    return score - 0.5 * of_sigma * of_sigma;
}

fn hand_gaussian_slope(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return 1.0;
}
";

const BUCKETED: &str = "
fn hand_buckets(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    let distance = query - key;
    var bucket = u32(abs(distance));
    if bucket >= 8u {
        bucket = min(8u + u32(log(f32(bucket) / 8.0) / log(16.0) * 8.0), 15u);
    }
    bucket += select(0u, 16u, distance < 0);
    return score + 0.01 * f32(bucket * 4u + head);
}

fn hand_buckets_slope(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return 1.0;
}
";
