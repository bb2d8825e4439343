//! Rules: what is refused, rules of users, lists that are full, and masks of any shape against the reference.

use foveate::check::{Extents, Random, compare_custom_rule};
use foveate::ops::attention::{
    Alignment, BigBird, BlockLayout, Blocked, Buckets, CustomMask, CustomScore, LogBuckets, LogSparse, Mask,
    Score, alibi_slopes, blocked, global_tokens,
};
use foveate::{Caps, DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu, ops};
use proptest::prelude::*;

use super::blocked::F32_OF_LARGEST;
use crate::support::compare::relative_error;
use crate::support::{assert_error, context, refused, run};

/// The error of attention over `[2, 10, 4, 16]` under a rule of further inputs.
fn refusal(descs: &[TensorDesc], rule: impl Fn(&[Value]) -> Blocked) -> Error {
    let q = TensorDesc::f32([2, 10, 4, 16]);
    let descs: Vec<TensorDesc> = [&[q.clone(), q.clone(), q], descs].concat();
    refused(&descs, |graph, v| blocked(graph, v[0], v[1], v[2], &rule(&v[3..])))
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let check = |descs: &[TensorDesc], mask: &dyn Fn(&[Value]) -> Mask, kind, place: &str| {
        assert_error(&refusal(descs, |v| Blocked::new().mask(mask(v))), kind, place);
    };
    let argument = |mask: Mask, place: &str| check(&[], &|_| mask.clone(), ErrorKind::Argument, place);
    argument(Mask::dilated_window(2, [0]), "attention rule: dilation");
    argument(Mask::strided(0), "attention rule: dilation");
    argument(Mask::fixed(0, 1), "attention rule: block size");
    argument(Mask::fixed(4, 0), "attention rule: expressivity");
    argument(Mask::log_sparse(LogSparse { local: 0, restart: None }), "attention rule: log_sparse.local");
    argument(
        Mask::big_bird(BigBird { window_blocks: 2, ..BigBird::default() }),
        "attention rule: big_bird.window_blocks",
    );
    let nothing = "attention/blocked: mask";
    argument(!Mask::full(), nothing);
    argument(Mask::causal() & !Mask::causal(), nothing);
    argument(Mask::prefix(0), nothing);

    let shape = |descs: &[TensorDesc], mask: &dyn Fn(&[Value]) -> Mask, place: &str| {
        check(descs, mask, ErrorKind::Shape, place);
    };
    shape(&[], &|_| Mask::dilated_window(2, [1, 2]), "attention/blocked: dilation");
    shape(
        &[],
        &|_| Mask::blocks(BlockLayout::new(4, [1, 3, 2], vec![true; 6]).unwrap()),
        "attention/blocked: layout",
    );
    shape(&[TensorDesc::i32([3, 2])], &|v| Mask::globals(v[0]), "attention/blocked: globals");
    shape(&[TensorDesc::i32([2, 4, 10, 9])], &|v| Mask::dense(v[0]), "attention/blocked: mask");
    check(
        &[TensorDesc::f32([2, 4, 10, 10])],
        &|v| Mask::dense(v[0]),
        ErrorKind::Dtype,
        "attention/blocked: mask",
    );
}

