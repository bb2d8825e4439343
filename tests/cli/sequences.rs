//! `foveate train` on encoder-decoders, recurrent models, and models with weights that a task has no use for.

use std::fs;
use std::path::Path;

use foveate::models::{Model, Segments, Task};
use foveate::runtime::Device;
use foveate::weights::{Checkpoint, write_tensors};
use foveate::{DType, HostTensor, Random, TensorDesc};
use serde_json::json;

use crate::fine_tune::{FAST, numbers};
use crate::folders::{SPECIAL, empty, model};
use crate::invoke::{assert_passes, assert_refuses, run, stderr};

const LETTERS: [&str; 12] = ["<unk>", ".", "a", "b", "c", "d", "e", "f", "x", "y", "z", "^"];

/// A small T5 of letters, whose texts end with a full stop.
pub(crate) fn t5(folder: &Path) -> String {
    let config = json!({"model_type": "t5", "vocab_size": LETTERS.len(), "d_model": 32, "d_kv": 16, "d_ff": 32,
        "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 11, "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 8,
        "architectures": ["T5ForConditionalGeneration"], "torch_dtype": "float16"});
    model(folder, &config, Task::Logits, &LETTERS)
}

/// A letter behind some that say nothing, and the letter that follows it twice.
pub(crate) fn pairs(count: usize) -> Vec<[String; 2]> {
    let mut random = Random::new(3);
    let letters = ["a", "b", "c", "d", "e", "f"];
    (0..count)
        .map(|_| {
            let filling: String =
                (0..random.next_below(4)).map(|_| ["x", "y", "z"][random.next_below(3)]).collect();
            let at = random.next_below(letters.len());
            let next = letters[(at + 1) % letters.len()];
            [filling + letters[at], format!("{next}{next}.")]
        })
        .collect()
}

#[test]
fn texts_are_written_about_texts_as_they_were_in_the_data() {
    let folder = empty("seq2seq");
    let from = t5(&folder.join("t5"));
    let rows = pairs(96);
    let (csv, jsonl) = (folder.join("data.csv"), folder.join("data.jsonl"));
    let lines: Vec<String> = rows.iter().map(|[source, target]| format!("{target},{source}")).collect();
    fs::write(&csv, format!("target,source\n{}\n", lines.join("\n"))).unwrap();
    let lines: Vec<String> = rows
        .iter()
        .map(|[source, target]| json!({"source": source, "target": target, "number": 1}).to_string())
        .collect();
    fs::write(&jsonl, lines.join("\n")).unwrap();
    let mut all = Vec::new();
    for (device, data) in [("gpu", &csv), ("cpu", &jsonl)] {
        let data = data.display().to_string();
        let out = folder.join(format!("out-{device}")).display().to_string();
        let arguments = ["train", "seq2seq", &from, &data, "--out", &out, "--device", device];
        let more =
            ["--lr", "0.005", "--batch", "8", "--dropout", "0", "--epochs", "24", "--decay", "constant"];
        let printed = assert_passes(&run(&[&arguments[..], &more].concat()));
        let perplexities = numbers(&printed, "perplexity");
        assert!(perplexities.len() == 25 && perplexities[0] > 4.0 && perplexities[24] < 1.1, "{printed}");
        all.push(numbers(&printed, "loss"));
        for (prompt, text) in [("xyb", "cc."), ("f", "aa.")] {
            let generate = ["generate", &out, "--prompt", prompt, "--tokens", "6", "--temperature", "0"];
            let written = assert_passes(&run(&[&generate[..], &["--device", device]].concat()));
            assert_eq!(written, format!("{text}\n"));
        }
        let config = fs::read_to_string(Path::new(&out).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["architectures"], json!(["T5ForConditionalGeneration"]));
        assert_eq!(config["torch_dtype"], "float32");
    }
    // The same rows, whatever their format and the device.
    assert!((all[0][0] - all[1][0]).abs() < 1e-4, "{all:?}");

    // What is put before every source is read with it.
    let out = folder.join("prefixed").display().to_string();
    let data = jsonl.display().to_string();
    let arguments = ["train", "seq2seq", &from, &data, "--out", &out, "--device", "cpu", "--epochs", "1"];
    let printed = assert_passes(&run(&[&arguments[..], &["--source-prefix", "^^"]].concat()));
    assert!((numbers(&printed, "loss")[0] - all[1][0]).abs() > 1e-6, "{printed}");
}

