//! `generate` on folders: the texts of another implementation, and what is refused before a word is written.

use std::fs;
use std::path::Path;

use foveate::weights::Checkpoint;
use serde_json::{Value, json};

use crate::folders::{SPECIAL, empty, lettered, letters, oracle};
use crate::invoke::{assert_passes, assert_refuses, run, stderr, stdout};

/// Rows of ids of an oracle.
fn rows(name: &str, tensor: &str) -> Vec<Vec<u32>> {
    let file = Checkpoint::open(oracle(name).join("io.safetensors")).unwrap();
    let tensor = file.tensor(tensor).unwrap_or_else(|| panic!("{tensor}"));
    let (words, _) = tensor.bytes().as_chunks::<4>();
    let ids: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    ids.chunks(tensor.shape()[1]).map(<[u32]>::to_vec).collect()
}

/// Sets a field of a folder's configuration.
pub(crate) fn set(folder: &str, field: &str, value: Value) {
    let path = Path::new(folder).join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[field] = value;
    fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn texts_are_those_of_the_other_implementation() {
    let folder = lettered("gpt2", &empty("generate-gpt2"));
    let all = ["greedy", "beam4"].map(|name| rows("gpt2", &format!("out.gen.{name}")));
    for (row, prompt) in rows("gpt2", "in.prompt").iter().enumerate() {
        let prompt = letters(prompt);
        for device in ["gpu", "cpu"] {
            let flags = ["generate", &folder, "--prompt", &prompt, "--tokens", "12", "--device", device];
            let greedy = [&flags[..], &["--temperature", "0"]].concat();
            let texts = [
                assert_passes(&run(&greedy)),
                assert_passes(&run(&[&flags[..], &["--beams", "4"]].concat())),
            ];
            for (text, rows) in texts.iter().zip(&all) {
                assert_eq!(*text, letters(&rows[row]) + "\n");
            }
        }
    }
    // The second text comes to the end token, which is a part of it; of those that beams find it is not.
    let prompt = letters(&rows("gpt2", "in.prompt")[1]);
    let flags = ["generate", &folder, "--prompt", &prompt, "--tokens", "12", "--device", "cpu"];
    let ended = |rows: &[Vec<u32>], ends: bool| {
        let end = rows[1].iter().position(|id| *id == 12).unwrap();
        letters(&rows[1][..end + usize::from(ends)]) + "\n"
    };
    let greedy = [&flags[..], &["--temperature", "0"]].concat();
    let expected = ended(&all[0], true);
    assert_eq!(assert_passes(&run(&[&greedy[..], &["--stop", "12"]].concat())), expected);
    for end in [json!(12), json!([66, 12])] {
        set(&folder, "eos_token_id", end);
        assert_eq!(assert_passes(&run(&greedy)), expected);
    }
}

/// The tokens of `generation_config.json` end a text, whatever `config.json` says; where it names none, those of `config.json` do.
#[test]
fn a_text_ends_as_generation_config_says() {
    let folder = lettered("gpt2", &empty("generate-config"));
    let greedy = &rows("gpt2", "out.gen.greedy")[1];
    let prompt = letters(&rows("gpt2", "in.prompt")[1]);
    let flags =
        ["generate", &folder, "--prompt", &prompt, "--tokens", "12", "--device", "cpu", "--temperature", "0"];
    let until = |end: u32| {
        let length = greedy.iter().skip(6).position(|id| *id == end).map_or(greedy.len(), |at| at + 7);
        letters(&greedy[..length]) + "\n"
    };
    let (end, other) = (12, greedy[7]);
    assert!(until(end) != until(other) && until(end) != letters(greedy) + "\n", "{greedy:?}");
    set(&folder, "eos_token_id", json!(other));
    let generation = Path::new(&folder).join("generation_config.json");
    for (config, expected) in [
        (json!({"eos_token_id": end}), until(end)),
        (json!({"eos_token_id": [66, end], "max_length": 20}), until(end)),
        (json!({"eos_token_id": null}), until(other)),
        (json!({}), until(other)),
    ] {
        fs::write(&generation, config.to_string()).unwrap();
        assert_eq!(assert_passes(&run(&flags)), expected, "{config}");
    }
    for (config, parts) in [
        (r#"{"eos_token_id": 67}"#, "generation_config.json: eos_token_id: expected an id below 67"),
        ("[", "generation_config.json"),
    ] {
        fs::write(&generation, config).unwrap();
        assert_refuses(&run(&flags), &[parts]);
    }
}

#[test]
fn an_encoder_decoder_writes_about_the_prompt() {
    let folder = lettered("t5-relu", &empty("generate-t5"));
    let (sources, expected) = (rows("t5-relu", "in.input_ids"), rows("t5-relu", "out.gen.greedy"));
    let flags =
        ["generate", &folder, "--prompt", &letters(&sources[0]), "--tokens", "12", "--temperature", "0"];
    for device in ["gpu", "cpu"] {
        let text = assert_passes(&run(&[&flags[..], &["--device", device]].concat()));
        assert_eq!(text, letters(&expected[0][1..]) + "\n");
    }
}

#[test]
fn draws_follow_the_seed_and_words_outside_the_vocabulary_are_left_out() {
    let folder = lettered("gpt2", &empty("generate-seed"));
    set(&folder, "eos_token_id", Value::Null);
    let text = |seed: &str| {
        let flags =
            ["generate", &folder, "--prompt", "AB", "--tokens", "30", "--temperature", "2", "--top-k", "0"];
        assert_passes(&run(&[&flags[..], &["--device", "cpu", "--seed", seed]].concat()))
    };
    let [first, other] = [text("1"), text("2")];
    assert_eq!(first, text("1"));
    assert_ne!(first, other);
    assert_eq!([first.len(), other.len()], [33, 33]);
    let vocabulary = Path::new(&folder).join("vocab.txt");
    let known: String =
        fs::read_to_string(&vocabulary).unwrap().lines().take(20).map(|l| format!("{l}\n")).collect();
    fs::write(&vocabulary, known).unwrap();
    let fewer = text("1");
    assert!(fewer.starts_with("AB") && fewer.len() < 33, "{fewer}");
}

#[test]
fn a_text_longer_than_the_model_reads_says_so() {
    let folder = lettered("gpt2", &empty("generate-long"));
    let said = "the model reads 40 tokens: what is longer goes on from its last 20";
    let generate = |prompt: &str, tokens: &str, more: &[&str]| {
        let flags = ["generate", &folder, "--prompt", prompt, "--tokens", tokens, "--device", "cpu"];
        run(&[&flags[..], more].concat())
    };
    for (prompt, tokens, is_longer) in
        [("AB".repeat(5), "31", false), ("AB".repeat(5), "32", true), ("AB".repeat(30), "3", true)]
    {
        let output = generate(&prompt, tokens, &[]);
        let text = assert_passes(&output);
        assert!(
            text.starts_with(&prompt) && text.len() == prompt.len() + tokens.parse::<usize>().unwrap() + 1,
            "{text}"
        );
        assert_eq!(stderr(&output).contains(said), is_longer, "{}", stderr(&output));
    }
    let full = "generate: tokens: expected at most 40, as many as the model has positions, found 10 of the prompt and";
    for tokens in ["32", "18446744073709551615"] {
        let output = generate(&"AB".repeat(5), tokens, &["--beams", "2"]);
        assert_refuses(&output, &[full, tokens]);
        assert_eq!(stdout(&output), "");
    }
    assert_passes(&generate(&"AB".repeat(5), "31", &["--beams", "2"]));
}

#[test]
fn settings_without_a_meaning_are_refused_before_a_word_is_written() {
    let folder = lettered("gpt2", &empty("generate-refused"));
    let refused = |more: &[&str], parts: &[&str]| {
        let output = run(&[&["generate", &folder, "--device", "cpu", "--tokens", "3"], more].concat());
        assert_refuses(&output, parts);
        assert_eq!(stdout(&output), "");
    };
    let prompt = ["--prompt", "AB"];
    let refused_with = |more: &[&str], parts: &[&str]| refused(&[&prompt[..], more].concat(), parts);
    for temperature in ["-1", "nan", "inf"] {
        refused_with(
            &["--temperature", temperature],
            &["generate: temperature: expected a number of at least 0"],
        );
    }
    for probability in ["0", "1.5", "nan"] {
        refused_with(
            &["--top-p", probability],
            &["generate: top_p: expected a probability above 0 and of at most 1"],
        );
    }
    for penalty in ["0", "nan", "inf"] {
        refused_with(
            &["--repetition-penalty", penalty],
            &["generate: repetition_penalty: expected a number above 0"],
        );
    }
    refused_with(&["--top-p=-0.5"], &["generate: top_p", "found -0.5"]);
    refused_with(&["--top-k=-1"], &["--top-k"]);
    refused_with(&["--tokens", "few"], &["--tokens"]);
    for beams in ["0", "68", "18446744073709551615"] {
        refused_with(
            &["--beams", beams],
            &["generate: beams: expected 1 to 67, as many as there are tokens", beams],
        );
    }
    refused_with(
        &["--beams", "2", "--length-penalty", "nan"],
        &["generate: length_penalty: expected a finite number"],
    );
    refused_with(&["--beams", "2", "--top-k", "3"], &["--beams", "--top-k"]);
    refused_with(&["--stop", "1", "--stop", "67"], &["generate: --stop: expected ids below 67", "found 67"]);
    refused_with(&["--dtype", "f8"], &["generate: --dtype: expected f32 or f16, found `f8`"]);
    refused(&["--prompt", ""], &["generate: --prompt: expected something to go on from"]);
    refused(&["--prompt", "A!"], &["tokenize: text, byte 1: expected characters of the vocabulary", "`!`"]);
    for end in [json!(67), json!(-1), json!("x"), json!([1, 99]), json!(1.5)] {
        set(&folder, "eos_token_id", end);
        refused_with(&[], &["config.json: eos_token_id: expected an id below 67"]);
    }
    set(&folder, "eos_token_id", Value::Null);
    let vocabulary = Path::new(&folder).join("vocab.txt");
    fs::write(&vocabulary, fs::read_to_string(&vocabulary).unwrap() + "\n!").unwrap();
    refused(
        &["--prompt", "A!"],
        &["generate: --prompt: expected ids below 67, the model's vocabulary, found 67"],
    );
    fs::remove_file(&vocabulary).unwrap();
    refused_with(&[], &["expected tokenizer.json, vocab.txt,", "in it, found none of them"]);

    let encoder = lettered("bert-mlm", &empty("generate-bert"));
    // A vocabulary would be of no use to it.
    fs::remove_file(Path::new(&encoder).join("vocab.txt")).unwrap();
    let output = run(&["generate", &encoder, "--prompt", "AB", "--device", "cpu"]);
    assert_refuses(&output, &["expected a causal language model", "found one that reads whole texts"]);
    let source = lettered("t5-relu", &empty("generate-t5-refused"));
    let output = run(&["generate", &source, "--prompt", "AB", "--device", "cpu", "--beams", "68"]);
    assert_refuses(&output, &["generate: beams: expected 1 to 67"]);
}

#[test]
fn a_prompt_is_printed_as_it_was_given() {
    let folder = lettered("gpt2", &empty("generate-given"));
    // Words, which blanks are between.
    let vocabulary = Path::new(&folder).join("vocab.txt");
    let letters = fs::read_to_string(&vocabulary).unwrap();
    let words: Vec<&str> = SPECIAL.into_iter().chain(letters.lines().skip(SPECIAL.len())).collect();
    fs::write(&vocabulary, words.join("\n")).unwrap();
    for more in [&["--temperature", "0"][..], &["--beams", "2"]] {
        let flags = ["generate", &folder, "--prompt", "A  B C", "--tokens", "2", "--device", "cpu"];
        let printed = assert_passes(&run(&[&flags[..], more].concat()));
        assert!(printed.starts_with("A  B C"), "{more:?}: {printed}");
    }
}
