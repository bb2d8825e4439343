//! Folders of files that are not trusted: a vocabulary and what is beside it, or the modules of a sentence encoder. Whatever the bytes, an
//! answer or a typed error, in bounded memory.
//!
//! The first byte picks the files, the rest are their contents, apart at bytes of 255, which no text holds.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use foveate::models::{Encoder, Model, Task};
use foveate::runtime::Device;
use foveate::tokenize::Tokenizer;
use foveate::weights::{Fields, Weights, parse_json, write_tensors};
use foveate::{DType, Error, ErrorKind};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
    "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 8}"#;

/// The files of each choice, the last of which may be binary.
const FILES: [&[&str]; 5] = [
    &["tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"],
    &["tokenizer_config.json", "added_tokens.json", "vocab.txt"],
    &["tokenizer_config.json", "vocab.json", "merges.txt"],
    &["tokenizer_config.json", "spiece.model"],
    &[
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer_config.json",
    ],
];

/// A folder of this process with a small model in it.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("foveate-fuzz-folder-{}", std::process::id()));
    for part in ["1_Pooling", "2_Dense"] {
        std::fs::create_dir_all(folder.join(part)).expect("the temporary folder is writable");
    }
    std::fs::write(folder.join("config.json"), CONFIG).expect("the folder is ours");
    let json = parse_json("config.json", CONFIG.as_bytes()).expect("it is JSON");
    let fields = Fields::new("config.json", json).expect("it is an object");
    let model = Model::from_config(&fields, Task::Embed).expect("it is sound");
    let weights = Weights::random(model.declarations(), DType::F32, 1).expect("f32 is a float");
    let tensors: Vec<_> = weights.iter().collect::<Result<_, _>>().expect("they are small");
    write_tensors(folder.join("model.safetensors"), &tensors, &[]).expect("the folder is ours");
    folder
});

fuzz_target!(|data: &[u8]| {
    let Some((&choice, contents)) = data.split_first() else { return };
    let files = FILES[choice as usize % FILES.len()];
    for (name, content) in files.iter().zip(contents.splitn(files.len(), |&byte| byte == 255)) {
        // An empty part is a file that is not there.
        if !content.is_empty() {
            std::fs::write(FOLDER.join(name), content).expect("the folder is ours");
        }
    }
    let result = if files[0] == "modules.json" { embed(&FOLDER) } else { tokenize(&FOLDER) };
    for name in files {
        let _ = std::fs::remove_file(FOLDER.join(name));
    }
    if let Err(error) = result {
        let known = [
            ErrorKind::Weights,
            ErrorKind::Config,
            ErrorKind::Io,
            ErrorKind::Argument,
            ErrorKind::Unsupported,
            ErrorKind::Shape,
        ];
        assert!(known.contains(&error.kind()), "{error:?}");
        assert!(error.to_string().len() < 100_000, "an error as long as the file");
    }
});

fn tokenize(folder: &Path) -> Result<(), Error> {
    let tokenizer = Tokenizer::open(folder)?;
    for text in ["", "Unable [MASK], CC(=O)Cl <mask>?", "ä€🦀\u{0} \u{2028}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa  a"] {
        for most in [usize::MAX, 4, 1] {
            let Ok(ids) = tokenizer.encode_truncated(text, most) else { continue };
            assert!(ids.len() <= most);
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "{ids:?}");
            let _ = tokenizer.decode(&ids);
            let _ = tokenizer.decode_all(&ids);
        }
        if let Ok(encoding) = tokenizer.encode_texts(&[text, "b a"], 9) {
            assert!(encoding.ids.len() <= 9 && encoding.types.len() == encoding.ids.len());
            let texts = [text, "b a"];
            for place in 0..encoding.ids.len() {
                if let Some(own) = encoding.texts[place] {
                    assert!(texts[own].get(encoding.offsets[place].clone()).is_some(), "an offset cuts a character");
                }
            }
        }
    }
    Ok(())
}

fn embed(folder: &Path) -> Result<(), Error> {
    let model = Model::open(folder, Task::Embed)?;
    let text = model.prompts().apply("a", None)?;
    assert!(text.ends_with('a'));
    let mut encoder = Encoder::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
    let embedding = &encoder.run(&[[1, 2]])?[0];
    assert_eq!(embedding.shape().elements(), model.pooling().width(model.facts().width));
    Ok(())
}
