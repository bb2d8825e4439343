//! `foveate train` on models' folders, as a user meets it: what it learns, what it writes, and what it refuses.

use std::fs;
use std::path::Path;

use foveate::Random;
use foveate::models::Task;
use foveate::weights::Checkpoint;
use serde_json::{Value, json};

use crate::folders::{SPECIAL, empty, model};
use crate::invoke::{assert_passes, assert_refuses, run, stderr, told_of_signals};

pub(crate) const GOOD: [&str; 4] = ["good", "great", "fine", "lovely"];
pub(crate) const BAD: [&str; 4] = ["bad", "awful", "poor", "dreadful"];
pub(crate) const OTHERS: [&str; 8] = ["the", "a", "film", "book", "was", "is", "very", "##s"];

pub(crate) fn bert(folder: &Path) -> String {
    let vocabulary = [&SPECIAL[..], &GOOD, &BAD, &OTHERS].concat();
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16,
        "vocab_size": vocabulary.len(), "type_vocab_size": 2,
    });
    model(folder, &config, Task::Hidden, &vocabulary)
}

/// A GPT-2 of the letters from a to h.
pub(crate) fn gpt2(folder: &Path) -> String {
    let vocabulary = ["<unk>", "a", "b", "c", "d", "e", "f", "g", "h"];
    let config = json!({
        "model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32,
        "vocab_size": vocabulary.len(),
    });
    model(folder, &config, Task::Logits, &vocabulary)
}

/// Sentences, each with a word that says which label it has.
pub(crate) fn sentences(count: usize) -> Vec<(String, &'static str)> {
    let mut random = Random::new(5);
    let mut any = |words: &[&'static str]| words[random.next_below(words.len())];
    (0..count)
        .map(|i| {
            let (words, label) = if i % 2 == 0 { (GOOD, "praise") } else { (BAD, "blame") };
            let (article, thing, verb) = (any(&OTHERS[..2]), any(&OTHERS[2..4]), any(&OTHERS[4..6]));
            (format!("{article} {thing} {verb} {}", any(&words)), label)
        })
        .collect()
}

pub(crate) fn csv(path: &Path, rows: &[(String, &str)]) -> String {
    let lines: Vec<String> = rows.iter().map(|(text, label)| format!("{label},\"{text}\"")).collect();
    fs::write(path, format!("label,text\n{}\n", lines.join("\n"))).unwrap();
    path.display().to_string()
}

/// The numbers behind `name` in the lines of the evaluations.
pub(crate) fn numbers(printed: &str, name: &str) -> Vec<f64> {
    let after = |line: &str| {
        let (_, validation) = line.split_once("validation ")?;
        let (_, rest) = validation.split_once(&format!("{name} "))?;
        rest.split([',', ' ']).next()?.parse().ok()
    };
    printed.lines().filter_map(after).collect()
}

pub(crate) const FAST: [&str; 8] = ["--lr", "0.01", "--batch", "8", "--dropout", "0", "--epochs", "6"];

#[test]
fn a_classifier_learns_its_labels_and_its_folder_opens() {
    let folder = empty("fine-tune-classify");
    let (from, data) = (bert(&folder.join("bert")), csv(&folder.join("data.csv"), &sentences(60)));
    let generation = r#"{"eos_token_id": [3, 5]}"#;
    fs::write(Path::new(&from).join("generation_config.json"), generation).unwrap();
    for device in ["gpu", "cpu"] {
        let out = folder.join(format!("out-{device}")).display().to_string();
        let arguments = ["train", "classify", &from, &data, "--out", &out, "--device", device];
        let output = run(&[&arguments[..], &FAST].concat());
        let printed = assert_passes(&output);
        assert_eq!(numbers(&printed, "accuracy").last(), Some(&1.0), "{printed}");
        assert_eq!(numbers(&printed, "macro F1").last(), Some(&1.0), "{printed}");
        let losses = numbers(&printed, "loss");
        assert!(losses.len() == 7 && losses[6] < 0.1 && losses[0] > 0.5, "{printed}");
        assert!(stderr(&output).contains("fresh weights"), "{}", stderr(&output));

        let written = fs::read_to_string(Path::new(&out).join("config.json")).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written["architectures"], json!(["BertForSequenceClassification"]));
        assert_eq!(written["id2label"], json!({"0": "blame", "1": "praise"}));
        assert_eq!(written["label2id"], json!({"blame": 0, "praise": 1}));
        let kept = fs::read_to_string(Path::new(&out).join("generation_config.json")).unwrap();
        assert_eq!(kept, generation);
        let names = Checkpoint::open(&out).unwrap();
        assert!(names.tensor("bert.embeddings.word_embeddings.weight").is_some());
        assert!(!Path::new(&format!("{out}.unfinished")).exists());

        let texts = ["--text", "a book was lovely", "--text", "a book was dreadful"];
        let told = ["run", &out, "--task", "classify", "--json", "-", "--device", device];
        let told: Value = serde_json::from_str(&assert_passes(&run(&[&told[..], &texts].concat()))).unwrap();
        for (result, label) in [(0, "praise"), (1, "blame")] {
            let best = &told["results"][result]["labels"][0];
            assert_eq!(best["label"], label, "{told}");
            assert!(best["score"].as_f64() > Some(0.7), "{told}");
        }
    }
    // What is written can be trained on, with the labels that it has.
    let (again, out) = (folder.join("again").display().to_string(), folder.join("out-cpu"));
    let arguments = [
        "train",
        "classify",
        &out.display().to_string(),
        &data,
        "--out",
        &again,
        "--device",
        "cpu",
        "--epochs",
        "1",
    ];
    let output = run(&arguments);
    assert_eq!(numbers(&assert_passes(&output), "accuracy")[0], 1.0);
    assert!(!stderr(&output).contains("fresh weights"), "{}", stderr(&output));
}