#[test]
fn rows_without_a_source_or_a_target_are_named_by_their_lines() {
    let folder = empty("seq2seq-rows");
    let from = t5(&folder.join("t5"));
    let out = folder.join("out").display().to_string();
    let refuses = |name: &str, contents: &str, more: &[&str], parts: &[&str]| {
        let data = folder.join(name);
        fs::write(&data, contents).unwrap();
        let data = data.display().to_string();
        let arguments = ["train", "seq2seq", &from, &data, "--out", &out, "--device", "cpu"];
        assert_refuses(&run(&[&arguments[..], more].concat()), parts);
        assert!(!Path::new(&out).exists() && !Path::new(&format!("{out}.unfinished")).exists());
    };
    let good = "source,target\na,bb.\nb,cc.\n";
    refuses("names.csv", "source,text\na,b\n", &[], &["names.csv line 1", "`target`", "source, text"]);
    refuses("text.tsv", "text\ttarget\na\tb\n", &[], &["text.tsv line 1", "`source`"]);
    refuses("empty.csv", "source,target\na,bb.\n ,b\n", &[], &["empty.csv line 3", "source", "blanks"]);
    refuses("none.csv", "source,target\na,bb.\nb,\n", &[], &["none.csv line 3", "target", "blanks"]);
    refuses("ragged.csv", "source,target\na,bb.\nb\n", &[], &["ragged.csv line 3", "expected 2", "found 1"]);
    refuses("rows.csv", "source,target\n", &[], &["rows.csv", "rows", "none"]);
    refuses("one.csv", "source,target\na,b\n", &[], &["one.csv", "at least two", "found 1"]);
    refuses(
        "absent.jsonl",
        "{\"source\": \"a\"}\n",
        &[],
        &["absent.jsonl line 1", "target", "no such field"],
    );
    refuses(
        "number.jsonl",
        "{\"source\": \"a\", \"target\": 3}\n",
        &[],
        &["number.jsonl line 1", "target", "a string"],
    );
    refuses("data.txt", "a\tb\n", &[], &["data.txt", ".csv, .tsv or .jsonl"]);
    let long = format!("source,target\na,b\na,{}\n", "b".repeat(30));
    refuses(
        "long.csv",
        &long,
        &["--max-tokens", "8"],
        &["long.csv line 3, target", "at most 8", "found 30", "--truncate"],
    );
    refuses("share.csv", good, &["--validation", "2"], &["--validation", "fraction"]);
    let data = folder.join("good.csv");
    fs::write(&data, good).unwrap();
    let other = folder.join("other.csv");
    fs::write(&other, "source,target\na,\n").unwrap();
    refuses(
        "known.csv",
        good,
        &["--validation", &other.display().to_string()],
        &["other.csv line 2", "target"],
    );

    // Other tasks are for other models, and this one is not for them.
    let train = |task: &str, from: &str| {
        run(&["train", task, from, &data.display().to_string(), "--out", &out, "--device", "cpu"])
    };
    assert_refuses(
        &train("lm", &from),
        &["a causal language model", "t5, an encoder-decoder", "train seq2seq"],
    );
    assert_refuses(&train("fill-mask", &from), &["both sides", "t5, an encoder-decoder", "train seq2seq"]);
    let config = json!({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8,
        "vocab_size": LETTERS.len()});
    let gpt2 = model(&folder.join("gpt2"), &config, Task::Logits, &LETTERS);
    assert_refuses(
        &train("seq2seq", &gpt2),
        &["reads one text and writes another", "found gpt2", "train lm"],
    );
    // Nothing of an encoder-decoder is made anew.
    let config = fs::read_to_string(Path::new(&from).join("config.json")).unwrap();
    let deeper = config.replace("\"num_layers\":1", "\"num_layers\":1,\"num_decoder_layers\":2");
    assert_ne!(deeper, config);
    fs::write(Path::new(&from).join("config.json"), deeper).unwrap();
    assert_refuses(
        &train("seq2seq", &from),
        &["model.safetensors", "what the model declares", "differences"],
    );
}

