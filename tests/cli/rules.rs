//! Rules as JSON: files that must mean the same for ever, and what is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foveate::ops::attention::{
    Alignment, BigBird, BlockLayout, Blocked, Buckets, CustomMask, CustomScore, LogSparse, Mask,
    RuleDocument, Score,
};
use foveate::{ErrorKind, HostTensor, Result};

/// Every file of `tests/fixtures/rules`, by name.
pub(crate) fn golden() -> BTreeMap<String, PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// Layouts that golden files name.
fn layouts() -> BTreeMap<String, HostTensor> {
    let pairs = (0..4 * 5 * 5).map(|i| i32::from(i % 3 == 0)).collect();
    [("layout".to_owned(), HostTensor::i32([4, 5, 5], pairs).unwrap())].into()
}

#[test]
fn what_is_written_is_what_was_written() {
    let golden = golden();
    assert_eq!(golden.len(), 34);
    for (name, path) in golden {
        let document = RuleDocument::open(&path).unwrap();
        assert_eq!(document.to_json().unwrap(), std::fs::read_to_string(&path).unwrap(), "{name}");
        // Shorthands and names of layouts are gone once a rule is code; from there on nothing is lost.
        let plain = RuleDocument::of(&document.resolve(&layouts()).unwrap()).unwrap();
        let again = RuleDocument::parse("again", plain.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(again, plain, "{name}");
        assert_eq!(RuleDocument::of(&again.resolve(&BTreeMap::new()).unwrap()).unwrap(), plain, "{name}");
    }
}

/// The rule of a golden file, without shorthands.
fn plain(name: &str) -> RuleDocument {
    let document = RuleDocument::open(&golden()[name]).unwrap();
    RuleDocument::of(&document.resolve(&layouts()).unwrap()).unwrap()
}

#[test]
fn rules_that_no_oracle_has_mean_what_the_constructors_make() {
    let name = str::to_owned;
    let layout = BlockLayout::from_entries(8, [1, 5, 5], &[[0, 2, 1], [0, 4, 4]]).unwrap();
    let big_bird =
        BigBird { block_size: 8, window_blocks: 3, global_blocks: 1, random_blocks: 2, seed: u64::MAX };
    let top_left = Mask::block_diagonal(8)
        & Mask::log_sparse(LogSparse::default())
        & Mask::causal()
        & Mask::dilated_window(2, [2]);
    let mask = (Mask::full() & Mask::band(Some(5), None) & Mask::band(None, Some(2)) & !Mask::full())
        | Mask::dilated_window(4, [1, 2, 3, 4])
        | Mask::global_keys(name("positions"))
        | Mask::global_queries(name("others"))
        | Mask::blocks(layout)
        | Mask::block_diagonal(8)
        | Mask::big_bird(big_bird)
        | Mask::log_sparse(LogSparse { local: 3, restart: Some(16) })
        | top_left.aligned(Alignment::TopLeft);
    let spec = Blocked::new()
        .mask(mask)
        .score(Score::alibi(name("slopes")).aligned(Alignment::TopLeft))
        .score(Score::relative_keys(name("r"), None, None, 39))
        .score(Score::disentangled(None, Some(name("qr")), 6))
        .score(Score::disentangled(Some(name("kr")), None, 6))
        .score(Score::buckets(name("table"), Buckets { count: 8, max_distance: 20, bidirectional: false }));
    assert_eq!(plain("every_other"), RuleDocument::of(&spec).unwrap());
    let placed = Blocked::new().mask(Mask::causal()).score(Score::alibi(name("slopes")));
    assert_eq!(plain("query_start"), RuleDocument::of(&placed.query_start(name("starts"))).unwrap());
    assert_eq!(RuleDocument::open(&golden()["query_start"]).unwrap().tensors(), ["slopes", "starts"]);
    let tensors = ["positions", "others", "slopes", "r", "qr", "kr", "table"];
    assert_eq!(RuleDocument::open(&golden()["every_other"]).unwrap().tensors(), tensors);
}

#[test]
fn shorthands_mean_what_the_constructors_make() {
    let scaled = |mask| RuleDocument::of(&Blocked::new().mask(mask).scale(0.25)).unwrap();
    let pairs = layouts()["layout"].to_f64().iter().map(|&pair| pair != 0.0).collect();
    for (name, mask) in [
        ("sparse_strided", Mask::strided(8)),
        ("sparse_fixed", Mask::fixed(8, 2)),
        ("sparse_strided_in_parts", Mask::strided(8)),
        ("sparse_fixed_in_parts", Mask::fixed(8, 2)),
        ("globals", Mask::globals("globals".into())),
        ("longformer", Mask::longformer(4, "globals".into())),
        ("dilated", Mask::dilated_window(4, [3])),
        ("causal_top_left", Mask::causal().aligned(Alignment::TopLeft)),
        ("bigbird_blocks", Mask::blocks(BlockLayout::new(8, [4, 5, 5], pairs).unwrap())),
    ] {
        assert_eq!(plain(name), scaled(mask), "{name}");
    }
}

#[test]
fn serde_reads_what_serde_writes_and_refuses_what_parse_refuses() {
    let document = RuleDocument::open(&golden()["every_other"]).unwrap();
    let value = serde_json::to_value(&document).unwrap();
    assert_eq!(serde_json::from_value::<RuleDocument>(value).unwrap(), document);
    for json in [r#"{"version": 2}"#, r#"{"version": 1, "mask": {"any": []}}"#, r#"{"mask": "full"}"#] {
        assert!(serde_json::from_str::<RuleDocument>(json).is_err(), "{json}");
    }
}

#[test]
fn rules_that_are_code_have_no_json() {
    let refused = |spec: Blocked<String>, name: &str| {
        let error = RuleDocument::of(&spec).unwrap_err();
        let sentence = format!(
            "rule: custom rule `{name}`: expected a built-in rule, found one that is code, which JSON does not hold"
        );
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Unsupported, sentence));
    };
    let wgsl = "fn own(batch: u32, head: u32, query: i32, key: i32) -> bool { return true; }";
    let mask = CustomMask::new("own", wgsl, |_| true).unwrap();
    refused(Blocked::new().mask(Mask::causal() & !Mask::custom(mask)), "own");
    let wgsl = "fn other(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 { return score; }";
    let score = CustomScore::new("other", wgsl, |_, score| score).unwrap();
    refused(Blocked::new().score(Score::custom(score)), "other");
    let error = RuleDocument::of(&Blocked::new().scale(f32::NAN)).unwrap_err();
    assert_eq!(error.to_string(), "rule: scale: expected a finite number, found NaN");
}