#[test]
fn scores_that_do_not_fit_are_refused() {
    let check = |descs: &[TensorDesc], scores: &dyn Fn(&[Value]) -> Vec<Score>, kind, place: &str| {
        let rule = |v: &[Value]| scores(v).into_iter().fold(Blocked::new(), Blocked::score);
        assert_error(&refusal(descs, rule), kind, place);
    };
    check(
        &[TensorDesc::f32([3])],
        &|v| vec![Score::alibi(v[0])],
        ErrorKind::Shape,
        "attention/blocked: alibi",
    );
    check(
        &[TensorDesc::f32([2, 4, 10, 9])],
        &|v| vec![Score::bias(v[0])],
        ErrorKind::Shape,
        "attention/blocked: bias",
    );
    check(
        &[TensorDesc::f32([1, 1, 1, 10])],
        &|v| vec![Score::bias(v[0]), Score::bias(v[0])],
        ErrorKind::Argument,
        "attention/blocked: bias",
    );
    let buckets = |count, max_distance| Buckets { count, max_distance, bidirectional: true };
    let table = TensorDesc::f32([32, 4]);
    for buckets in [buckets(31, 128), buckets(32, 8)] {
        check(
            std::slice::from_ref(&table),
            &|v| vec![Score::buckets(v[0], buckets)],
            ErrorKind::Argument,
            "attention/blocked: buckets",
        );
    }
    check(
        &[table],
        &|v| vec![Score::buckets(v[0], buckets(16, 128))],
        ErrorKind::Shape,
        "attention/blocked: buckets",
    );
    check(
        &[TensorDesc::f32([4])],
        &|v| vec![Score::adaptive_span(v[0], 0.0)],
        ErrorKind::Argument,
        "attention/blocked: adaptive_span.ramp",
    );
    check(
        &[TensorDesc::f32([10, 4, 16])],
        &|v| vec![Score::relative_keys(v[0], None, None, 0)],
        ErrorKind::Shape,
        "attention/blocked: relative_keys.keys",
    );
    check(
        &[TensorDesc::f32([12, 4, 8])],
        &|v| vec![Score::disentangled(Some(v[0]), None, 6)],
        ErrorKind::Shape,
        "attention/blocked: disentangled.keys",
    );
    check(
        &[],
        &|_| vec![Score::disentangled(None, None, 6)],
        ErrorKind::Argument,
        "attention/blocked: disentangled",
    );
    for (span, max_distance) in [(1, 40), (6, 4)] {
        check(
            &[TensorDesc::f32([2 * span as usize, 4, 16])],
            &|v| {
                let buckets = LogBuckets { span, max_distance };
                vec![Score::disentangled_in_buckets(Some(v[0]), None, buckets)]
            },
            ErrorKind::Argument,
            "attention/blocked: disentangled",
        );
    }
}

#[test]
fn relative_keys_without_rows_are_refused_though_the_mask_shows_no_distance() {
    let row = |time| TensorDesc::f32([1, time, 1, 8]);
    let descs = [row(16), row(20), row(20), TensorDesc::f32([0, 1, 8])];
    let error = refused(&descs, |graph, v| {
        let never = Mask::window(0, 0) & Mask::window(0, 0).aligned(Alignment::TopLeft);
        let spec = Blocked::new().mask(never).score(Score::relative_keys(v[3], None, None, 0));
        blocked(graph, v[0], v[1], v[2], &spec)
    });
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Shape, "relative_keys.keys"), "{error}");
}

#[test]
fn layouts_and_lists_that_make_no_sense_are_refused() {
    for entries in [&[[0, 1, 2], [0, 0, 0], [0, 1, 2]][..], &[[0, 2, 0]]] {
        let error = BlockLayout::from_entries(8, [1, 2, 3], entries).unwrap_err();
        assert_error(&error, ErrorKind::Argument, "attention rule: layout");
    }
    let error = BlockLayout::new(8, [1, 2, 3], vec![true; 5]).unwrap_err();
    assert_error(&error, ErrorKind::Shape, "attention rule: layout");
    assert!(BlockLayout::new(0, [1, 1, 1], vec![true]).is_err());
    assert!(BlockLayout::new(1, [usize::MAX, 2, 1], Vec::new()).is_err());

    let tokens = |lists: &[Vec<usize>]| global_tokens(lists, 10).map(|tensor| tensor.to_f64());
    assert_eq!(tokens(&[vec![3], vec![], vec![0, 9]]).unwrap(), [3.0, -1.0, -1.0, -1.0, 0.0, 9.0]);
    for (lists, place) in [
        (&[vec![], vec![10]][..], "attention rule: globals of item 1"),
        (&[vec![4, 4]], "attention rule: globals of item 0"),
    ] {
        assert_error(&tokens(lists).unwrap_err(), ErrorKind::Argument, place);
    }
}

#[test]
fn big_bird_sees_what_it_says_and_draws_again_alike() {
    let spec = BigBird { block_size: 4, window_blocks: 3, global_blocks: 1, random_blocks: 2, seed: 5 };
    let layout = spec.layout(3, 62).unwrap();
    assert_eq!(layout.shape(), [3, 16, 16]);
    assert_eq!(layout, spec.layout(3, 62).unwrap());
    assert_ne!(layout, BigBird { seed: 6, ..spec }.layout(3, 62).unwrap());
    for head in 0..3 {
        for query in 0..16 {
            let seen: Vec<usize> = (0..16).filter(|&key| layout.meets(head, query, key)).collect();
            let near = (0..16usize).filter(|&key| key == 0 || key == 15 || key.abs_diff(query) <= 1);
            let expected = if query == 0 || query == 15 { 16 } else { near.clone().count() + 2 };
            assert_eq!(seen.len(), expected, "head {head}, block {query}");
            assert!(near.clone().all(|key| seen.contains(&key)));
        }
    }
    let heads: Vec<Vec<bool>> =
        (0..3).map(|head| (0..256).map(|pair| layout.meets(head, pair / 16, pair % 16)).collect()).collect();
    assert!(heads[0] != heads[1] && heads[1] != heads[2], "heads draw blocks of their own");
}

