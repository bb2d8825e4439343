//! `foveate train classify` with any number of labels a text, and with labels that are numbers.

use std::fs;
use std::path::Path;

use foveate::Random;
use serde_json::{Value, json};

use crate::fine_tune::{BAD, FAST, GOOD, OTHERS, bert, csv, numbers, sentences};
use crate::folders::empty;
use crate::invoke::{assert_passes, assert_refuses, run, stderr};

/// Sentences that praise, blame, both or neither, each with the labels that it has.
fn mixed(count: usize) -> Vec<(String, Vec<&'static str>)> {
    let mut random = Random::new(6);
    let mut any = |words: &[&'static str]| words[random.next_below(words.len())];
    (0..count)
        .map(|i| {
            let words = [any(&OTHERS[2..4]), any(&OTHERS[4..6])];
            let [good, bad] = [any(&GOOD), any(&BAD)];
            let (praise, blame) = (i % 2 == 0, i / 2 % 2 == 0);
            let text = [&words[..], &[good][..usize::from(praise)], &[bad][..usize::from(blame)]].concat();
            let labels = [("praise", praise), ("blame", blame)];
            (text.join(" "), labels.iter().filter(|(_, held)| *held).map(|(label, _)| *label).collect())
        })
        .collect()
}

#[test]
fn any_number_of_labels_a_text_is_learnt_from_lists_and_with_a_separator() {
    let folder = empty("fine-tune-several");
    let from = bert(&folder.join("bert"));
    let rows = mixed(80);
    let json: Vec<String> =
        rows.iter().map(|(text, labels)| json!({"text": text, "label": labels}).to_string()).collect();
    let tabs: Vec<String> =
        rows.iter().map(|(text, labels)| format!("{text}\t{}", labels.join(" | "))).collect();
    let [jsonl, tsv] = ["data.jsonl", "data.tsv"].map(|name| folder.join(name));
    fs::write(&jsonl, json.join("\n")).unwrap();
    fs::write(&tsv, format!("text\tlabel\n{}\n", tabs.join("\n"))).unwrap();
    let train = |from: &str, data: &Path, out: &str, more: &[&str]| {
        let (out, data) = (folder.join(out).display().to_string(), data.display().to_string());
        let arguments = ["train", "classify", from, &data, "--out", &out];
        run(&[&arguments[..], &FAST[..6], more].concat())
    };
    let lists = assert_passes(&train(&from, &jsonl, "out", &["--epochs", "8", "--device", "gpu"]));
    for (name, last) in [("accuracy", 1.0), ("micro F1", 1.0), ("macro F1", 1.0)] {
        assert_eq!(numbers(&lists, name).last(), Some(&last), "{lists}");
    }
    let separated = ["--epochs", "8", "--device", "cpu", "--label-separator", "|"];
    let separated = assert_passes(&train(&from, &tsv, "out-cpu", &separated));
    let apart = numbers(&lists, "loss")[0] - numbers(&separated, "loss")[0];
    assert!(apart.abs() < 1e-3, "the same rows in another format: {lists}{separated}");
    assert_eq!(numbers(&separated, "accuracy").last(), Some(&1.0), "{separated}");

    let out = folder.join("out").display().to_string();
    let config = fs::read_to_string(Path::new(&out).join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["problem_type"], "multi_label_classification");
    assert_eq!(config["id2label"], json!({"0": "blame", "1": "praise"}));
    let texts = ["--text", "film was good bad", "--text", "book is", "--text", "film is awful"];
    let told = ["run", &out, "--task", "classify", "--json", "-", "--device", "cpu"];
    let told: Value = serde_json::from_str(&assert_passes(&run(&[&told[..], &texts].concat()))).unwrap();
    for (result, expected) in [(0, [true, true]), (1, [false, false]), (2, [true, false])] {
        let labels = told["results"][result]["labels"].as_array().unwrap();
        for (label, expected) in ["blame", "praise"].into_iter().zip(expected) {
            let found = labels.iter().find(|found| found["label"] == label).unwrap();
            assert_eq!(found["score"].as_f64() > Some(0.5), expected, "{label}: {told}");
        }
    }

    // What has learnt any number of labels is not given one for each text by mistake.
    let one = csv(&folder.join("one.csv"), &sentences(8));
    let output = train(&out, Path::new(&one), "again", &["--device", "cpu"]);
    assert_refuses(
        &output,
        &["one.csv: label: expected lists", "--label-separator", "found one label a row"],
    );
    let output = train(
        &out,
        Path::new(&one),
        "again",
        &["--device", "cpu", "--label-separator", "|", "--epochs", "1"],
    );
    assert!(!stderr(&output).contains("fresh weights"), "{}", stderr(&output));
    assert_passes(&output);
}

#[test]
fn labels_that_are_whole_numbers_are_in_their_order() {
    let folder = empty("fine-tune-numbers");
    let from = bert(&folder.join("bert"));
    let rows: String = (0..24).map(|i| format!("{},good\n", i % 12)).collect();
    let data = folder.join("data.csv");
    fs::write(&data, format!("label,text\n{rows}")).unwrap();
    let (data, out) = (data.display().to_string(), folder.join("out"));
    let arguments =
        ["train", "classify", &from, &data, "--out", &out.display().to_string(), "--device", "cpu"];
    assert_passes(&run(&[&arguments[..], &["--epochs", "1"]].concat()));
    let config: Value = serde_json::from_str(&fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    for number in 0..12 {
        assert_eq!(config["id2label"][number.to_string()], number.to_string());
    }
    // Known labels stay, and others that take their places are named.
    for (labels, said) in [(["3", "11"], false), (["3", "12"], true)] {
        fs::write(&data, format!("label,text\n{},good\n{},bad\n", labels[0], labels[1])).unwrap();
        let (from, again) = (out.display().to_string(), folder.join(labels[1]).display().to_string());
        let arguments =
            ["train", "classify", &from, &data, "--out", &again, "--device", "cpu", "--epochs", "1"];
        let output = run(&arguments);
        assert_passes(&output);
        let told = stderr(&output).contains("labels: 3, 12, in place of the folder's: 0, 1, 2, ");
        assert_eq!(told, said, "{}", stderr(&output));
    }
}