#[test]
fn a_recurrent_model_learns_what_only_its_memories_know() {
    let folder = empty("lm-streams");
    let words = ["<eos>", "<unk>", "a", "b"];
    let config = json!({"model_type": "transfo-xl", "vocab_size": words.len(), "cutoffs": [3], "div_val": 1,
        "d_model": 32, "d_embed": 32, "d_inner": 32, "d_head": 16, "n_head": 2, "n_layer": 1, "mem_len": 6,
        "same_length": true, "tie_projs": [false, false], "architectures": ["TransfoXLLMHeadModel"]});
    let from = model(&folder.join("transfo-xl"), &config, Task::Logits, &words);
    let text = folder.join("text.txt");
    // A segment of one word does not tell whether its letter comes once more.
    fs::write(&text, "a a a b b b ".repeat(80)).unwrap();
    let text = text.display().to_string();
    for (device, more) in
        [("gpu", &[][..]), ("cpu", &["--accumulate", "2", "--recompute", "1", "--lr", "0.02"])]
    {
        let out = folder.join(format!("out-{device}")).display().to_string();
        let arguments = [
            "train",
            "lm",
            &from,
            &text,
            "--out",
            &out,
            "--device",
            device,
            "--max-tokens",
            "1",
            "--validation",
            "0.3",
        ];
        let flags: Vec<&str> =
            FAST.iter().copied().filter(|flag| more.is_empty() || !["--lr", "0.01"].contains(flag)).collect();
        let printed = assert_passes(&run(&[&arguments[..], &flags, more].concat()));
        let perplexities = numbers(&printed, "perplexity");
        assert!(perplexities.len() == 7 && perplexities[0] > 1.8 && perplexities[6] < 1.2, "{printed}");

        let model = Model::open(&out, Task::Logits).unwrap();
        let mut segments = Segments::new(&model, &model.load(DType::F32).unwrap(), &Device::Cpu).unwrap();
        let mut stream = segments.start(1).unwrap();
        // a a a b b b a a, and then what comes next of each.
        let (read, next) = ([2, 2, 2, 3, 3, 3, 2, 2, 2], [2, 2, 3, 3, 3, 2, 2, 2, 3]);
        let scores = segments.run(&mut stream, &[read]).unwrap()["log_probs"].to_f32();
        for (at, expected) in next.iter().enumerate().skip(3) {
            let row = &scores[4 * at..][..4];
            let best = (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            assert_eq!(best, *expected, "{device}, behind {at}: {row:?}");
        }
    }
}

#[test]
fn weights_that_a_task_does_not_use_are_kept_and_told_of() {
    let folder = empty("kept-weights");
    let words = [&SPECIAL[..], &["the", "a", "film", "book", "is", "was", "good", "bad"]].concat();
    let config = json!({"model_type": "longformer", "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16, "pad_token_id": 0,
        "attention_window": 4, "vocab_size": words.len(), "architectures": ["LongformerModel"]});
    let from = model(&folder.join("longformer"), &config, Task::Hidden, &words);
    let data = folder.join("data.txt");
    fs::write(&data, "the film is good\na book was bad\n".repeat(16)).unwrap();
    let out = folder.join("out").display().to_string();
    let data = data.display().to_string();
    let arguments = ["train", "fill-mask", &from, &data, "--out", &out, "--device", "cpu"];
    let output = run(&[&arguments[..], &FAST[..6], &["--epochs", "12"]].concat());
    let losses = numbers(&assert_passes(&output), "loss");
    assert!(losses[12] < 0.5 * losses[0], "{losses:?}");
    let told = stderr(&output);
    assert!(told.contains("kept as they are, without influence on the loss: 6 weights: "), "{told}");
    assert!(told.contains("encoder.layer.0.attention.self.query_global.weight"), "{told}");
    let [before, after] = [&from, &out].map(|folder| Checkpoint::open(folder).unwrap());
    let (mut kept, mut trained) = (0, 0);
    for name in before.names() {
        let stored = after.tensor(&format!("longformer.{name}")).unwrap_or_else(|| panic!("{name}"));
        let is_same = before.tensor(name).unwrap().bytes() == stored.bytes();
        assert_eq!(is_same, name.contains("_global."), "{name}");
        if is_same { kept += 1 } else { trained += 1 }
    }
    assert_eq!((kept, trained > 10), (6, true));
    let filled = ["run", &out, "--task", "fill-mask", "--text", "the film is [MASK]", "--device", "cpu"];
    assert!(assert_passes(&run(&filled)).contains("token 7: good"));
}

/// The head of another task, and the pooler before it, which are no part of the model that is trained.
#[test]
fn heads_of_other_tasks_are_written_back() {
    let folder = empty("kept-heads");
    let words = [&SPECIAL[..], &["the", "film", "is", "was", "good", "bad"]].concat();
    let config = json!({"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 16, "vocab_size": words.len(),
        "architectures": ["BertForPreTraining"]});
    let from = model(&folder.join("bert"), &config, Task::Pretrain, &words);
    let (data, out) = (folder.join("data.txt"), folder.join("out").display().to_string());
    fs::write(&data, "the film is good\nthe film was bad\n".repeat(8)).unwrap();
    let data = data.display().to_string();
    let arguments = ["train", "fill-mask", &from, &data, "--out", &out, "--device", "cpu", "--epochs", "1"];
    let told = stderr(&run(&arguments));
    assert!(told.contains("kept as they are, that the task has no use for: 4 weights: cls.seq_"), "{told}");
    let [before, after] = [&from, &out].map(|folder| Checkpoint::open(folder).unwrap());
    for (name, written) in [
        ("pooler.dense.weight", "bert.pooler.dense.weight"),
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
        ("cls.seq_relationship.weight", "cls.seq_relationship.weight"),
        ("cls.seq_relationship.bias", "cls.seq_relationship.bias"),
    ] {
        let before = before.tensor(name).unwrap();
        let after = after.tensor(written).unwrap_or_else(|| panic!("{written}"));
        assert_eq!((before.shape(), before.bytes()), (after.shape(), after.bytes()), "{name}");
    }
    assert!(after.names().all(|name| !name.starts_with("bert.cls")));
    // A copy of the embeddings, which training leaves behind, is not written: the folder can be trained for the first task again.
    let weights = Path::new(&from).join("model.safetensors");
    let mut tensors: Vec<(String, HostTensor)> = before
        .names()
        .map(|name| {
            let stored = before.tensor(name).unwrap();
            (
                name.to_owned(),
                HostTensor::from_bytes(&TensorDesc::f32(stored.shape()), stored.bytes()).unwrap(),
            )
        })
        .collect();
    let (_, words) = tensors.iter().find(|(name, _)| name == "embeddings.word_embeddings.weight").unwrap();
    tensors.push(("cls.predictions.decoder.weight".to_owned(), words.clone()));
    write_tensors(&weights, &tensors, &[]).unwrap();
    let rows = folder.join("rows.csv");
    fs::write(&rows, format!("text,label\n{}", "the film is good,a\nthe film was bad,b\n".repeat(4)))
        .unwrap();
    let (rows, labelled, again) = (
        rows.display().to_string(),
        folder.join("labelled").display().to_string(),
        folder.join("again").display().to_string(),
    );
    for (task, from, data, out) in
        [("classify", &from, &rows, &labelled), ("fill-mask", &labelled, &data, &again)]
    {
        let arguments = ["train", task, from, data, "--out", out, "--device", "cpu", "--epochs", "1"];
        assert_passes(&run(&arguments));
    }
    let labelled = Checkpoint::open(&labelled).unwrap();
    assert!(labelled.tensor("cls.predictions.decoder.weight").is_none());
    assert!(labelled.tensor("cls.predictions.transform.dense.weight").is_some());
    let filled = ["run", &out, "--task", "fill-mask", "--text", "the film is [MASK]", "--device", "cpu"];
    assert_passes(&run(&filled));
}
