//! `run --task classify|label|answer|score`, against what is computed by hand from a model's scores, or from those of another
//! implementation; and what `inspect` says of such folders.

use std::fs;
use std::ops::Range;
use std::path::Path;

use foveate::DType;
use foveate::models::{Encoder, Item, Model, Task};
use foveate::runtime::Device;
use foveate::weights::Checkpoint;
use serde_json::{Value, json};

use crate::folders::{SPECIAL, empty, lettered, letters, model, oracle};
use crate::invoke::{assert_passes, assert_refuses, run, run_with_input};

const WORDS: [&str; 14] =
    ["the", "film", "##s", "kase", "was", "good", "bad", "is", "where", "what", "red", "?", ".", "and"];

/// How far probabilities of f32 models of one layer may lie apart.
const APART: f64 = 1e-4;

/// A BERT in a folder of its own with the head of `task`.
fn bert(name: &str, task: Task, more: Value) -> String {
    let vocabulary = [&SPECIAL[..], &WORDS].concat();
    let mut config = json!({
        "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 24, "vocab_size": vocabulary.len(),
        "type_vocab_size": 2,
    });
    let Value::Object(more) = more else { panic!("an object") };
    config.as_object_mut().unwrap().extend(more);
    model(&empty(&format!("tasks-{name}")), &config, task, &vocabulary)
}

/// The ids of tokens of [`bert`], with blanks between them.
fn ids(tokens: &str) -> Vec<u32> {
    let vocabulary = [&SPECIAL[..], &WORDS].concat();
    let id = |token: &str| vocabulary.iter().position(|known| *known == token).unwrap() as u32;
    tokens.split(' ').map(id).collect()
}