#[test]
fn pairs_in_json_lines_and_tabs_are_told_apart() {
    let folder = empty("fine-tune-pairs");
    let from = bert(&folder.join("bert"));
    // Which of two texts has the good word: both have the same words, so that only their places and types tell.
    let rows: Vec<(&str, &str, i32)> =
        GOOD.iter().flat_map(|good| BAD.map(|bad| [(*good, bad, 1), (bad, *good, 0)])).flatten().collect();
    let json: Vec<String> = rows
        .iter()
        .map(|(text, pair, label)| json!({"text": text, "pair": pair, "label": label}).to_string())
        .collect();
    let tabs: Vec<String> =
        rows.iter().map(|(text, pair, label)| format!("{text}\t{label}\t{pair}")).collect();
    let (jsonl, tsv) = (folder.join("data.jsonl"), folder.join("data.tsv"));
    fs::write(&jsonl, json.join("\n")).unwrap();
    fs::write(&tsv, format!("text\tlabel\tpair\n{}\n", tabs.join("\n"))).unwrap();
    let train = |data: &Path, out: &str, epochs: &str| {
        let out = folder.join(out).display().to_string();
        let data = data.display().to_string();
        let more = ["--validation", &data, "--epochs", epochs, "--warm-up", "10", "--decay", "constant"];
        let arguments = ["train", "classify", &from, &data, "--out", &out, "--device", "cpu"];
        assert_passes(&run(&[&arguments[..], &FAST[..6], &more].concat()))
    };
    let (printed, same) = (train(&jsonl, "from-json", "15"), train(&tsv, "from-tabs", "2"));
    assert_eq!(numbers(&printed, "accuracy").last(), Some(&1.0), "{printed}");
    let losses = |printed: &str| numbers(printed, "loss");
    assert_eq!(losses(&printed)[..3], losses(&same), "the same rows in another format");
}

#[test]
fn accumulated_half_and_recomputed_batches_learn_as_well() {
    let folder = empty("fine-tune-settings");
    let (from, data) = (bert(&folder.join("bert")), csv(&folder.join("data.csv"), &sentences(60)));
    let settings = [
        &["--accumulate", "2", "--batch", "4", "--recompute", "1", "--dropout", "0.1"][..],
        &["--dtype", "f16", "--batch", "8", "--clip", "0", "--decay", "constant"],
    ];
    for (i, more) in settings.iter().enumerate() {
        let out = folder.join(format!("out-{i}")).display().to_string();
        let arguments = ["train", "classify", &from, &data, "--out", &out, "--device", "cpu"];
        let printed =
            assert_passes(&run(&[&arguments[..], &["--lr", "0.01", "--epochs", "5"], more].concat()));
        assert_eq!(numbers(&printed, "accuracy").last(), Some(&1.0), "{printed}");
    }
}

