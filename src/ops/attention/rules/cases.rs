//! Problems for every rule, which forward and backward are both held to: block lists of several entries, rules by head and by item, tensors of
//! every shape, rules of users, and combinations.

mod query_start;

use super::{
    Alignment, BigBird, BlockLayout, Buckets, CustomMask, CustomScore, LogBuckets, LogSparse, Mask, Score,
};
use crate::Result;
use crate::check::Problem;
use crate::graph::Value;
use crate::ops::attention::Blocked;
use crate::ops::attention::blocked::cases::Setup;
use crate::random::Random;
use crate::tensor::{DType, HostTensor};

/// Makes the rule of a problem, and its tensors.
pub(in crate::ops::attention) type MakeRule = fn(&mut Problem, &Setup) -> Result<Blocked>;

/// The problems, each with its rule in words.
pub(in crate::ops::attention) fn setups() -> Vec<Setup> {
    let mut setups = mask_setups();
    setups.extend(tensor_setups());
    setups.extend(score_setups());
    setups.extend(relative_setups());
    setups.extend(custom_setups());
    setups.extend(query_start::setups());
    setups
}

fn masked(mask: Mask) -> Result<Blocked> {
    Ok(Blocked::new().mask(mask))
}

fn batch(batch: usize, setup: Setup) -> Setup {
    Setup { batch, ..setup }
}

fn softcap(cap: f32, setup: Setup) -> Setup {
    Setup { softcap: Some(cap), ..setup }
}

fn square(time: usize) -> Setup {
    Setup::new(time, time)
}

fn mask_setups() -> Vec<Setup> {
    let by_head = |_: &mut Problem, setup: &Setup| {
        masked(Mask::dilated_window(4, (1..=setup.heads as u32).collect::<Vec<_>>()))
    };
    let dilated = |_: &mut Problem, _: &Setup| masked(Mask::dilated_window(4, [3]));
    let dilated_causal =
        |_: &mut Problem, _: &Setup| masked(Mask::dilated_window(30, [7]) & Mask::window(90, 0));
    let strided = |_: &mut Problem, _: &Setup| masked(Mask::strided(16));
    let top_left = |_: &mut Problem, _: &Setup| masked(Mask::strided(16).aligned(Alignment::TopLeft));
    let fixed = |_: &mut Problem, _: &Setup| masked(Mask::fixed(24, 3));
    let log_sparse = |_: &mut Problem, _: &Setup| masked(Mask::log_sparse(LogSparse::default()));
    let restarts =
        |_: &mut Problem, _: &Setup| masked(Mask::log_sparse(LogSparse { local: 5, restart: Some(48) }));
    let restarts_far =
        |_: &mut Problem, _: &Setup| masked(Mask::log_sparse(LogSparse { local: 3, restart: Some(100) }));
    let fixed_far = |_: &mut Problem, _: &Setup| masked(Mask::fixed(4_000_000_000, 1));
    let prefix = |_: &mut Problem, _: &Setup| masked(Mask::causal() | Mask::prefix(9));
    let diagonal = |_: &mut Problem, _: &Setup| masked(Mask::block_diagonal(24));
    let outside = |_: &mut Problem, _: &Setup| masked(!Mask::window(20, 3));
    let big_bird = |_: &mut Problem, _: &Setup| {
        masked(Mask::big_bird(BigBird { block_size: 16, random_blocks: 2, seed: 7, ..BigBird::default() }))
    };
    vec![
        square(130).rule("dilated by head", by_head),
        Setup::new(33, 97).heads(4, 2).rule("dilated by head", by_head),
        square(130).sizes(5, 7).rule("dilated", dilated),
        square(197).heads(1, 1).rule("dilated, causal", dilated_causal),
        square(2).rule("strided", strided),
        square(200).rule("strided", strided),
        // More than one of the widest stretches that tiles are asked about.
        square(1100).heads(1, 1).rule("strided", strided),
        Setup::new(1, 3000).rule("strided", strided),
        // So many slots that the tiles along index maps are twice as high.
        batch(2, square(1100)).heads(4, 4).sizes(8, 8).rule("strided", strided),
        Setup::new(40, 29).rule("strided", strided),
        Setup::new(40, 29).rule("strided, top-left", top_left),
        square(130).rule("fixed", fixed),
        Setup::new(29, 130).rule("fixed", fixed),
        square(600).heads(1, 1).rule("exponential distances", log_sparse),
        square(130).sizes(5, 7).rule("exponential distances", log_sparse),
        square(150).rule("exponential distances, local and restarting", restarts),
        square(200).rule("exponential distances, few, local and restarting", restarts_far),
        square(40).rule("fixed, a block longer than the text", fixed_far),
        Setup::new(40, 97).heads(4, 2).rule("prefix", prefix),
        square(100).rule("diagonal blocks", diagonal),
        Setup::new(60, 31).rule("diagonal blocks", diagonal),
        square(150).rule("outside a window", outside),
        square(300).rule("BigBird", big_bird),
    ]
}

