//! Problems whose queries stand where a tensor says, elsewhere in each batch item: every rule, one query and chunks of several, before the
//! first key, behind the last, and as far as numbers go.

use super::{
    bent, by_heads, dense, disentangled, globals, layout, masked, relative_causal, relative_window, softcap,
    square,
};
use crate::Result;
use crate::check::Problem;
use crate::ops::attention::blocked::cases::Setup;
use crate::ops::attention::rules::cases::{NEAR, THIRDS};
use crate::ops::attention::{Alignment, BigBird, Blocked, Buckets, CustomMask, LogSparse, Mask, Score};
use crate::tensor::{DType, HostTensor};

/// One query of each item over a cache, at its beginning, within, at its end.
fn step(key_time: usize) -> Setup {
    chunk(1, key_time)
}

/// Several queries of each item.
fn chunk(query_time: usize, key_time: usize) -> Setup {
    let last = key_time.saturating_sub(query_time) as i32;
    Setup::new(query_time, key_time).query_start(&[0, last / 2 + 1, last])
}

/// Items some or all of whose queries stand at no key.
fn outside(query_time: usize, key_time: usize) -> Setup {
    let (queries, keys) = (query_time as i32, key_time as i32);
    let starts = [-1, -queries, 1 - queries, keys - 1, keys, keys + 9, i32::MIN, i32::MAX];
    Setup::new(query_time, key_time).query_start(&starts)
}

/// The problems, each with its rule in words.
pub(super) fn setups() -> Vec<Setup> {
    let mut setups = range_setups();
    setups.extend(split_setups());
    setups.extend(mask_setups());
    setups.extend(score_setups());
    setups.extend(relative_setups());
    setups.extend(custom_setups());
    setups
}

fn range_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for setup in [step(70), chunk(5, 70), chunk(40, 97), chunk(130, 200), outside(3, 20), outside(40, 29)] {
        for mask in [Mask::causal(), Mask::window(5, 2), Mask::window(64, 0), Mask::band(Some(3), None)] {
            setups.push(setup.clone().mask(mask));
        }
    }
    setups.push(chunk(9, 50));
    // Alignments have no say.
    setups.push(chunk(9, 50).mask(Mask::causal().aligned(Alignment::TopLeft) & Mask::window(20, 0)));
    setups.push(chunk(9, 50).mask(Mask::causal()).lengths(&[50, 3, 47]));
    for (heads, kv_heads) in [(4, 2), (7, 1), (14, 2)] {
        setups.push(step(70).heads(heads, kv_heads).mask(Mask::causal()));
        setups.push(chunk(11, 90).heads(heads, kv_heads).mask(Mask::causal()));
    }
    for (query_time, key_time) in [(0, 5), (5, 0), (0, 0)] {
        setups.push(Setup::new(query_time, key_time).query_start(&[0, 3]).mask(Mask::causal()));
    }
    setups
}

/// Keys split over workgroups: at the beginning of the cache there are fewer than splits.
fn split_setups() -> Vec<Setup> {
    let long = |starts: &[i32]| Setup::new(1, 3000).query_start(starts).mask(Mask::causal());
    vec![
        long(&[0]).sizes(64, 64),
        long(&[100]).sizes(64, 64),
        long(&[1, 777, 2999]).heads(8, 2).sizes(64, 40),
        long(&[-1, 3000]),
        Setup::new(2, 2500).heads(3, 1).query_start(&[900]).mask(Mask::window(1000, 0)),
        Setup::new(3, 2049).query_start(&[2046, 5]).sizes(31, 33).mask(Mask::causal()),
    ]
}