#[test]
fn masked_words_are_learnt_and_the_folder_fills_masks() {
    let folder = empty("fine-tune-fill-mask");
    let from = bert(&folder.join("bert"));
    let data = folder.join("data.txt");
    // Texts of 6 and of 16 tokens, so that batches have two lengths.
    let long = "the film is good ".repeat(3) + "a book\n";
    fs::write(&data, format!("the film is good\n\na book was bad\n{long}").repeat(16)).unwrap();
    // The same texts in a column beside another.
    let columns = folder.join("data.csv");
    let rows = fs::read_to_string(&data)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| format!("1,{line}\n"))
        .collect::<String>();
    fs::write(&columns, format!("number,text\n{rows}")).unwrap();
    for (device, data) in [("gpu", &data), ("cpu", &columns)] {
        let data = data.display().to_string();
        let out = folder.join(format!("out-{device}")).display().to_string();
        let arguments = ["train", "fill-mask", &from, &data, "--out", &out, "--device", device];
        let printed = assert_passes(&run(&[&arguments[..], &FAST].concat()));
        let losses = numbers(&printed, "loss");
        assert!(losses.len() == 7 && losses[6] < 0.5 * losses[0], "{printed}");
        let filled = ["run", &out, "--task", "fill-mask", "--text", "the film is [MASK]", "--device", device];
        let printed = assert_passes(&run(&filled));
        assert!(printed.contains("filled: the film is good"), "{printed}");
    }
}

#[test]
fn a_language_model_goes_on_with_what_it_was_trained_on() {
    let folder = empty("fine-tune-lm");
    let from = gpt2(&folder.join("gpt2"));
    let text = folder.join("text.txt");
    // Windows of 13 begin with every letter, so that places alone tell nothing.
    fs::write(&text, "abcdefgh".repeat(100)).unwrap();
    let text = text.display().to_string();
    for device in ["gpu", "cpu"] {
        let out = folder.join(format!("out-{device}")).display().to_string();
        let arguments =
            ["train", "lm", &from, &text, "--out", &out, "--device", device, "--max-tokens", "13"];
        let printed = assert_passes(&run(&[&arguments[..], &FAST].concat()));
        let perplexities = numbers(&printed, "perplexity");
        assert!(perplexities[0] > 5.0 && perplexities[6] < 1.3, "{printed}");
        let generate =
            ["generate", &out, "--prompt", "cde", "--tokens", "6", "--temperature", "0", "--device", device];
        assert_eq!(assert_passes(&run(&generate)), "cdefghabc\n");
    }
    // A file of rows is its texts, not its markup.
    let losses = |name: &str, contents: &str| {
        let data = folder.join(name);
        fs::write(&data, contents).unwrap();
        let (data, out) =
            (data.display().to_string(), folder.join(format!("of-{name}")).display().to_string());
        let arguments = ["train", "lm", &from, &data, "--out", &out, "--device", "cpu", "--epochs", "1"];
        numbers(&assert_passes(&run(&arguments)), "perplexity")
    };
    let letters = "abcdefgh".repeat(20);
    let alone = losses("alone.txt", &letters);
    assert_eq!(losses("rows.csv", &format!("title,text\nh,{letters}\n")), alone);
    assert_eq!(losses("rows.jsonl", &json!({"text": letters, "title": "h"}).to_string()), alone);
    let foreign = run(&["train", "lm", &from, &text, "--out", "x", "--width", "8"]);
    assert_refuses(&foreign, &["--width", "a folder before it"]);
    let cut = run(&["train", "lm", &from, &text, "--out", "x", "--truncate"]);
    assert_refuses(&cut, &["train: --truncate: expected none, as a text is cut into windows"]);
    assert_refuses(&run(&["train", "lm", &from, &text]), &["--out"]);
    assert_refuses(&run(&["train", "lm", &text, "--epochs", "2"]), &["--epochs", "a text alone"]);
}

