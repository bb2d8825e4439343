//! Folders of sentence-transformers: what their modules make of hidden states, against the same by hand in f64.

use std::path::{Path, PathBuf};

use foveate::models::{Encoder, Model, PoolingKind, Task};
use foveate::runtime::Device;
use foveate::weights::write_tensors;
use foveate::{DType, Error, ErrorKind, HostTensor, Random};
use serde_json::{Value as Json, json};

use crate::support::{checkpoint, devices, encoder};

const WIDTH: usize = 128;
const OUT: usize = 24;

/// Sequences of 1 to 21 tokens.
fn sequences() -> Vec<Vec<u32>> {
    [1, 21, 2, 8].map(|length: u32| (0..length).map(|i| (i * 7 + length) % 24).collect()).to_vec()
}

/// The RoBERTa fixture in a folder of its own, with the modules behind it that `list` has: class and settings.
fn folder(name: &str, list: &[(&str, Json)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sentence-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("an old folder goes");
    }
    std::fs::create_dir_all(&folder).expect("a folder is made");
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(checkpoint("roberta-sapiens").join(file), folder.join(file)).expect("it is copied");
    }
    let mut modules =
        vec![json!({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"})];
    for (place, (class, settings)) in (1..).zip(list) {
        let path = format!("part-{place}");
        std::fs::create_dir_all(folder.join(&path)).expect("a folder is made");
        write(&folder.join(&path).join("config.json"), settings);
        modules.push(json!({"idx": place, "name": place.to_string(), "path": path,
            "type": format!("sentence_transformers.models.{class}")}));
    }
    write(&folder.join("modules.json"), &json!(modules));
    folder
}

fn write(path: &Path, json: &Json) {
    std::fs::write(path, json.to_string()).expect("it is written");
}

/// Seeded tensors in the file of the module at `place`.
fn write_weights(folder: &Path, place: usize, tensors: &[(&str, &[usize])]) -> Vec<HostTensor> {
    let mut random = Random::new(place as u64 + 1);
    let made: Vec<(String, HostTensor)> = tensors
        .iter()
        .map(|(name, shape)| {
            let values = (0..shape.iter().product()).map(|_| 0.2 * random.next_f32()).collect();
            ((*name).to_owned(), HostTensor::f32(*shape, values).expect("as many as the shape has"))
        })
        .collect();
    write_tensors(folder.join(format!("part-{place}/model.safetensors")), &made, &[]).expect("it is written");
    made.into_iter().map(|(_, tensor)| tensor).collect()
}

fn hidden() -> Vec<Vec<Vec<f64>>> {
    let mut encoder = encoder(&checkpoint("roberta-sapiens"), Task::Hidden, DType::F32, &Device::Cpu);
    let states = encoder.run(&sequences()).expect("the sequences fit");
    states.iter().map(|state| state.to_f64().chunks(WIDTH).map(<[f64]>::to_vec).collect()).collect()
}

/// The mean of rows by weights, for each channel.
fn weighted(rows: &[Vec<f64>], weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let sum: f64 = (0..rows.len()).map(&weight).sum();
    (0..WIDTH)
        .map(|c| rows.iter().enumerate().map(|(t, row)| weight(t) * row[c]).sum::<f64>() / sum)
        .collect()
}

fn pooled(rows: &[Vec<f64>], kind: PoolingKind) -> Vec<f64> {
    match kind {
        PoolingKind::First => rows[0].clone(),
        PoolingKind::Last => rows[rows.len() - 1].clone(),
        PoolingKind::Max => {
            (0..WIDTH).map(|c| rows.iter().map(|row| row[c]).fold(f64::MIN, f64::max)).collect()
        }
        PoolingKind::Mean => weighted(rows, |_| 1.0),
        PoolingKind::MeanSqrtLength => {
            weighted(rows, |_| 1.0).into_iter().map(|x| x * (rows.len() as f64).sqrt()).collect()
        }
        PoolingKind::WeightedMean => weighted(rows, |t| t as f64 + 1.0),
        other => panic!("{other:?} has no reference here"),
    }
}

/// Runs the folder on every device and compares.
fn assert_embeds(folder: &Path, expected: impl Fn(&[Vec<f64>]) -> Vec<f64>) {
    let hidden = hidden();
    for (device, at) in devices() {
        let found = encoder(folder, Task::Embed, DType::F32, &at).run(&sequences()).expect("it runs");
        for (rows, found) in hidden.iter().zip(&found) {
            let (found, expected) = (found.to_f64(), expected(rows));
            assert_eq!(found.len(), expected.len(), "{device}");
            let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (c, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let apart = (found - expected).abs() / largest;
                assert!(apart < 2e-5, "{device}, {} tokens, {c}: {found}, not {expected}", rows.len());
            }
        }
    }
}

#[test]
fn every_way_of_pooling_is_what_its_name_says() {
    let modes = [
        ("cls", "cls_token", PoolingKind::First),
        ("max", "max_tokens", PoolingKind::Max),
        ("mean", "mean_tokens", PoolingKind::Mean),
        ("mean_sqrt_len_tokens", "mean_sqrt_len_tokens", PoolingKind::MeanSqrtLength),
        ("weightedmean", "weightedmean_tokens", PoolingKind::WeightedMean),
        ("lasttoken", "lasttoken", PoolingKind::Last),
    ];
    for (mode, flag, kind) in modes {
        // As versions since 5.4 write it, and as those before do.
        let compact = json!({"embedding_dimension": WIDTH, "pooling_mode": mode, "include_prompt": true});
        let mut flags = json!({"word_embedding_dimension": WIDTH});
        for (_, other, _) in modes {
            flags[format!("pooling_mode_{other}")] = (other == flag).into();
        }
        for (how, settings) in [("compact", compact), ("flags", flags)] {
            let folder = folder(&format!("{mode}-{how}"), &[("Pooling", settings)]);
            let model = Model::open(&folder, Task::Embed).expect("it opens");
            assert_eq!((model.pooling().kinds(), model.pooling().is_normalized()), (&[kind][..], false));
            if how == "compact" {
                assert_embeds(&folder, |rows| pooled(rows, kind));
            }
        }
    }
    // Flags have an order of their own, a list has its own.
    let all = folder(
        "all",
        &[(
            "Pooling",
            json!({"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}),
        )],
    );
    let kinds = [PoolingKind::First, PoolingKind::Mean, PoolingKind::Last];
    assert_embeds(&all, |rows| kinds.iter().flat_map(|&kind| pooled(rows, kind)).collect());
    let listed = folder("listed", &[("Pooling", json!({"pooling_mode": ["lasttoken", "max"]}))]);
    let kinds = [PoolingKind::Last, PoolingKind::Max];
    assert_embeds(&listed, |rows| kinds.iter().flat_map(|&kind| pooled(rows, kind)).collect());
}

#[test]
fn layers_behind_the_pooling_are_run_in_their_order() {
    let dense = json!({"in_features": 2 * WIDTH, "out_features": OUT, "bias": true,
        "activation_function": "torch.nn.modules.activation.Tanh"});
    let folder = folder(
        "layers",
        &[
            ("Pooling", json!({"pooling_mode": ["mean", "max"]})),
            ("Dense", dense),
            ("Dropout", json!({"dropout": 0.1})),
            ("LayerNorm", json!({"dimension": OUT})),
            (
                "Dense",
                json!({"in_features": OUT, "out_features": OUT, "bias": false, "use_residual": true,
                "activation_function": "torch.nn.modules.linear.Identity", "module_input_name": "sentence_embedding"}),
            ),
            ("Normalize", json!({})),
        ],
    );
    let first = write_weights(&folder, 2, &[("linear.weight", &[OUT, 2 * WIDTH]), ("linear.bias", &[OUT])]);
    let norm = write_weights(&folder, 4, &[("norm.weight", &[OUT]), ("norm.bias", &[OUT])]);
    let second = write_weights(&folder, 5, &[("linear.weight", &[OUT, OUT])]);
    let product = |weight: &HostTensor, x: &[f64]| -> Vec<f64> {
        weight.to_f64().chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    assert_embeds(&folder, |rows| {
        let x = [pooled(rows, PoolingKind::Mean), pooled(rows, PoolingKind::Max)].concat();
        let bias = first[1].to_f64();
        let x: Vec<f64> = product(&first[0], &x).iter().zip(&bias).map(|(x, b)| (x + b).tanh()).collect();
        let mean = x.iter().sum::<f64>() / OUT as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / OUT as f64;
        let (weight, bias) = (norm[0].to_f64(), norm[1].to_f64());
        let scaled = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
        let x: Vec<f64> = scaled.zip(weight.iter().zip(&bias)).map(|(x, (w, b))| x * w + b).collect();
        let x: Vec<f64> = product(&second[0], &x).iter().zip(&x).map(|(y, x)| y + x).collect();
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.into_iter().map(|x| x / length).collect()
    });
    let model = Model::open(&folder, Task::Embed).expect("it opens");
    assert_eq!(model.pooling().width(WIDTH), OUT);
    assert_eq!(
        model.pooling().to_string(),
        "the mean of all tokens and the largest of each channel, a dense layer of 24, layer normalisation, a dense layer of 24, \
         normalised"
    );
    // In f16, where sums and lengths are f32.
    let mut half = encoder(&folder, Task::Embed, DType::F16, &Device::Cpu);
    assert_eq!(half.run(&sequences()).expect("it runs").len(), 4);

    std::fs::remove_file(folder.join("part-4/model.safetensors")).expect("it was there");
    std::fs::write(folder.join("part-4/pytorch_model.bin"), b"x").expect("it is written");
    let error = Model::open(&folder, Task::Embed).expect_err("a pickle");
    assert!(
        error.to_string().contains("pytorch_model.bin") && error.to_string().contains("torch.load"),
        "{error}"
    );
}

#[test]
fn a_network_in_a_folder_of_its_own_opens() {
    let root = folder("nested", &[("Pooling", json!({"pooling_mode": "cls"}))]);
    let inner = root.join("0_Transformer");
    std::fs::create_dir_all(&inner).expect("a folder is made");
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::rename(root.join(file), inner.join(file)).expect("it is moved");
    }
    write(&inner.join("sentence_roberta_config.json"), &json!({"max_seq_length": 9, "do_lower_case": false}));
    let list = std::fs::read_to_string(root.join("modules.json")).expect("it is there");
    std::fs::write(root.join("modules.json"), list.replace(r#""path":"""#, r#""path":"0_Transformer""#))
        .expect("it is written");
    let model = Model::open(&root, Task::Embed).expect("it opens");
    assert_eq!(model.facts().max_tokens, 9);
    assert!(Model::open(&root, Task::Logits).is_ok());
    assert!(foveate::tokenize::Tokenizer::open(&root).is_ok());
}

#[test]
fn modules_and_fields_that_are_not_known_are_refused_by_name() {
    let refused = |name: &str, list: &[(&str, Json)], parts: &[&str]| {
        let error = Model::open(folder(name, list), Task::Embed).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    };
    let pooling = || ("Pooling", json!({"pooling_mode": "mean"}));
    for class in
        ["WeightedLayerPooling", "CNN", "LSTM", "WordWeights", "Asym", "Router", "Transformer", "Pooling"]
    {
        refused(class, &[pooling(), (class, json!({}))], &["modules.json: type", class]);
    }
    refused("order", &[("Normalize", json!({})), pooling()], &["modules.json: type", "Normalize"]);
    refused("unpooled", &[("Dropout", json!({}))], &["modules.json: type", "a Pooling"]);
    refused("mode", &[("Pooling", json!({"pooling_mode": "median"}))], &["part-1", "pooling_mode", "median"]);
    refused("flag", &[("Pooling", json!({"pooling_mode_median": true}))], &["pooling_mode_median"]);
    refused(
        "width",
        &[("Pooling", json!({"word_embedding_dimension": 127}))],
        &["word_embedding_dimension", "128"],
    );
    let dense = |settings: Json| [pooling(), ("Dense", settings)];
    refused("inner", &dense(json!({"in_features": 3, "out_features": 4})), &["in_features", "128"]);
    for (field, value) in [
        ("activation_function", json!("torch.nn.modules.activation.Hardtanh")),
        ("activation_function", json!("mine.Tanh")),
        ("module_input_name", json!("token_embeddings")),
        ("gain", json!(3)),
    ] {
        let mut settings = json!({"in_features": WIDTH, "out_features": 4});
        settings[field] = value;
        refused("field", &dense(settings), &["part-2", field]);
    }
    let root = folder("foreign", &[pooling()]);
    for (file, field, value) in [
        ("modules.json", "type", json!([{"path": "", "type": "custom_st.Transformer"}])),
        (
            "modules.json",
            "path",
            json!([{"path": "../x", "type": "sentence_transformers.models.Transformer"}]),
        ),
        ("sentence_bert_config.json", "transformer_task", json!({"transformer_task": "fill-mask"})),
        ("sentence_bert_config.json", "query_expansion", json!({"query_expansion": {"length": 32}})),
        (
            "sentence_bert_config.json",
            "tokenizer_args",
            json!({"tokenizer_args": {"add_prefix_space": true}}),
        ),
        ("sentence_bert_config.json", "median", json!({"median": true})),
        ("config_sentence_transformers.json", "model_type", json!({"model_type": "SparseEncoder"})),
        (
            "config_sentence_transformers.json",
            "default_prompt_name",
            json!({"default_prompt_name": "passage"}),
        ),
        ("config_sentence_transformers.json", "query", json!({"prompts": {"query": 3}})),
        ("tokenizer_config.json", "model_max_length", json!({"model_max_length": 0})),
        ("tokenizer_config.json", "model_max_length", json!({"model_max_length": "many"})),
        ("tokenizer_config.json", "model_max_length", json!({"model_max_length": []})),
        ("config.json", "quantization_config", json!({"quantization_config": {"bits": 8}})),
    ] {
        let path = root.join(file);
        let before = std::fs::read(&path).ok();
        write(&path, &value);
        let error = Model::open(&root, Task::Embed).expect_err(field);
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(file) && error.to_string().contains(field), "{error}");
        match before {
            Some(before) => std::fs::write(&path, before).expect("it is written"),
            None => std::fs::remove_file(&path).expect("it was there"),
        }
    }
}

#[test]
fn prompts_are_those_of_the_folder() -> Result<(), Error> {
    let root = folder("prompts", &[("Pooling", json!({"pooling_mode": "mean", "include_prompt": false}))]);
    assert_eq!(Model::open(&root, Task::Embed)?.prompts().apply("a", None)?, "a");
    write(
        &root.join("config_sentence_transformers.json"),
        &json!({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}),
    );
    let model = Model::open(&root, Task::Embed)?;
    let error = model.prompts().apply("a", None).expect_err("the prompt must not be pooled");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("include_prompt"), "{error}");
    assert_eq!(model.prompts().apply("a", Some("document"))?, "a");

    write(&root.join("part-1/config.json"), &json!({"pooling_mode": "mean"}));
    let model = Model::open(&root, Task::Embed)?;
    assert_eq!(model.prompts().default_name(), Some("query"));
    assert_eq!(model.prompts().apply("a", None)?, "q: a");
    assert_eq!(model.prompts().apply("a", Some("passage"))?, "p: a");
    let error = model.prompts().apply("a", Some("x")).expect_err("there is none");
    assert!(error.to_string().contains("one of query, document, passage"), "{error}");
    assert_eq!(Model::open(&root, Task::Hidden)?.prompts().apply("a", None)?, "a");
    Ok(())
}

#[test]
fn a_tokenizer_s_longest_text_holds_where_the_module_says_nothing() -> Result<(), Error> {
    let root = folder("longest", &[("Pooling", json!({}))]);
    for (length, expected) in [(json!(1e30), 144), (json!(50), 50), (json!(200), 144)] {
        write(&root.join("tokenizer_config.json"), &json!({"model_max_length": length}));
        assert_eq!(Model::open(&root, Task::Embed)?.facts().max_tokens, expected);
    }
    write(&root.join("sentence_bert_config.json"), &json!({"max_seq_length": 60}));
    assert_eq!(Model::open(&root, Task::Embed)?.facts().max_tokens, 60);
    write(
        &root.join("sentence_bert_config.json"),
        &json!({"transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}}),
    );
    let model = Model::open(&root, Task::Embed)?;
    assert_eq!(model.facts().max_tokens, 144);
    Encoder::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
    Ok(())
}