fn mask_setups() -> Vec<Setup> {
    let by_head = |_: &mut Problem, setup: &Setup| {
        masked(Mask::dilated_window(4, (1..=setup.heads as u32).collect::<Vec<_>>()))
    };
    let strided = |_: &mut Problem, _: &Setup| masked(Mask::strided(16));
    let fixed = |_: &mut Problem, _: &Setup| masked(Mask::fixed(24, 3));
    let log_sparse =
        |_: &mut Problem, _: &Setup| masked(Mask::log_sparse(LogSparse { local: 5, restart: Some(48) }));
    let prefix = |_: &mut Problem, _: &Setup| masked(Mask::causal() | Mask::prefix(9));
    let diagonal = |_: &mut Problem, _: &Setup| masked(Mask::block_diagonal(24));
    let beyond = |_: &mut Problem, _: &Setup| masked(!Mask::window(20, 3));
    let big_bird = |_: &mut Problem, _: &Setup| {
        masked(Mask::big_bird(BigBird { block_size: 16, random_blocks: 1, seed: 7, ..BigBird::default() }))
    };
    let longformer =
        |problem: &mut Problem, setup: &Setup| masked(Mask::longformer(3, globals(problem, setup.key_time)?));
    let queries = |problem: &mut Problem, setup: &Setup| {
        masked(Mask::causal() & !Mask::global_queries(globals(problem, setup.key_time)?))
    };
    let segments = |problem: &mut Problem, setup: &Setup| masked(segments(problem, setup)? & Mask::causal());
    let or_prefix =
        |problem: &mut Problem, setup: &Setup| masked(self::segments(problem, setup)? | Mask::prefix(3));
    let blocks = |_: &mut Problem, setup: &Setup| {
        masked(Mask::blocks(layout(setup.heads, [setup.key_time; 2], 24, 3)?) & Mask::causal())
    };
    let small = |_: &mut Problem, setup: &Setup| {
        masked(Mask::blocks(layout(1, [setup.key_time; 2], 4, 4)?) | Mask::window(1, 0))
    };
    let dense = |problem: &mut Problem, setup: &Setup| {
        let shape = [setup.batch, setup.heads, setup.query_time, setup.key_time];
        masked(Mask::dense(dense(problem, shape, 8)?) & Mask::causal())
    };
    vec![
        chunk(33, 97).heads(4, 2).rule("dilated by head", by_head),
        step(200).rule("strided", strided),
        outside(40, 60).rule("strided", strided),
        chunk(29, 130).rule("fixed", fixed),
        step(150).rule("exponential distances, local and restarting", log_sparse),
        chunk(40, 97).heads(4, 2).rule("prefix", prefix),
        outside(30, 50).rule("diagonal blocks", diagonal),
        chunk(50, 150).rule("outside a window", beyond),
        chunk(21, 130).rule("BigBird", big_bird),
        step(130).rule("BigBird", big_bird),
        chunk(30, 90).rule("Longformer", longformer),
        step(90).heads(4, 2).rule("Longformer", longformer),
        chunk(90, 90).rule("causal but for global queries", queries),
        chunk(30, 110).rule("segments", segments),
        outside(30, 80).rule("segments", segments),
        outside(30, 80).heads(4, 2).rule("segments, or a prefix", or_prefix),
        chunk(30, 110).rule("blocks by head", blocks),
        outside(21, 60).rule("small blocks, or near", small),
        chunk(21, 90).heads(4, 2).rule("dense by item and head", dense),
        // The list of a step at the beginning is short, and keys are split.
        Setup::new(1, 3000).heads(1, 1).query_start(&[2950, 40]).rule("strided", strided),
    ]
}

/// Sequences of 35 tokens along the keys.
fn segments(problem: &mut Problem, setup: &Setup) -> Result<Mask> {
    let ids = (0..setup.batch * setup.key_time).map(|at| (at % setup.key_time / 35) as i32).collect();
    Ok(Mask::segments(problem.input("ids", HostTensor::i32([setup.batch, setup.key_time], ids)?)?))
}