#[test]
fn rows_that_do_not_fit_are_named_by_their_lines() {
    let folder = empty("fine-tune-rows");
    let from = bert(&folder.join("bert"));
    let out = folder.join("out").display().to_string();
    let refuses = |name: &str, contents: &str, more: &[&str], parts: &[&str]| {
        let data = folder.join(name);
        fs::write(&data, contents).unwrap();
        let data = data.display().to_string();
        let arguments = ["train", "classify", &from, &data, "--out", &out, "--device", "cpu"];
        assert_refuses(&run(&[&arguments[..], more].concat()), parts);
        assert!(!Path::new(&out).exists() && !Path::new(&format!("{out}.unfinished")).exists());
    };
    let good = "text,label\ngood,a\nbad,b\n";
    refuses("no-label.csv", "text,kind\ngood,a\n", &[], &["no-label.csv line 1", "`label`", "text, kind"]);
    refuses("empty.csv", "text,label\ngood,a\n,b\n", &[], &["empty.csv line 3", "text", "blanks"]);
    refuses("unlabelled.csv", "text,label\ngood,a\nbad,\n", &[], &["unlabelled.csv line 3", "label"]);
    refuses("ragged.csv", "text,label\ngood,a,c\n", &[], &["ragged.csv line 2", "expected 2", "found 3"]);
    refuses("none.csv", "text,label\n", &[], &["none.csv", "rows", "none"]);
    refuses("one.csv", "text,label\ngood,a\nbad,a\n", &[], &["one.csv", "two labels", "`a` alone"]);
    refuses(
        "broken.jsonl",
        "{\"text\": \"good\", \"label\": 1}\n{\"text\"\n",
        &[],
        &["broken.jsonl line 2", "JSON"],
    );
    refuses("list.jsonl", "[1]\n", &[], &["list.jsonl line 1", "JSON object"]);
    refuses("number.jsonl", "{\"text\": 3, \"label\": 1}\n", &[], &["number.jsonl line 1", "text", "string"]);
    refuses("missing.jsonl", "{\"label\": 1}\n", &[], &["missing.jsonl line 1", "text", "no such field"]);
    refuses("quoted.csv", "text,label\n\"good\nfilm\",a\n\"\",b\n", &[], &["quoted.csv line 4", "text"]);
    refuses("data.xml", "<x/>", &[], &[".csv, .tsv or .jsonl"]);
    let long = format!("text,label\ngood,a\n\"{}\",b\n", "bad ".repeat(30));
    refuses("long.csv", &long, &[], &["long.csv line 3", "at most 16", "found 32", "--truncate"]);
    refuses("some.csv", good, &["--validation", "1.5"], &["--validation", "fraction", "1.5"]);
    refuses("more.csv", good, &["--validation", "/no/such.csv"], &["/no/such.csv"]);
    refuses("lr.csv", good, &["--lr", "nan"], &["--lr"]);
    refuses("tokens.csv", good, &["--max-tokens", "17"], &["--max-tokens", "at most 16"]);
    let other = folder.join("other.csv");
    fs::write(&other, "text,label\ngood,a\nbad,c\n").unwrap();
    let other = other.display().to_string();
    refuses("known.csv", good, &["--validation", &other], &["other.csv line 3", "one of a, b", "`c`"]);
    refuses("crlf.csv", "text,label\r\ngood,a\r\nbad,\r\n", &[], &["crlf.csv line 3", "label"]);
    refuses("gaps.csv", "\u{feff}text,label\n\n\ngood,a\n\nbad\n", &[], &["gaps.csv line 6", "expected 2"]);
    refuses("gaps.tsv", "\ntext\tlabel\n\n\n\t\n", &[], &["gaps.tsv line 5", "text"]);
    refuses("bytes.csv", "", &[], &["bytes.csv line 1", "`text`", "found none"]);
    refuses(
        "twice.csv",
        "text,label,text\ngood,a,bad\n",
        &[],
        &["twice.csv line 1", "`text`", "it once", "text, label, text"],
    );
    refuses("short.csv", "text,label\ngood,a\nbad\n", &[], &["short.csv line 3", "expected 2", "found 1"]);
    refuses("list.csv", good, &["--label-separator", ""], &["--label-separator"]);
    refuses(
        "none.tsv",
        "text\tlabel\ngood\t\n",
        &["--label-separator", "|"],
        &["none.tsv", "at least one", "none"],
    );
    refuses(
        "object.jsonl",
        "{\"text\": \"good\", \"label\": {}}\n",
        &[],
        &["object.jsonl line 1", "label", "a list"],
    );
    refuses("null.jsonl", "{\"text\": \"good\", \"label\": [null]}\n", &[], &["null.jsonl line 1", "label"]);
    refuses(
        "blank.jsonl",
        "{\"text\": \"good\", \"label\": [\" \"]}\n",
        &[],
        &["blank.jsonl line 1", "label", "blanks"],
    );
    refuses(
        "absent.jsonl",
        "{\"text\": \"good\"}\n",
        &[],
        &["absent.jsonl line 1", "label", "no such field"],
    );
    for (name, bytes) in [("latin.csv", &b"text,label\ngood,a\nb\xe4d,b\n"[..]), ("latin.jsonl", b"{}\xff\n")]
    {
        let data = folder.join(name);
        fs::write(&data, bytes).unwrap();
        let arguments =
            ["train", "classify", &from, &data.display().to_string(), "--out", &out, "--device", "cpu"];
        assert_refuses(&run(&arguments), &[name, "line ", "UTF-8"]);
    }
    // A file of single labels to validate lists, and the other way around.
    let lists = "{\"text\": \"good\", \"label\": [\"a\", \"b\"]}\n".repeat(2);
    let several = folder.join("lists.jsonl");
    fs::write(&several, &lists).unwrap();
    let several = several.display().to_string();
    refuses(
        "single.csv",
        good,
        &["--validation", &several],
        &["lists.jsonl line 1", "expected one", "a list of 2"],
    );
    refuses("two.jsonl", &lists, &["--validation", &other], &["other.csv line 3", "one of a, b", "`c`"]);
    let numbers = folder.join("regression");
    fs::create_dir_all(&numbers).unwrap();
    let numbers = bert(&numbers);
    let config = Path::new(&numbers).join("config.json");
    let mut fields: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    fields["problem_type"] = json!("regression");
    fs::write(&config, fields.to_string()).unwrap();
    let data = folder.join("scores.csv");
    fs::write(&data, "text,label\ngood,4.5\nbad,1\n").unwrap();
    let arguments =
        ["train", "classify", &numbers, &data.display().to_string(), "--out", &out, "--device", "cpu"];
    assert_refuses(&run(&arguments), &["problem_type: expected labels to tell apart, found regression"]);
    // A folder that cannot be made.
    let file = folder.join("some.csv").join("out").display().to_string();
    let data = folder.join("some.csv").display().to_string();
    let arguments = ["train", "classify", &from, &data, "--out", &file, "--device", "cpu"];
    assert_refuses(&run(&arguments), &["some.csv", "a folder that can be made"]);
    // Cut, the long text can be trained on.
    let data = folder.join("long.csv").display().to_string();
    let arguments =
        ["train", "classify", &from, &data, "--out", &out, "--device", "cpu", "--truncate", "--epochs", "1"];
    let output = run(&arguments);
    assert_passes(&output);
    assert!(stderr(&output).contains("truncated: 1 of 2 texts, to 16 tokens"), "{}", stderr(&output));
    assert_refuses(&run(&arguments), &["--out", "a new folder, or an empty one"]);
}