#[test]
fn slopes_and_buckets_are_those_of_the_papers() {
    assert_eq!(alibi_slopes(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
    // Four heads of a power of two, then every other slope of eight.
    assert_eq!(alibi_slopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]);
    // Computed with Hugging Face's T5 (32 buckets, 128 at most, bidirectional), by relative position.
    let buckets = Buckets { count: 32, max_distance: 128, bidirectional: true };
    let of = |relative: i64| buckets.of(-relative);
    assert_eq!([-200i64, -128, -127, -64, -20, -8, -7, -1, 0].map(of), [15, 15, 15, 14, 10, 8, 7, 1, 0]);
    assert_eq!([1i64, 7, 8, 12, 20, 64, 127, 128].map(of), [17, 23, 24, 25, 26, 30, 31, 31]);
}

/// Attention of random queries `[2, query_time, 4, 16]` and keys of 2 heads under a mask, on the device and on the CPU reference; none
/// where the mask contradicts itself. `starts` say where the queries of both items begin.
fn both(
    [query_time, key_time]: [usize; 2],
    seed: u64,
    mask: Mask,
    starts: Option<[i32; 2]>,
) -> Option<[HostTensor; 2]> {
    let mut random = Random::new(seed);
    let mut graph = Graph::new();
    let tensors = [[query_time, 4], [key_time, 2], [key_time, 2]].map(|[time, heads]| {
        let elements = (0..2 * time * heads * 16).map(|_| random.next_f32()).collect();
        HostTensor::f32([2, time, heads, 16], elements).unwrap()
    });
    let inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v"].into_iter().zip(&tensors).collect();
    let v: Vec<Value> =
        inputs.iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()).collect();
    let mut spec = Blocked::new().mask(mask);
    if let Some(starts) = starts {
        let starts = HostTensor::i32([2], starts.to_vec()).unwrap();
        spec = spec.query_start(ops::constant(&mut graph, starts).unwrap());
    }
    let out = match blocked(&mut graph, v[0], v[1], v[2], &spec) {
        Ok(out) => out,
        Err(error) => {
            assert_eq!(error.argument(), "mask", "{error}");
            return None;
        }
    };
    graph.output("out", out).unwrap();
    Some([run(&graph, &inputs), cpu::run(&graph, &inputs).unwrap()].map(|outputs| outputs["out"].clone()))
}

fn any_rule() -> impl Strategy<Value = Mask> {
    let leaf = prop_oneof![
        Just(Mask::causal()),
        Just(Mask::window(7, 3)),
        Just(Mask::strided(12)),
        Just(Mask::fixed(20, 3)),
        Just(Mask::dilated_window(3, [5])),
        Just(Mask::dilated_window(2, [1, 2, 3, 9])),
        Just(Mask::block_diagonal(20)),
        Just(Mask::prefix(11)),
        Just(Mask::log_sparse(LogSparse { local: 3, restart: Some(40) })),
        Just(Mask::causal().aligned(Alignment::TopLeft)),
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a & b),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a | b),
            inner.prop_map(|a| !a),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn combined_rules_show_what_their_references_show(
        mask in any_rule(),
        times in [1usize..150, 1usize..150],
        starts in prop::option::of([-160i32..310, -160i32..310]),
        seed: u64,
    ) {
        if let Some([device, reference]) = both(times, seed, mask, starts) {
            // Rows without keys among them, and perhaps nothing else.
            let largest = reference.to_f32().into_iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
            let agree = match largest {
                0.0 => device == reference,
                _ => relative_error(&device, &reference) < F32_OF_LARGEST,
            };
            prop_assert!(agree);
        }
    }

    #[test]
    fn a_layout_is_the_dense_mask_of_its_blocks(pairs in prop::collection::vec(any::<bool>(), 2 * 49), seed: u64) {
        let layout = BlockLayout::new(16, [2, 7, 7], pairs).unwrap();
        let mut graph = Graph::new();
        let dense: Vec<i32> = (0..2 * 100 * 100)
            .map(|at| i32::from(layout.meets(at / 10_000, at / 100 % 100 / 16, at % 100 / 16)))
            .collect();
        let dense = ops::constant(&mut graph, HostTensor::i32([1, 2, 100, 100], dense).unwrap()).unwrap();
        let mut random = Random::new(seed);
        let x = HostTensor::f32([1, 100, 2, 16], (0..3200).map(|_| random.next_f32()).collect()).unwrap();
        let q = graph.input("x", x.desc()).unwrap();
        // Whatever it draws, some pair is there.
        let own = Mask::block_diagonal(16);
        for (name, mask) in [("blocks", Mask::blocks(layout)), ("dense", Mask::dense(dense))] {
            let out = blocked(&mut graph, q, q, q, &Blocked::new().mask(mask | own.clone())).unwrap();
            graph.output(name, out).unwrap();
        }
        let (outputs, reference) = (run(&graph, &[("x", &x)]), cpu::run(&graph, &[("x", &x)]).unwrap());
        for name in ["blocks", "dense"] {
            prop_assert!(relative_error(&outputs[name], &reference["dense"]) < F32_OF_LARGEST);
        }
    }
}