fn score_setups() -> Vec<Setup> {
    let by_query = |problem: &mut Problem, setup: &Setup| {
        let bias =
            problem.random("bias", setup.dtype, [1, setup.heads, setup.query_time, setup.key_time], 1.0)?;
        Ok(Blocked::new().mask(Mask::causal()).score(Score::bias(bias)))
    };
    let alibi = |problem: &mut Problem, setup: &Setup| {
        let slopes = by_heads(problem, "slopes", setup, 0.3)?;
        Ok(Blocked::new().mask(Mask::causal()).score(Score::alibi(slopes)))
    };
    let gaussian = |problem: &mut Problem, setup: &Setup| {
        let sigma = by_heads(problem, "sigma", setup, 9.0)?;
        Ok(Blocked::new().score(Score::gaussian(sigma).aligned(Alignment::TopLeft)))
    };
    let buckets = |problem: &mut Problem, setup: &Setup| {
        let table = problem.random("table", DType::F32, [16, setup.heads], 1.0)?;
        let buckets = Buckets { count: 16, max_distance: 40, bidirectional: true };
        Ok(Blocked::new().score(Score::buckets(table, buckets)))
    };
    let behind = |problem: &mut Problem, setup: &Setup| {
        let table = problem.random("table", DType::F32, [8, setup.heads], 1.0)?;
        let buckets = Buckets { count: 8, max_distance: 30, bidirectional: false };
        Ok(Blocked::new().mask(Mask::causal()).score(Score::buckets(table, buckets)))
    };
    let span = |problem: &mut Problem, setup: &Setup| {
        let span = by_heads(problem, "span", setup, 9.3)?;
        Ok(Blocked::new().mask(Mask::causal()).score(Score::adaptive_span(span, 6.5)))
    };
    vec![
        chunk(11, 50).heads(4, 2).rule("bias by query", by_query),
        step(70).heads(4, 2).rule("ALiBi", alibi),
        softcap(2.0, outside(7, 40).rule("ALiBi", alibi)),
        chunk(15, 40).rule("Gaussian", gaussian),
        step(90).rule("buckets", buckets),
        outside(17, 50).heads(4, 2).rule("buckets", buckets),
        chunk(20, 70).rule("buckets behind", behind),
        Setup::new(1, 1100).query_start(&[1050, 8]).rule("buckets behind", behind),
        chunk(30, 80).heads(4, 2).rule("adaptive span", span),
        softcap(4.0, chunk(13, 50).rule("disentangled", disentangled)),
        outside(6, 20).rule("disentangled", disentangled),
    ]
}

fn relative_setups() -> Vec<Setup> {
    let after = |problem: &mut Problem, setup: &Setup| {
        let keys = problem.random("r", setup.dtype, [8, setup.heads, setup.head_size], 1.0)?;
        let mask = Mask::window(0, 7) & !Mask::causal();
        Ok(Blocked::new().mask(mask).score(Score::relative_keys(keys, None, None, 7)))
    };
    vec![
        step(70).rule("relative keys", relative_causal),
        chunk(33, 70).rule("relative keys", relative_causal),
        // Behind the last key, distances have no relative key.
        outside(20, 45).rule("relative keys", relative_causal),
        chunk(30, 77).rule("relative keys in a window", relative_window),
        outside(30, 40).rule("relative keys in a window", relative_window),
        outside(9, 30).sizes(5, 7).rule("relative keys of keys behind", after),
        Setup::new(1, 1100).heads(1, 1).query_start(&[1099, 30]).rule("relative keys", relative_causal),
        Setup::new(2, 1100).heads(1, 1).query_start(&[600]).rule("relative keys", relative_causal),
    ]
}

fn custom_setups() -> Vec<Setup> {
    let pairs = |_: &mut Problem, _: &Setup| {
        let thirds = CustomMask::new("thirds", THIRDS, |pair| (pair.query + pair.head) % 3 == pair.key % 3)?;
        masked(Mask::custom(thirds) & Mask::window(30, 30))
    };
    let tiles = |_: &mut Problem, _: &Setup| {
        masked(Mask::custom(
            CustomMask::new("near", NEAR, |pair| pair.query.abs_diff(pair.key) <= 12)?.with_tiles()?,
        ))
    };
    let scores = |problem: &mut Problem, setup: &Setup| {
        let slopes = by_heads(problem, "slopes", setup, 0.1)?;
        Ok(Blocked::new().score(Score::alibi(slopes)).score(Score::custom(bent()?)))
    };
    vec![
        chunk(20, 90).heads(4, 2).rule("a mask of users", pairs),
        outside(20, 70).rule("a mask of users, with tiles", tiles),
        softcap(3.0, chunk(14, 50).heads(4, 2).rule("a score of users", scores)),
        outside(8, 30).rule("a score of users", scores),
        square(20).query_start(&[0, 5]).rule("a score of users", scores),
    ]
}