#[test]
fn folders_that_do_not_fit_are_refused() {
    let folder = empty("fine-tune-folders");
    let from = bert(&folder.join("bert"));
    let out = folder.join("out").display().to_string();
    let (csv, text) = (folder.join("data.csv"), folder.join("text.txt"));
    fs::write(&csv, "text,label\ngood,a\nbad,b\n").unwrap();
    fs::write(&text, "good dreadful\ndreadful good\n").unwrap();
    let (csv, text) = (csv.display().to_string(), text.display().to_string());
    let train = |task: &str, from: &str, data: &str| {
        run(&["train", task, from, data, "--out", &out, "--device", "cpu", "--epochs", "1"])
    };
    assert_refuses(&train("lm", &from, &text), &["a causal language model", "found bert"]);
    assert_refuses(&train("classify", "/no/such/folder", &csv), &["/no/such/folder"]);
    assert_refuses(&train("fill-mask", &from, "/no/such/text"), &["/no/such/text"]);

    let config = json!({"model_type": "t5", "vocab_size": 21, "d_model": 16, "d_kv": 8, "d_ff": 16,
        "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0});
    let t5 = model(&folder.join("t5"), &config, Task::Logits, &SPECIAL);
    assert_refuses(&train("classify", &t5, &csv), &["classify"]);
    assert_refuses(&train("fill-mask", &t5, &text), &["encoder-decoder"]);

    // A tokenizer with more words than the model.
    let more = [&SPECIAL[..], &OTHERS, &["more", "words"], &GOOD, &BAD].concat();
    fs::write(Path::new(&from).join("vocab.txt"), more.join("\n")).unwrap();
    assert_refuses(&train("fill-mask", &from, &text), &["text.txt line 1", "below 21"]);
    fs::remove_file(Path::new(&from).join("vocab.txt")).unwrap();
    assert_refuses(
        &train("classify", &from, &csv),
        &["tokenizer.json, vocab.txt, vocab.json with merges.txt"],
    );
    assert!(!Path::new(&out).exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_writes_what_there_is() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = empty("fine-tune-interrupted");
    let (from, data) = (bert(&folder.join("bert")), csv(&folder.join("data.csv"), &sentences(60)));
    let out = folder.join("out").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    let flags = ["--out", &out, "--device", "cpu", "--epochs", "100000"];
    command.args(["train", "classify", &from, &data]).args(flags);
    let mut child = told_of_signals(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        lines.next().unwrap().unwrap();
    }
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let _ = lines.count();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted: the model after step "), "{}", stderr(&output));
    assert_passes(&run(&["run", &out, "--task", "classify", "--text", "a film is good", "--device", "cpu"]));
}