/// Global tokens for three items: two, none, and many with one of them twice and numbers that are no position.
fn globals(problem: &mut Problem, time: usize) -> Result<Value> {
    let last = time as i32 - 1;
    let positions = [[0, last / 2, -1, -1], [-1; 4], [last, 3, 3, last + 1]].concat();
    problem.input("globals", HostTensor::i32([3, 4], positions)?)
}

fn layout(heads: usize, [queries, keys]: [usize; 2], size: u32, seed: u64) -> Result<BlockLayout> {
    let shape = [heads, queries.div_ceil(size as usize), keys.div_ceil(size as usize)];
    let mut random = Random::new(seed);
    // A whole row of blocks that meet nothing is among them.
    let pair = |at: usize| random.next_below(4) == 0 && at / shape[2] != 1;
    BlockLayout::new(size, shape, (0..shape.iter().product()).map(pair).collect())
}

fn dense(problem: &mut Problem, shape: [usize; 4], seed: u64) -> Result<Value> {
    let mut random = Random::new(seed);
    // Tiles that are empty, whole and mixed; a row without keys, a key without rows.
    let pair = |at: usize| {
        let (query, key) = (at / shape[3] % shape[2], at % shape[3]);
        let whole = (query / 40 + key / 40) % 3;
        i32::from(query != 5 && key != 7 && (whole == 0 || (whole == 1 && random.next_below(3) == 0)))
    };
    problem.input("pairs", HostTensor::i32(shape, (0..shape.iter().product()).map(pair).collect())?)
}

fn tensor_setups() -> Vec<Setup> {
    let longformer = |problem: &mut Problem, setup: &Setup| {
        masked(Mask::longformer(3, globals(problem, setup.query_time)?))
    };
    let parts = |problem: &mut Problem, setup: &Setup| {
        let globals = globals(problem, setup.key_time)?;
        let lengths = problem.input("lengths", HostTensor::i32([3], vec![100, 0, 57])?)?;
        let seen =
            Mask::causal() & (Mask::window(9, 0) | Mask::global_keys(globals)) & Mask::lengths(lengths);
        masked(seen & !Mask::global_queries(globals))
    };
    let segments = |problem: &mut Problem, setup: &Setup| {
        let ids = (0..setup.batch * setup.key_time).map(|at| (at % setup.key_time / 35) as i32).collect();
        let ids = problem.input("ids", HostTensor::i32([setup.batch, setup.key_time], ids)?)?;
        let lengths = problem.input("lengths", HostTensor::i32([setup.batch], vec![90; setup.batch])?)?;
        masked((Mask::segments(ids) & Mask::lengths(lengths)) | Mask::prefix(3))
    };
    let blocks = |_: &mut Problem, setup: &Setup| {
        masked(Mask::blocks(layout(setup.heads, [setup.query_time, setup.key_time], 24, 3)?))
    };
    let shared = |_: &mut Problem, setup: &Setup| {
        masked(Mask::blocks(layout(1, [setup.query_time, setup.key_time], 8, 4)?) & Mask::causal())
    };
    let three_of_four = |_: &mut Problem, setup: &Setup| {
        let [rows, columns] = [setup.query_time, setup.key_time].map(|time| time.div_ceil(4));
        let meets = (0..rows * columns).map(|at| at / columns % 4 != 3).collect();
        masked(Mask::blocks(BlockLayout::new(4, [1, rows, columns], meets)?))
    };
    let by_item = |problem: &mut Problem, setup: &Setup| {
        masked(Mask::dense(dense(problem, [setup.batch, 1, setup.query_time, setup.key_time], 5)?))
    };
    let by_head = |problem: &mut Problem, setup: &Setup| {
        masked(
            Mask::dense(dense(problem, [1, setup.heads, setup.query_time, setup.key_time], 6)?)
                & Mask::causal(),
        )
    };
    let by_both = |problem: &mut Problem, setup: &Setup| {
        masked(Mask::dense(dense(problem, [setup.batch, setup.heads, setup.query_time, setup.key_time], 8)?))
    };
    vec![
        batch(3, square(130)).rule("Longformer", longformer),
        batch(3, square(97)).heads(4, 2).rule("Longformer", longformer),
        batch(3, square(130)).rule("parts of Longformer, with padding", parts),
        batch(2, square(110)).rule("segments and lengths, or a prefix", segments),
        square(130).rule("blocks by head", blocks),
        Setup::new(60, 200).heads(4, 2).rule("blocks by head", blocks),
        square(130).rule("small blocks", shared),
        Setup::new(60, 50).heads(4, 2).rule("small blocks", shared),
        // Tiles of queries that three heads, or six, share begin anywhere.
        Setup::new(60, 50).heads(3, 1).rule("three of four small blocks", three_of_four),
        Setup::new(60, 50).heads(6, 1).rule("three of four small blocks", three_of_four),
        batch(2, square(130)).rule("dense by item", by_item),
        Setup::new(65, 130).heads(4, 2).rule("dense by head", by_head),
        batch(3, Setup::new(50, 90)).heads(4, 2).rule("dense by item and head", by_both),
        Setup::new(0, 5).rule("dense by head", by_head),
        Setup::new(5, 0).rule("dense by head", by_head),
    ]
}