fn shown(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// What the library makes of a sequence on the CPU: the scores of `task`.
fn scores(folder: &str, task: Task, ids: &[u32], types: &[u32]) -> Vec<f64> {
    let model = Model::open(folder, task).unwrap();
    let mut encoder = Encoder::new(&model, &model.load(DType::F32).unwrap(), &Device::Cpu).unwrap();
    encoder.run_first(&[Item { types, ..Item::new(ids) }]).unwrap()[0].to_f64()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

/// `foveate run` with `--json -`.
fn report(arguments: &[&str]) -> Value {
    serde_json::from_str(&assert_passes(&run(&[&["run"], arguments, &["--json", "-"]].concat()))).unwrap()
}

/// Demands the labels and scores of `expected`, likeliest first.
#[track_caller]
fn assert_labels(found: &Value, expected: &[(&str, f64)]) {
    let mut expected = expected.to_vec();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, (label, score)) in found.iter().zip(expected) {
        assert_eq!(found["label"], label);
        let found = found["score"].as_f64().unwrap();
        assert!((found - score).abs() <= APART, "{label}: {found}, not {score}");
    }
}

const LABELS: [&str; 3] = ["nein", "ja", "vielleicht"];

fn three_labels(architecture: &str) -> Value {
    json!({
        "architectures": [architecture],
        "id2label": {"0": LABELS[0], "1": LABELS[1], "2": LABELS[2]},
    })
}

#[test]
fn pairs_are_classified_by_their_types() {
    let folder = bert("pairs", Task::Classify, three_labels("BertForSequenceClassification"));
    let pair = ids("[CLS] the film ##s was good [SEP] the kase is bad [SEP]");
    let types = [vec![0; 7], vec![1; 5]].concat();
    let single = ids("[CLS] red film [SEP]");
    let expected = softmax(&scores(&folder, Task::Classify, &pair, &types));
    let untyped = softmax(&scores(&folder, Task::Classify, &pair, &[]));
    assert!((expected[0] - untyped[0]).abs() > 20.0 * APART, "types have an influence");
    let named = |scores: &[f64]| -> Vec<(&str, f64)> { LABELS.into_iter().zip(scores.to_vec()).collect() };
    for device in ["gpu", "cpu"] {
        let flags = [&folder, "--task", "classify", "--device", device];
        let texts = report(
            &[&flags[..], &["--text", "The films was good", "--pair", "the Käse is bad"], &["--top", "3"]]
                .concat(),
        );
        assert_eq!(texts["task"], "classify");
        let [result] = &texts["results"].as_array().unwrap()[..] else { panic!("{texts}") };
        assert_eq!(
            (&result["text"], &result["pair"]),
            (&json!("The films was good"), &json!("the Käse is bad"))
        );
        assert_eq!(result["tokens"], 12);
        assert_labels(&result["labels"], &named(&expected));
        let both = ["--ids", &shown(&pair), "--ids", &shown(&single)];
        let typed = ["--types", &shown(&types), "--types", "0 0 0 0"];
        let listed = report(&[&flags[..], &both[..], &typed[..]].concat());
        assert_labels(&listed["results"][0]["labels"], &named(&expected));
        let single = softmax(&scores(&folder, Task::Classify, &single, &[]));
        assert_labels(&listed["results"][1]["labels"], &named(&single));
        let listed = report(&[&flags[..], &both[..2]].concat());
        assert_labels(&listed["results"][0]["labels"], &named(&untyped));
    }
    let text = assert_passes(&run(&[
        "run", &folder, "--task", "classify", "--device", "cpu", "--text", "red", "--top", "1",
    ]));
    assert!(LABELS.iter().filter(|label| text.contains(&format!("{label} 0."))).count() == 1, "{text}");
}

#[test]
fn scores_are_what_the_kind_of_problem_makes_of_them() {
    let given = ids("[CLS] the film was red [SEP]");
    let mut several = three_labels("BertForSequenceClassification");
    several["problem_type"] = json!("multi_label_classification");
    let folder = bert("several", Task::Classify, several);
    let expected: Vec<f64> =
        scores(&folder, Task::Classify, &given, &[]).iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let flags = ["--task", "classify", "--device", "cpu", "--text", "the film was red"];
    let found = report(&[&[&folder[..]], &flags[..]].concat());
    let named: Vec<(&str, f64)> = LABELS.into_iter().zip(expected).collect();
    assert_labels(&found["results"][0]["labels"], &named);

    // Labels are numbers in folders of training examples whose data had such.
    let number = json!({"problem_type": "regression", "id2label": {"0": 7}});
    let folder = bert("regression", Task::Classify, number);
    let expected = scores(&folder, Task::Classify, &given, &[]);
    let output = std::env::temp_dir().join(format!("foveate-{}-tasks.safetensors", std::process::id()));
    let file = output.display().to_string();
    let found = report(&[&[&folder[..]], &flags[..], &["--output", &file]].concat());
    assert_labels(&found["results"][0]["labels"], &[("7", expected[0])]);
    let logits = Checkpoint::open(&output).unwrap();
    let logits = logits.tensor("logits").unwrap();
    assert_eq!(logits.shape(), [1, 1]);
    let logit = f32::from_le_bytes(logits.bytes().try_into().unwrap());
    assert!((f64::from(logit) - expected[0]).abs() <= APART);
    fs::remove_file(output).unwrap();
}

/// A tensor of an oracle as f64.
fn tensor(file: &Checkpoint, name: &str) -> Vec<f64> {
    let (words, _) = file.tensor(name).unwrap_or_else(|| panic!("{name}")).bytes().as_chunks::<4>();
    let is_float = file.tensor(name).unwrap().dtype() == "F32";
    let number = |word: &[u8; 4]| match is_float {
        true => f64::from(f32::from_le_bytes(*word)),
        false => f64::from(i32::from_le_bytes(*word)),
    };
    words.iter().map(number).collect()
}

/// The rows of `in.input_ids` of an oracle, without padding.
fn rows(file: &Checkpoint) -> Vec<Vec<u32>> {
    let [all, mask] = ["in.input_ids", "in.attention_mask"].map(|name| tensor(file, name));
    let time = file.tensor("in.input_ids").unwrap().shape()[1];
    let row = |(ids, mask): (&[f64], &[f64])| -> Vec<u32> {
        ids.iter().zip(mask).filter(|(_, mask)| **mask == 1.0).map(|(id, _)| *id as u32).collect()
    };
    all.chunks(time).zip(mask.chunks(time)).map(row).collect()
}

#[test]
fn classified_texts_have_the_scores_of_the_other_implementation() {
    let folder = oracle("longformer-seqcls");
    let file = Checkpoint::open(folder.join("io.safetensors")).unwrap();
    let logits = tensor(&file, "out.logits");
    let given: Vec<String> = rows(&file).iter().flat_map(|ids| ["--ids".to_owned(), shown(ids)]).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    for device in ["gpu", "cpu"] {
        let flags = [&folder.display().to_string(), "--task", "classify", "--device", device];
        let found = report(&[&flags[..], &given].concat());
        for (result, logits) in found["results"].as_array().unwrap().iter().zip(logits.chunks(3)) {
            let expected = softmax(logits);
            let names = ["LABEL_0", "LABEL_1", "LABEL_2"];
            assert_labels(&result["labels"], &names.into_iter().zip(expected).collect::<Vec<_>>());
        }
    }
}

#[test]
fn words_are_labelled_by_their_first_tokens() {
    let folder = bert("label", Task::Label, three_labels("BertForTokenClassification"));
    let given = ids("[CLS] the film ##s was kase ? [SEP]");
    let logits = scores(&folder, Task::Label, &given, &[]);
    let rows: Vec<Vec<f64>> = logits.chunks(3).map(softmax).collect();
    let text = "The films was Käse?";
    // Each word, its bytes, and its first token.
    let expected: [(&str, Range<usize>, usize); 5] =
        [("The", 0..3, 1), ("films", 4..9, 2), ("was", 10..13, 4), ("Käse", 14..19, 5), ("?", 19..20, 6)];
    assert_ne!(rows[2], rows[3], "the second token of a word has other scores");
    for device in ["gpu", "cpu"] {
        let found = report(&[&folder, "--task", "label", "--device", device, "--text", text]);
        let words = found["results"][0]["words"].as_array().unwrap();
        assert_eq!(words.len(), expected.len(), "{found}");
        for (word, (shown, at, token)) in words.iter().zip(&expected) {
            assert_eq!(
                (&word["text"], &word["at"]),
                (&json!(shown), &json!({"start": at.start, "end": at.end}))
            );
            let best = (0..3).max_by(|&a, &b| rows[*token][a].total_cmp(&rows[*token][b])).unwrap();
            assert_eq!(word["label"], LABELS[best], "{shown}");
            assert!((word["score"].as_f64().unwrap() - rows[*token][best]).abs() <= APART, "{word}");
        }
    }
    let printed =
        assert_passes(&run(&["run", &folder, "--task", "label", "--device", "cpu", "--text", text]));
    assert!(printed.contains("Käse (bytes 14 to 19)"), "{printed}");
}

/// The likeliest span of at most `most` tokens by the logits of starts and of ends, each among the tokens of a passage: its places there and
/// its probability.
fn best_span(logits: &[[f64; 2]], most: usize) -> (usize, usize, f64) {
    let [starts, ends] = [0, 1].map(|side| softmax(&logits.iter().map(|row| row[side]).collect::<Vec<_>>()));
    let spans = (0..logits.len())
        .flat_map(|start| (start..logits.len().min(start + most)).map(move |end| (start, end)));
    let best = spans.max_by(|a, b| (starts[a.0] * ends[a.1]).total_cmp(&(starts[b.0] * ends[b.1]))).unwrap();
    (best.0, best.1, starts[best.0] * ends[best.1])
}

#[test]
fn answers_are_the_likeliest_spans_of_their_passages() {
    let folder = bert("answer", Task::Answer, json!({"architectures": ["BertForQuestionAnswering"]}));
    let (question, passage) = ("Where is the film?", "The Käse was good. The films is bad");
    let given = ids("[CLS] where is the film ? [SEP] the kase was good . the film ##s is bad [SEP]");
    let types = [vec![0; 7], vec![1; 11]].concat();
    let logits: Vec<[f64; 2]> =
        scores(&folder, Task::Answer, &given, &types).chunks(2).map(|row| [row[0], row[1]]).collect();
    // The bytes of each token of the passage.
    let places = [0..3, 4..9, 10..13, 14..18, 18..19, 20..23, 24..28, 28..29, 30..32, 33..36];
    for device in ["gpu", "cpu"] {
        for most in ["1", "3", "15"] {
            let (start, end, score) = best_span(&logits[7..17], most.parse().unwrap());
            let flags = [&folder, "--task", "answer", "--device", device, "--longest-answer", most];
            let found = report(&[&flags[..], &["--text", question, "--pair", passage]].concat());
            let answer = &found["results"][0]["answer"];
            let at = places[start].start..places[end].end;
            assert_eq!(answer["text"], passage[at.clone()], "{found}");
            assert_eq!(answer["at"], json!({"start": at.start, "end": at.end}));
            assert!((answer["score"].as_f64().unwrap() - score).abs() <= APART, "{answer}: {score}");
        }
    }
    // Of a passage that is too long, nothing is left out unless that was asked for.
    let long = "the film was good. ".repeat(9);
    let flags = ["run", &folder, "--task", "answer", "--device", "cpu", "--text", question, "--pair", &long];
    assert_refuses(&run(&flags), &["--text 1: tokens: expected at most 24, found 53", "--truncate"]);
    let cut = run(&[&flags[..], &["--truncate", "--json", "-"]].concat());
    let cut: Value = serde_json::from_str(&assert_passes(&cut)).unwrap();
    let result = &cut["results"][0];
    assert_eq!((&result["tokens"], &result["truncated"]), (&json!(24), &json!(true)));
    assert!(result["answer"]["at"]["end"].as_u64() <= Some(70), "{result}");
}

#[test]
fn a_text_is_as_likely_as_the_other_implementation_finds_its_tokens() {
    let folder = oracle("gpt2").display().to_string();
    let file = Checkpoint::open(oracle("gpt2").join("io.safetensors")).unwrap();
    let logits = tensor(&file, "out.logits");
    let (time, vocabulary) = (17, 67);
    let named = lettered("gpt2", &empty("tasks-score"));
    for (row, given) in rows(&file).iter().enumerate() {
        let logs = (1..given.len()).map(|at| {
            let scores = &logits[(row * time + at - 1) * vocabulary..][..vocabulary];
            softmax(scores)[given[at] as usize].ln()
        });
        let expected: f64 = logs.sum();
        // Twice what the oracle's own scores may be off, for each token.
        let apart = given.len() as f64 * 2.0 * 1.3e-4;
        for device in ["gpu", "cpu"] {
            let flags = ["--task", "score", "--device", device];
            let listed = report(&[&[&folder[..]], &flags[..], &["--ids", &shown(given)]].concat());
            let text = report(&[&[&named[..]], &flags[..], &["--text", &letters(given)]].concat());
            for found in [&listed["results"][0], &text["results"][0]] {
                let log = found["log_likelihood"].as_f64().unwrap();
                assert!((log - expected).abs() <= apart, "{log}, not {expected}");
                let perplexity = (-log / (given.len() - 1) as f64).exp();
                assert!((found["perplexity"].as_f64().unwrap() - perplexity).abs() <= 1e-9 * perplexity);
            }
        }
    }
}

#[test]
fn inspect_names_the_tasks_that_work_and_what_they_leave_out() {
    let tasks = |folder: &str| -> Value {
        let report = assert_passes(&run(&["inspect", folder, "--json"]));
        serde_json::from_str::<Value>(&report).unwrap()["tasks"].clone()
    };
    for (name, expected) in [
        ("bert-mlm", &["embed", "hidden", "fill-mask"][..]),
        ("longformer-seqcls", &["embed", "hidden", "classify"]),
        ("gpt2", &["embed", "hidden", "score", "generate"]),
        ("t5-relu", &["embed", "hidden", "score", "generate"]),
        ("transfo-xl-div1", &["hidden", "score", "generate"]),
    ] {
        assert_eq!(tasks(&oracle(name).display().to_string()), json!(expected), "{name}");
    }
    for (name, task) in [("label", Task::Label), ("answer", Task::Answer)] {
        let folder = bert(&format!("inspect-{name}"), task, json!({}));
        assert_eq!(tasks(&folder), json!(["embed", "hidden", name]));
        let report = assert_passes(&run(&["inspect", &folder, "--task", name]));
        assert!(report.contains("weights       complete") && report.contains("memory"), "{report}");
    }
    let folder = oracle("longformer-seqcls").display().to_string();
    let text = assert_passes(&run(&["inspect", &folder]));
    for part in ["can be used   for embed, hidden, classify", "ignored classifier.out_proj.weight"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    for (name, more) in [("transfo-xl-div1", &[][..]), ("t5-relu", &["--task", "score"])] {
        let folder = oracle(name).display().to_string();
        let text = assert_passes(&run(&[&["inspect", &folder], more].concat()));
        assert!(text.contains("weights       complete") && !text.contains("memory"), "{text}");
    }
    // What is too large to be planned does not keep the rest from being told.
    let huge = bert("inspect-huge", Task::Hidden, json!({}));
    let path = Path::new(&huge).join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["vocab_size"] = json!(1 << 24);
    config["hidden_size"] = json!(1 << 16);
    config["num_attention_heads"] = json!(1 << 12);
    fs::write(&path, config.to_string()).unwrap();
    let output = run(&["inspect", &huge]);
    assert_refuses(&output, &["elements: expected at most 4294967295"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("misshapen"));
    let refused = run(&["inspect", &oracle("bert-mlm").display().to_string(), "--task", "score"]);
    assert_refuses(&refused, &["--task score: expected a causal language model, found bert"]);
}

#[test]
fn tasks_that_a_folder_cannot_do_are_refused() {
    let refused = |folder: &Path, task: &str, parts: &[&str]| {
        let folder = folder.display().to_string();
        let output = run(&["run", &folder, "--task", task, "--device", "cpu", "--ids", "5 6"]);
        assert_refuses(&output, parts);
    };
    refused(
        &oracle("bert-mlm"),
        "classify",
        &["task: expected", "BertForMaskedLM", "found classify", "foveate inspect"],
    );
    refused(&oracle("longformer-seqcls"), "fill-mask", &["task: expected classify", "found logits"]);
    refused(&oracle("bert-mlm"), "score", &["--task score: expected a causal language model, found bert"]);
    refused(
        &oracle("gpt2"),
        "fill-mask",
        &["--task fill-mask: expected a model that sees both sides", "found gpt2"],
    );
    refused(&oracle("gpt2"), "label", &["task: expected logits", "GPT2LMHeadModel", "found label"]);
    for (name, family) in [("t5-relu", "t5"), ("transfo-xl-div1", "transfo-xl")] {
        let found = format!("expected a model that sees both sides of a word, found {family}");
        refused(&oracle(name), "fill-mask", &["--task fill-mask", &found]);
    }
    refused(&oracle("t5-relu"), "classify", &["task: expected", "found classify"]);
    refused(&oracle("transfo-xl-div1"), "embed", &["task: expected one of transfo-xl's", "found embed"]);
    // Nothing says that it has a head, and it has none.
    let plain = bert("headless", Task::Hidden, json!({}));
    refused(Path::new(&plain), "classify", &["what the model declares", "found differences"]);
}

#[test]
fn inputs_that_do_not_fit_the_task_are_refused_by_name() {
    let [classify, label, answer] = [
        ("refused-classify", Task::Classify),
        ("refused-label", Task::Label),
        ("refused-answer", Task::Answer),
    ]
    .map(|(name, task)| (task.name(), bert(name, task, json!({}))));
    let gpt = lettered("gpt2", &empty("tasks-refused-score"));
    let refused = |(task, folder): &(&str, String), given: &[&str], parts: &[&str]| {
        let flags = ["run", folder, "--task", task, "--device", "cpu"];
        assert_refuses(&run(&[&flags[..], given].concat()), parts);
    };
    refused(&label, &["--ids", "5 6"], &["--ids 1: --ids: expected --text", "found ids"]);
    refused(&label, &["--text", "red", "--pair", "red"], &["run: --pair: expected none", "label", "found 1"]);
    refused(&("score", gpt), &["--text", "AB", "--pair", "AB"], &["run: --pair: expected none", "score"]);
    refused(&answer, &["--text", "red"], &["--text 1: --pair: expected the passage", "found none"]);
    refused(&answer, &["--ids", "5 6"], &["--ids 1: --ids: expected --text"]);
    refused(&answer, &["--text", "red", "--pair", " "], &["--text 1: text: expected words"]);
    refused(&classify, &["--pair", "red"], &["required arguments"]);
    refused(
        &classify,
        &["--text", "red", "--text", "bad", "--pair", "red"],
        &["run: --pair: expected 2, one for each --text, found 1"],
    );
    refused(
        &classify,
        &["--ids", "5", "--types", "0", "--types", "0"],
        &["run: --types: expected 1, one for each --ids"],
    );
    refused(
        &classify,
        &["--ids", "5 6", "--types", "0"],
        &["--ids 1: types: expected 2, one a token, found 1"],
    );
    refused(
        &classify,
        &["--ids", "5 6", "--types", "0 2"],
        &["--ids 1: type 1: expected a type below 2", "found 2"],
    );
    refused(
        &classify,
        &["--ids", "5 6", "--types", "0 x"],
        &["--types 1: types: expected types", "found \"x\""],
    );
    refused(&classify, &["--ids", "5 99"], &["--ids 1: token 1: expected an id below 19", "found 99"]);
    refused(&classify, &["--ids", "5 4294967296"], &["--ids 1: ids", "4294967296"]);
    let piped = run_with_input(&["run", &answer.1, "--task", "answer", "--device", "cpu"], b"red\n");
    assert_refuses(&piped, &["stdin line 1: --pair: expected the passage"]);
}

#[test]
fn nonsensical_labels_are_refused_where_they_are_needed_alone() {
    for (labels, parts) in [
        (json!({"id2label": {"0": "a", "2": "b"}}), ["id2label.1", "no such field"]),
        (json!({"id2label": {"0": "a", "1": "b"}, "num_labels": 3}), ["num_labels: expected 2", "found 3"]),
        (json!({"id2label": {"0": ["a"], "1": "b"}}), ["id2label.0", "a list of 1"]),
        (json!({"num_labels": 0}), ["num_labels", "found 0"]),
        (json!({"num_labels": "two"}), ["num_labels", "found `two`"]),
        (json!({"problem_type": "ranking"}), ["problem_type", "found `ranking`"]),
        // More or fewer than the head has.
        (json!({"num_labels": 3}), ["what the model declares", "misshapen classifier"]),
    ] {
        let folder = bert("nonsense", Task::Classify, json!({}));
        let path = Path::new(&folder).join("config.json");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let Value::Object(labels) = labels else { panic!("an object") };
        config.as_object_mut().unwrap().extend(labels);
        fs::write(&path, config.to_string()).unwrap();
        let flags =
            |task| ["run", &folder, "--task", task, "--device", "cpu", "--text", "red"].map(str::to_owned);
        let run = |task| run(&flags(task).each_ref().map(String::as_str));
        let output = run("classify");
        let stderr = crate::invoke::stderr(&output);
        assert_refuses(&output, &[]);
        parts.iter().for_each(|part| assert!(stderr.contains(part), "`{part}` is not in: {stderr}"));
        assert_passes(&run("embed"));
    }
}

#[test]
fn a_run_that_fails_leaves_files_as_they_were() {
    let folder = bert("files", Task::Classify, json!({}));
    let out = empty("tasks-files-out");
    let [old, new] = ["old.json", "new.npy"].map(|name| out.join(name));
    fs::write(&old, "old").unwrap();
    let [old_path, new_path] = [&old, &new].map(|path| path.display().to_string());
    let flags =
        ["run", &folder, "--task", "classify", "--text", "red", "--json", &old_path, "--output", &new_path];
    assert_refuses(&run(&[&flags[..], &["--device", "no adapter is called this"]].concat()), &["no adapter"]);
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing else came to be");
    assert_passes(&run(&[&flags[..], &["--device", "cpu"]].concat()));
    assert!(fs::read_to_string(&old).unwrap().contains("\"labels\"") && new.exists());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    #[cfg(unix)]
    {
        // A link stays one.
        let link = out.join("link.json");
        std::os::unix::fs::symlink(&old, &link).unwrap();
        fs::write(&old, "x".repeat(100_000)).unwrap();
        let link_path = link.display().to_string();
        let flags =
            ["run", &folder, "--task", "classify", "--text", "red", "--device", "cpu", "--json", &link_path];
        assert_passes(&run(&flags));
        assert!(link.symlink_metadata().unwrap().is_symlink());
        serde_json::from_str::<Value>(&fs::read_to_string(&old).unwrap()).unwrap();
        assert_passes(&run(&[&flags[..9], &["/dev/null"]].concat()));
    }
}