#[test]
fn a_list_that_is_full_still_shows_everything() {
    // Far more runs than a list of a rule of users has room for.
    let rule = CustomMask::new(
        "comb",
        "fn comb(batch: u32, head: u32, query: i32, key: i32) -> bool { return key / 8 % 3 == 0; }
         fn comb_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool> {
             let some = (first_key / 8 % 3 == 0) || (last_key / 24 > first_key / 24);
             return vec2(some, (first_key / 8 % 3 == 0) && (first_key / 8 == last_key / 8));
         }",
        |pair| pair.key / 8 % 3 == 0,
    );
    let mask = Mask::custom(rule.unwrap().with_tiles().unwrap()) & Mask::prefix(7000);
    let [device, reference] = both([40, 7000], 3, mask, None).unwrap();
    assert!(relative_error(&device, &reference) < F32_OF_LARGEST);
}

const EXTENTS: Extents = Extents { batch: 1, query_time: 40, key_time: 50, heads: 2, kv_heads: 1 };

fn compare(mask: CustomMask) -> Result<()> {
    compare_custom_rule(context(), EXTENTS, move |_| Ok(Blocked::new().mask(Mask::custom(mask.clone()))))
}

#[test]
fn a_mask_of_users_is_held_to_its_reference() {
    let even = "fn even(batch: u32, head: u32, query: i32, key: i32) -> bool {\n    return (query + key) % 2 == 0;\n}";
    compare(CustomMask::new("even", even, |pair| (pair.query + pair.key) % 2 == 0).unwrap()).unwrap();

    let error = compare(CustomMask::new("even", even, |pair| pair.key % 2 == 0).unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "reference"));
    assert!(error.to_string().contains("times the budget"), "{error}");

    // A tile that says all of it is seen, where every other pair is not.
    let lying = "fn even_tile(batch: u32, head: u32, a: i32, b: i32, c: i32, d: i32) -> vec2<bool> { return vec2(true, true); }";
    let lying = CustomMask::new("even", format!("{even}\n{lying}"), |pair| (pair.query + pair.key) % 2 == 0);
    assert_eq!(compare(lying.unwrap().with_tiles().unwrap()).unwrap_err().argument(), "reference");
}

#[test]
fn what_does_not_compile_is_told_by_the_users_line_when_the_rule_is_made() {
    let told = |error: Error, found: &str| {
        let place = (error.kind(), error.op(), error.argument());
        assert_eq!(place, (ErrorKind::Shader, "attention rule", "custom rule `mine`"), "{error}");
        assert!(error.found().starts_with(found), "{error}");
    };
    let mask = |wgsl: &str, found: &str| told(CustomMask::new("mine", wgsl, |_| true).unwrap_err(), found);
    let signature = "fn mine(batch: u32, head: u32, query: i32, key: i32) -> bool {";
    mask(&format!("{signature}\n    let far = query - key;\n    return far < unknown;\n}}"), "line 3: ");
    mask(&format!("{signature}\n    return query - key;\n}}"), "line 2: ");
    mask(&format!("\n\n{signature}\n    return query < key\n}}"), "line 5: ");
    // The function is there, but takes something else.
    mask("fn mine(query: i32) -> bool { return true; }", "line 1: fn mine(query: i32) -> bool");
    mask("fn other() {}", "no function of that name");

    let rule = CustomMask::new("mine", format!("{signature} return true; }}"), |_| true).unwrap();
    let error = rule.with_tiles().unwrap_err();
    let expected = "fn mine_tile(batch: u32, head: u32, first_query: i32, last_query: i32, first_key: i32, last_key: i32) -> vec2<bool>";
    assert_eq!(error.expected(), expected);
    told(error, "no function of that name");

    let score = "fn mine(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 { return score; }";
    told(CustomScore::new("mine", signature, |_, score| score).unwrap_err(), "line 1: ");
    told(
        CustomScore::new("mine", score.replace("f32) -> f32", "i32) -> i32"), |_, x| x).unwrap_err(),
        "line 1: fn mine(",
    );
    let rule = CustomScore::new("mine", score, |_, score| score).unwrap();
    told(rule.with_slope(|_, _| 1.0).unwrap_err(), "no function of that name");

    for name in ["", "9th", "a b", "naïve"] {
        assert_eq!(CustomMask::new(name, "", |_| true).unwrap_err().kind(), ErrorKind::Argument);
    }
}