fn score_setups() -> Vec<Setup> {
    let whole = |problem: &mut Problem, setup: &Setup| {
        biased(problem, setup, [setup.batch, setup.heads, setup.query_time, setup.key_time])
    };
    let by_head = |problem: &mut Problem, setup: &Setup| {
        biased(problem, setup, [1, setup.heads, setup.query_time, setup.key_time])
    };
    let by_key =
        |problem: &mut Problem, setup: &Setup| biased(problem, setup, [setup.batch, 1, 1, setup.key_time]);
    let by_query =
        |problem: &mut Problem, setup: &Setup| biased(problem, setup, [1, setup.heads, setup.query_time, 1]);
    let alibi = |problem: &mut Problem, setup: &Setup| {
        let slopes = by_heads(problem, "slopes", setup, 0.3)?;
        Ok(Blocked::new().mask(Mask::strided(16)).score(Score::alibi(slopes)))
    };
    let gaussian = |problem: &mut Problem, setup: &Setup| {
        let sigma = by_heads(problem, "sigma", setup, 4.0)?;
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
        Ok(Blocked::new().mask(Mask::causal() & !Mask::window(0, 0)).score(Score::adaptive_span(span, 6.5)))
    };
    vec![
        batch(2, square(50)).rule("bias of every pair", whole),
        batch(2, Setup::new(40, 70)).heads(4, 2).rule("bias by head", by_head),
        batch(2, square(50)).heads(4, 2).rule("bias by key", by_key),
        batch(2, square(50)).heads(4, 2).rule("bias by query", by_query),
        softcap(2.0, batch(2, square(130)).heads(4, 2).rule("ALiBi, strided", alibi)),
        Setup::new(40, 29).rule("Gaussian, top-left", gaussian),
        Setup::new(40, 70).rule("buckets", buckets),
        square(50).heads(4, 2).rule("buckets behind", behind),
        batch(2, Setup::new(90, 130)).heads(4, 2).rule("adaptive span", span),
    ]
}

fn biased(problem: &mut Problem, setup: &Setup, shape: [usize; 4]) -> Result<Blocked> {
    let bias = problem.random("bias", setup.dtype, shape, 1.0)?;
    Ok(Blocked::new().mask(Mask::causal()).score(Score::bias(bias)))
}

/// A number for each head, growing from `first` on by halves of it.
fn by_heads(problem: &mut Problem, name: &str, setup: &Setup, first: f32) -> Result<Value> {
    let numbers = (0..setup.heads).map(|head| first * (1.0 + 0.5 * head as f32)).collect();
    problem.input(name, HostTensor::f32([setup.heads], numbers)?)
}