#[test]
fn documents_that_mean_nothing_are_refused_with_their_place() {
    let refused = |json: &str, sentence: &str| {
        let error = RuleDocument::parse("r.json", json.as_bytes()).expect_err(json);
        assert_eq!(error.kind(), ErrorKind::Config, "{json}: {error}");
        assert!(error.to_string().starts_with(&format!("r.json: {sentence}")), "{json}: {error}");
    };
    refused("", "line 1, column 0: expected JSON, found the end of the text in a value");
    refused("{\n  nope}", "line 2, column 3: expected JSON, found `nope}` in place of a key in quotes");
    refused(
        r#"{"version": nope}"#,
        "line 1, column 14: expected JSON, found `nope}` in place of true, false or null",
    );
    refused(
        r#"{"a": 1 "b": 2}"#,
        r#"line 1, column 9: expected JSON, found `"b": 2}` in place of `,` or `}`"#,
    );
    refused("[1, ]", "line 1, column 5: expected JSON, found a comma behind the last of a list or an object");
    refused("{} 7", "line 1, column 4: expected JSON, found `7` behind the end of it");
    refused("[]", "document: expected an object, found a list of 0");
    refused("{", "line 1, column 1: expected JSON, found the end of the text in an object");
    refused("{}", "version: expected 1, found no such field");
    refused(r#"{"version": 2, "masks": 3}"#, "version: expected 1, found 2");
    refused(r#"{"version": "1"}"#, r#"version: expected 1, found the text "1""#);
    refused(r#"{"version": 1.0}"#, "version: expected 1, found 1.0");
    let masked =
        |mask: &str, sentence: &str| refused(&format!(r#"{{"version": 1, "mask": {mask}}}"#), sentence);
    masked("7", "line 1, column 24: expected a rule, found `7}` in place of a value");
    masked(
        r#""cuasal""#,
        "line 1, column 31: expected a rule, found unknown variant `cuasal`, expected one of `full`",
    );
    masked(
        r#"{"window": {"left": 1, "rigth": 2}}"#,
        "line 1, column 53: expected a rule, found unknown field `rigth`",
    );
    masked(r#"{"window": {"left": 1}}"#, "line 1, column 45: expected a rule, found missing field `right`");
    masked(
        r#"{"window": {"left": -1, "right": 0}}"#,
        "line 1, column 45: expected a rule, found invalid value: integer `-1`, expected u32",
    );
    masked(
        r#"{"prefix": 1.5}"#,
        "line 1, column 37: expected a rule, found invalid type: floating point `1.5`, expected u32",
    );
    masked(r#"{"prefix": 4294967296}"#, "line 1, column 44: expected a rule, found invalid value");
    masked(
        r#"{"lengths": 3}"#,
        "line 1, column 36: expected a rule, found invalid type: integer `3`, expected a string",
    );
    masked(r#"{"causal": null, "full": null}"#, "line 1, column ");
    masked(
        r#"{"window": {"left": 1, "left": 1, "right": 0}}"#,
        "line 1, column 52: expected a rule, found duplicate field `left`",
    );
    masked(r#"{"any": []}"#, "mask.any: expected at least one rule, found none");
    masked(
        r#"{"any": ["full", {"not": {"top_left": {"all": []}}}]}"#,
        "mask.any[1].not.top_left.all: expected at least one rule, found none",
    );
    masked(
        r#"{"dilated_window": {"half_width": 1, "dilations": []}}"#,
        "mask.dilated_window.dilations: expected one",
    );
    masked(
        r#"{"all": [{"globals": ""}]}"#,
        "mask.all[0].globals: expected the name of a tensor, found an empty text",
    );
    masked(
        r#"{"block_entries": {"block_size": 8, "shape": [1, 1000000000000, 1000000000000], "entries": []}}"#,
        "mask.block_entries.shape: expected at most 67108864 pairs of blocks, found [1, 1000000000000, 1000000000000]",
    );
    // By the names that are written, not those of the rules that they stand for.
    for (mask, sentence) in [
        (r#"{"strided": 0}"#, "mask.strided: expected at least 1, found 0"),
        (r#"{"block_diagonal": 0}"#, "mask.block_diagonal: expected at least 1, found 0"),
        (
            r#"{"not": {"fixed": {"stride": 0, "expressivity": 1}}}"#,
            "mask.not.fixed.stride: expected at least 1, found 0",
        ),
        (
            r#"{"fixed": {"stride": 8, "expressivity": 9}}"#,
            "mask.fixed.expressivity: expected 1 to 8, the stride, found 9",
        ),
        (
            r#"{"fixed": {"stride": 8, "expressivity": 0}}"#,
            "mask.fixed.expressivity: expected 1 to 8, the stride, found 0",
        ),
        (
            r#"{"columns": {"period": 8, "from": 8}}"#,
            "mask.columns.from: expected below 8, the period, found 8",
        ),
        (
            r#"{"dilated_window": {"half_width": 1, "dilations": [2, 0]}}"#,
            "mask.dilated_window.dilations: expected at least 1, found 0",
        ),
        (r#"{"log_sparse": {"local": 0}}"#, "mask.log_sparse.local: expected at least 1, found 0"),
        (
            r#"{"log_sparse": {"local": 1, "restart": 0}}"#,
            "mask.log_sparse.restart: expected at least 1, found 0",
        ),
        (
            r#"{"block_entries": {"block_size": 0, "shape": [1, 1, 1], "entries": []}}"#,
            "mask.block_entries.block_size: expected at least 1, found 0",
        ),
        (
            r#"{"blocks": {"block_size": 0, "layout": "l"}}"#,
            "mask.blocks.block_size: expected at least 1, found 0",
        ),
    ] {
        masked(mask, sentence);
    }
    // The place is told once.
    let twice = RuleDocument::parse("r.json", br#"{"version": 1, "mask": 7}"#).unwrap_err().to_string();
    assert_eq!(twice.matches("column").count(), 1, "{twice}");
    let many = vec![r#""causal""#; 65].join(", ");
    masked(&format!(r#"{{"any": [{many}]}}"#), "mask: expected at most 64 rules in all, found 66");
    masked(&format!("{}\"full\"{}", r#"{"not": "#.repeat(200), "}".repeat(200)), "line 1, column ");
    let scored =
        |score: &str, sentence: &str| refused(&format!(r#"{{"version": 1, "scores": [{score}]}}"#), sentence);
    scored(r#""alibi""#, "line 1, column ");
    scored(
        r#"{"adaptive_span": {"span": "z", "ramp": 1e39}}"#,
        "scores[0].adaptive_span.ramp: expected a finite number, found inf",
    );
    scored(
        r#"{"top_left": {"bias": ""}}"#,
        "scores[0].top_left.bias: expected the name of a tensor, found an empty text",
    );
    refused(r#"{"version": 1, "scale": 1e39}"#, "scale: expected a finite number, found inf");
    refused(
        r#"{"version": 1, "softcap": "3"}"#,
        "line 1, column 29: expected a rule, found invalid type: string",
    );
}

#[test]
fn layouts_that_do_not_fit_are_refused_with_their_place() {
    let json = br#"{"version": 1, "mask": {"not": {"blocks": {"block_size": 8, "layout": "l"}}}}"#;
    let document = RuleDocument::parse("r.json", json).unwrap();
    let refused = |tensor: Option<Result<HostTensor>>, kind: ErrorKind, sentence: &str| {
        let tensors = tensor.map(|tensor| ("l".to_owned(), tensor.unwrap())).into_iter().collect();
        let error = document.resolve(&tensors).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, sentence));
    };
    let expected = "rule: mask.not.blocks.layout: tensor `l`: expected i32 [heads or 1, query blocks, key blocks], found";
    refused(None, ErrorKind::Argument, &format!("{expected} no tensor of that name"));
    refused(
        Some(HostTensor::f32([1, 1, 1], vec![1.0])),
        ErrorKind::Dtype,
        &format!("{expected} f32 [1, 1, 1]"),
    );
    refused(Some(HostTensor::i32([1, 1], vec![1])), ErrorKind::Shape, &format!("{expected} i32 [1, 1]"));
}