#[test]
fn a_score_of_users_without_a_slope_has_no_gradient() {
    let wgsl = "fn root(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 { return sqrt(abs(score)); }";
    let rule = move || CustomScore::new("root", wgsl, |_, score| score.abs().sqrt()).unwrap();
    compare_custom_rule(context(), EXTENTS, move |_| Ok(Blocked::new().score(Score::custom(rule()))))
        .unwrap();

    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 8, 2, 16])).unwrap();
    let out = blocked(&mut graph, x, x, x, &Blocked::new().score(Score::custom(rule()))).unwrap();
    let sum = ops::sum(&mut graph, out, &[0, 1, 2, 3]).unwrap();
    let loss = ops::reshape(&mut graph, sum, [1]).unwrap();
    assert_error(
        &graph.gradients(loss, &[x]).unwrap_err(),
        ErrorKind::NotDifferentiable,
        "attention/blocked: custom rule `root`",
    );
    // Two rules under one name would be one function.
    let twice = refusal(&[], |_| Blocked::new().score(Score::custom(rule())).score(Score::custom(rule())));
    assert_error(&twice, ErrorKind::Argument, "attention/blocked: custom rule");
}

/// A mask for sequences of a length.
type MaskOf = dyn Fn(&mut Graph, usize) -> Mask;

#[test]
fn memory_of_every_rule_grows_as_what_it_meets() {
    let working = |time: usize, mask: &MaskOf| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, time, 4, 64])).unwrap();
        let mask = mask(&mut graph, time);
        let out = blocked(&mut graph, x, x, x, &Blocked::new().mask(mask)).unwrap();
        graph.output("out", out).unwrap();
        Plan::new(&graph, &Caps::webgpu_default()).unwrap().memory().working as f64
    };
    let linear: [(&str, &MaskOf); 4] = [
        ("dilated", &|_, _| Mask::dilated_window(64, [2])),
        ("longformer", &|graph, _| {
            let globals = graph.input("globals", TensorDesc::i32([1, 4])).unwrap();
            Mask::longformer(128, globals)
        }),
        ("diagonal", &|_, _| Mask::block_diagonal(256)),
        ("prefix", &|_, _| Mask::causal() | Mask::prefix(100)),
    ];
    for (name, mask) in linear {
        let growth = working(32_768, mask) / working(8_192, mask);
        assert!(growth < 4.2, "{name} grows by {growth} over four times the length");
    }
    // A layout has a bit for each pair of blocks: an eighth of what its runs take, here.
    let big_bird =
        |_: &mut Graph, _: usize| Mask::big_bird(BigBird { random_blocks: 0, ..BigBird::default() });
    assert!(working(32_768, &big_bird) / working(8_192, &big_bird) < 4.6);
    // Distances grow by their logarithm; stripes are as many as there are strides.
    let log = |_: &mut Graph, _: usize| Mask::log_sparse(LogSparse::default());
    assert!(working(32_768, &log) / working(8_192, &log) < 5.0);
    let strided = |_: &mut Graph, time: usize| Mask::strided((time as f64).sqrt() as u32);
    assert!(working(65_536, &strided) / working(16_384, &strided) < 8.5);
}

#[test]
fn a_table_of_the_wrong_type_is_refused() {
    let error = refusal(&[TensorDesc::new(DType::F16, [16, 4])], |v| {
        Blocked::new()
            .score(Score::buckets(v[0], Buckets { count: 16, max_distance: 20, bidirectional: true }))
    });
    assert_error(&error, ErrorKind::Dtype, "attention/blocked: buckets");
}