/// Relative keys with both biases, of the keys up to the query.
fn relative_causal(problem: &mut Problem, setup: &Setup) -> Result<Blocked> {
    let factor = |problem: &mut Problem, name, rows: &[usize]| {
        let shape = [rows, &[setup.heads, setup.head_size]].concat();
        problem.random(name, setup.dtype, shape, 1.0)
    };
    let keys = factor(problem, "r", &[setup.key_time])?;
    let (u, v) = (factor(problem, "u", &[])?, factor(problem, "w", &[])?);
    Ok(Blocked::new().mask(Mask::causal()).score(Score::relative_keys(keys, Some(u), Some(v), 0)))
}

/// Relative keys of a window.
fn relative_window(problem: &mut Problem, setup: &Setup) -> Result<Blocked> {
    let keys = problem.random("r", setup.dtype, [16, setup.heads, setup.head_size], 1.0)?;
    Ok(Blocked::new().mask(Mask::window(10, 5)).score(Score::relative_keys(keys, None, None, 5)))
}

/// DeBERTa's terms, by distances up to 6.
fn disentangled(problem: &mut Problem, setup: &Setup) -> Result<Blocked> {
    let shape = [12, setup.heads, setup.head_size];
    let (keys, queries) =
        (problem.random("kr", setup.dtype, shape, 1.0)?, problem.random("qr", setup.dtype, shape, 1.0)?);
    Ok(Blocked::new().score(Score::disentangled(Some(keys), Some(queries), 6)))
}

fn relative_setups() -> Vec<Setup> {
    // Distances that nothing shows, on either side.
    let spare = |problem: &mut Problem, setup: &Setup| {
        let keys = problem.random("r", setup.dtype, [90, setup.heads, setup.head_size], 1.0)?;
        let score = Score::relative_keys(keys, None, None, 40).aligned(Alignment::TopLeft);
        Ok(Blocked::new().mask(Mask::window(10, 2).aligned(Alignment::TopLeft)).score(score))
    };
    let scattered = |problem: &mut Problem, setup: &Setup| {
        let keys = problem.random("r", setup.dtype, [setup.key_time, setup.heads, setup.head_size], 1.0)?;
        Ok(Blocked::new().mask(Mask::fixed(24, 3)).score(Score::relative_keys(keys, None, None, 0)))
    };
    let apart = |problem: &mut Problem, setup: &Setup| {
        let count = setup.query_time + setup.key_time - 1;
        let keys = problem.random("r", setup.dtype, [count, setup.heads, setup.head_size], 1.0)?;
        let score = Score::relative_keys(keys, None, None, setup.key_time as u32 - 1);
        Ok(Blocked::new().mask(Mask::window(10, 0) | Mask::prefix(9)).score(score))
    };
    let keys = |problem: &mut Problem, setup: &Setup| {
        let keys = problem.random("kr", setup.dtype, [8, setup.heads, setup.head_size], 1.0)?;
        Ok(Blocked::new().mask(Mask::strided(16)).score(Score::disentangled(Some(keys), None, 4)))
    };
    // Keys that nobody sees, the last tile of keys in part: their rows of tables have no gradient.
    let padded = |problem: &mut Problem, setup: &Setup| {
        let queries = problem.random("qr", setup.dtype, [12, setup.heads, setup.head_size], 1.0)?;
        let spec = Blocked::new().score(Score::disentangled(None, Some(queries), 6));
        let bias = problem.random("bias", DType::F32, [1, setup.heads, 1, setup.key_time], 1.0)?;
        let lengths = problem.input("lengths", HostTensor::i32([3], vec![41, 0, 70])?)?;
        Ok(spec.score(Score::bias(bias)).lengths(lengths))
    };
    let buckets = |problem: &mut Problem, setup: &Setup| {
        let shape = [12, setup.heads, setup.head_size];
        let (keys, queries) =
            (problem.random("kr", setup.dtype, shape, 1.0)?, problem.random("qr", setup.dtype, shape, 1.0)?);
        let buckets = LogBuckets { span: 6, max_distance: 40 };
        Ok(Blocked::new().score(Score::disentangled_in_buckets(Some(keys), Some(queries), buckets)))
    };
    vec![
        batch(2, Setup::new(40, 70)).rule("relative keys", relative_causal),
        Setup { dtype: DType::F16, ..Setup::new(40, 70).rule("relative keys", relative_causal) },
        Setup::new(33, 33).sizes(5, 7).rule("relative keys", relative_causal),
        square(130).sizes(64, 64).rule("relative keys", relative_causal),
        batch(2, Setup::new(90, 77)).rule("relative keys in a window", relative_window),
        Setup::new(60, 45).rule("relative keys beyond a window", spare),
        square(180).heads(1, 1).rule("relative keys, fixed", scattered),
        // Keys split over workgroups, tiles of one row and of two.
        Setup::new(1, 1100).heads(1, 1).rule("relative keys", relative_causal),
        Setup::new(2, 1100).heads(1, 1).rule("relative keys", relative_causal),
        // Tiles that do not lie side by side.
        square(230).rule("relative keys in a window and a prefix", apart),
        softcap(4.0, batch(2, Setup::new(40, 50)).rule("disentangled", disentangled)),
        square(70).rule("disentangled keys, strided", keys),
        square(70).rule("disentangled in buckets", buckets),
        batch(3, square(70)).rule("disentangled queries, lengths", padded),
    ]
}

/// Keys of the query's own third, counted from where the head says.
const THIRDS: &str = "
fn thirds(batch: u32, head: u32, query: i32, key: i32) -> bool {
    return (query + i32(head)) % 3 == key % 3;
}
";

/// A window, by hand.
const NEAR: &str = "
fn near(batch: u32, head: u32, query: i32, key: i32) -> bool {
    return abs(query - key) <= near_width;
}
const near_width: i32 = 12;
fn near_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
    let least = first_query - last_key;
    let greatest = last_query - first_key;
    return vec2(least <= near_width && greatest >= -near_width, greatest <= near_width && least >= -near_width);
}
";

/// A score that saturates on one side only, more so in later heads.
const BENT: &str = "
fn bent(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return log(1.0 + exp(-score)) * f32(head + 1u) + 0.01 * f32(query - key);
}
fn bent_slope(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 {
    return -f32(head + 1u) / (1.0 + exp(score));
}
";

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
    let span = |problem: &mut Problem, setup: &Setup| {
        let span = by_heads(problem, "span", setup, 9.3)?;
        let slopes = by_heads(problem, "slopes", setup, 0.1)?;
        let spec = Blocked::new().mask(Mask::causal()).score(Score::adaptive_span(span, 6.5));
        Ok(spec.score(Score::alibi(slopes)).score(Score::custom(bent()?)))
    };
    vec![
        Setup::new(70, 90).heads(4, 2).rule("a mask of users", pairs),
        square(130).rule("a mask of users, with tiles", tiles),
        softcap(3.0, Setup::new(40, 50).heads(4, 2).rule("a score of users", scores)),
        softcap(3.0, square(60).rule("a score of users over an adaptive span", span)),
    ]
}

fn bent() -> Result<CustomScore> {
    let reference = CustomScore::new("bent", BENT, |pair, score| {
        (1.0 + (-score).exp()).ln() * (pair.head + 1) as f64 + 0.01 * (pair.query as f64 - pair.key as f64)
    })?;
    reference.with_slope(|pair, score| -((pair.head + 1) as f64) / (1.0 + score.exp()))
}

/// Added to rows by turns: what changes no weight, and what hides every key.
const OFFSETS: [f32; 7] = [-1e9, 1e4, 0.0, -6e29, 1e9, -1e4, -3e38];

/// A number for every query.
pub(in crate::ops::attention) fn row_offsets(problem: &mut Problem, setup: &Setup) -> Result<Blocked> {
    offsets(problem, setup.query_time, 1)
}

/// The same for every pair of query and key.
pub(in crate::ops::attention) fn pair_offsets(problem: &mut Problem, setup: &Setup) -> Result<Blocked> {
    offsets(problem, setup.query_time, setup.key_time)
}

fn offsets(problem: &mut Problem, queries: usize, keys: usize) -> Result<Blocked> {
    let rows = OFFSETS.iter().cycle().take(queries);
    let bias = rows.flat_map(|&offset| vec![offset; keys]).collect();
    let bias = problem.input("bias", HostTensor::f32([1, 1, queries, keys], bias)?)?;
    Ok(Blocked::new().score(Score::bias(bias)))
}
