//! Configurations and inputs that cannot be.

use foveate::models::{Model, PoolingKind, Task};
use foveate::runtime::Device;
use foveate::weights::Fields;
use foveate::{DType, Error, ErrorKind};

use crate::support::{checkpoint, encoder};

/// The RoBERTa fixture's configuration with one field replaced, or taken out.
fn with(field: &str, value: Option<serde_json::Value>) -> Result<Model, Error> {
    let mut json = foveate::weights::read_json(checkpoint("roberta-sapiens").join("config.json"))?;
    let object = json.as_object_mut().expect("a configuration is an object");
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
    Model::from_config(&Fields::new("config.json", json)?, Task::Logits)
}

#[test]
fn fields_that_are_absent_or_nonsensical_are_refused_by_name() {
    for field in [
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let absent = with(field, None).expect_err("the field is needed");
        assert_eq!(absent.kind(), ErrorKind::Config);
        assert!(absent.to_string().contains(field), "{absent}");
        let nonsense = with(field, Some((-3).into())).expect_err("the field has a range");
        assert_eq!(nonsense.kind(), ErrorKind::Config);
        assert!(nonsense.to_string().contains(field), "{nonsense}");
    }
    for (field, value) in [
        ("num_attention_heads", 7.into()),
        ("num_hidden_layers", 0.into()),
        ("hidden_size", 1_000_000_000_000_u64.into()),
        ("hidden_size", "wide".into()),
        ("layer_norm_eps", (-1.0).into()),
        ("hidden_act", "softsign".into()),
        ("position_embedding_type", "relative_value".into()),
        ("tie_word_embeddings", "no".into()),
        ("is_decoder", true.into()),
        ("pad_token_id", 145.into()),
        ("max_position_embeddings", 1.into()),
        ("max_position_embeddings", 2.into()),
    ] {
        let error = with(field, Some(value)).expect_err("the field is nonsensical");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// Names of Hugging Face's table that mean the same formula.
#[test]
fn activations_have_all_their_names() {
    let network = |model_type, field, name: &str| {
        let model = tiny_for(model_type, field, Some(name.into()), Task::Hidden);
        format!("{:?}", model.unwrap_or_else(|error| panic!("{error}")).network())
    };
    for (name, other) in [
        ("gelu_python", "gelu"),
        ("gelu_fast", "gelu_new"),
        ("gelu_accurate", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_new"),
        ("gelu_python_tanh", "gelu_new"),
        ("swish", "silu"),
    ] {
        assert_eq!(network("bert", "hidden_act", name), network("bert", "hidden_act", other), "{name}");
    }
    let all = ["gelu", "gelu_new", "quick_gelu", "leaky_relu", "mish", "relu", "relu6", "silu", "tanh"];
    let different: std::collections::BTreeSet<String> =
        all.iter().map(|name| network("bert", "hidden_act", name)).collect();
    assert_eq!(different.len(), all.len());
}

/// A configuration that is sound but for one field, replaced or taken out.
fn tiny(model_type: &str, field: &str, value: Option<serde_json::Value>) -> Result<Model, Error> {
    tiny_for(model_type, field, value, Task::Answer)
}

fn tiny_for(
    model_type: &str,
    field: &str,
    value: Option<serde_json::Value>,
    task: Task,
) -> Result<Model, Error> {
    let mut json = serde_json::json!({
        "model_type": model_type, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 16, "attention_window": [4, 2],
        "relative_attention": true, "position_biased_input": false, "pos_att_type": "c2p|p2c",
        "max_relative_positions": -1, "conv_kernel_size": 3,
    });
    let object = json.as_object_mut().expect("a configuration is an object");
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
    Model::from_config(&Fields::new("config.json", json)?, task)
}

fn is_refused(model_type: &str, field: &str, value: Option<serde_json::Value>) {
    let shown = format!("{model_type}, {field}: {value:?}");
    let error = tiny(model_type, field, value).expect_err(&shown);
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains(field), "{shown}: {error}");
}

#[test]
fn longformer_has_a_window_for_each_layer() {
    for window in [None, Some(4.into()), Some(serde_json::json!([2, 512]))] {
        tiny("longformer", "attention_window", window).expect("the windows are sound");
    }
    for window in ["3", "0", "-4", "\"4\"", "2.5", "[4]", "[4, 3]", "[4, 4, 4]", "[4, null]", "{}", "1e30"] {
        let window = serde_json::from_str(window).expect("it is JSON");
        is_refused("longformer", "attention_window", Some(window));
    }
    is_refused("longformer", "sep_token_id", Some((-1).into()));
    is_refused("longformer", "sep_token_id", Some("</s>".into()));
}

#[test]
fn variations_that_deberta_does_not_have_are_refused_by_name() {
    for model_type in ["deberta", "deberta-v2"] {
        tiny(model_type, "nothing", None).expect("the configuration is sound");
        tiny(model_type, "pos_att_type", Some(serde_json::json!(["p2c"]))).expect("one term is enough");
        for field in ["relative_attention", "pos_att_type", "hidden_size"] {
            is_refused(model_type, field, None);
        }
        for (field, value) in [
            ("relative_attention", serde_json::json!(false)),
            ("position_biased_input", serde_json::json!("yes")),
            ("position_embedding_type", serde_json::json!("relative_key")),
            ("talking_head", serde_json::json!(true)),
            ("pos_att_type", serde_json::json!([])),
            ("pos_att_type", serde_json::json!("c2p|p2p")),
            ("pos_att_type", serde_json::json!(["c2p", "c2p"])),
            ("pos_att_type", serde_json::json!(["c2p", 2])),
            ("max_relative_positions", serde_json::json!("far")),
            ("max_relative_positions", serde_json::json!(1.5)),
            ("embedding_size", serde_json::json!(0)),
            ("pooler_hidden_size", serde_json::json!(4)),
            ("pooler_hidden_act", serde_json::json!("softsign")),
            ("attention_head_size", serde_json::json!(8)),
            ("type_vocab_size", serde_json::json!(-1)),
        ] {
            is_refused(model_type, field, Some(value));
        }
    }
    tiny("deberta-v2", "position_buckets", Some(8.into())).expect("buckets to half of the positions");
    for (field, value) in [
        ("position_buckets", serde_json::json!(1)),
        ("position_buckets", serde_json::json!(30)),
        ("position_buckets", serde_json::json!("many")),
        ("norm_rel_ebd", serde_json::json!("batch_norm")),
        ("conv_kernel_size", serde_json::json!(4)),
        ("conv_kernel_size", serde_json::json!(65)),
        ("conv_groups", serde_json::json!(3)),
        ("share_att_key", serde_json::json!("yes")),
    ] {
        is_refused("deberta-v2", field, Some(value));
    }
}

#[test]
fn roberta_without_a_padding_id_needs_positions_behind_the_usual_one() {
    for positions in [1, 2] {
        let json = serde_json::json!({
            "model_type": "roberta", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
            "intermediate_size": 4, "vocab_size": 4, "max_position_embeddings": positions,
        });
        let fields = Fields::new("config.json", json).expect("an object");
        let error = Model::from_config(&fields, Task::Embed).expect_err("no token has a position");
        assert_eq!(
            error.to_string(),
            format!(
                "config.json: max_position_embeddings: expected more than 2, as positions begin behind pad_token_id, found \
                 {positions}"
            )
        );
    }
}

#[test]
fn a_bert_head_has_the_names_of_hugging_face_s_files() {
    let json = serde_json::json!({
        "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 8,
    });
    let fields = Fields::new("config.json", json).expect("an object");
    let model = Model::from_config(&fields, Task::Logits).expect("the configuration is sound");
    let declarations = model.declarations();
    let head: Vec<_> = declarations
        .list()
        .iter()
        .filter(|weight| weight.name.starts_with("cls."))
        .map(|weight| (weight.name.as_str(), weight.shape.dims()))
        .collect();
    assert_eq!(
        head,
        [
            ("cls.predictions.bias", &[6][..]),
            ("cls.predictions.transform.dense.weight", &[4, 4]),
            ("cls.predictions.transform.dense.bias", &[4]),
            ("cls.predictions.transform.LayerNorm.weight", &[4]),
            ("cls.predictions.transform.LayerNorm.bias", &[4]),
        ]
    );
    let tied: Vec<_> = declarations.tied().map(|(copy, of)| (copy, of.name.as_str())).collect();
    assert_eq!(
        tied,
        [
            ("cls.predictions.decoder.bias", "cls.predictions.bias"),
            ("cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"),
        ]
    );
}

#[test]
fn a_decoder_that_is_not_tied_has_weights_of_its_own() {
    for (model_type, decoder) in [
        ("bert", "cls.predictions.decoder.weight"),
        ("roberta", "lm_head.decoder.weight"),
        ("albert", "predictions.decoder.weight"),
        ("longformer", "lm_head.decoder.weight"),
        ("deberta", "cls.predictions.decoder.weight"),
        ("deberta-v2", "cls.predictions.decoder.weight"),
        ("gpt2", "lm_head.weight"),
    ] {
        let json = serde_json::json!({
            "model_type": model_type, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 16, "attention_window": 2,
            "relative_attention": true, "pos_att_type": "c2p", "embedding_size": 4, "tie_word_embeddings": false,
            "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 8,
        });
        let fields = Fields::new("config.json", json).expect("an object");
        let model = Model::from_config(&fields, Task::Logits).expect("the configuration is sound");
        let weight = model.declarations().find(decoder).unwrap_or_else(|| panic!("{model_type}: {decoder}"));
        let width = if ["bert", "roberta", "longformer"].contains(&model_type) { 8 } else { 4 };
        assert_eq!(weight.shape.dims(), [6, width], "{model_type}");
        assert!(model.declarations().tied().all(|(copy, _)| copy != decoder), "{model_type}");
    }
}

#[test]
fn labels_are_read_where_they_are_needed() {
    for model_type in ["bert", "roberta", "albert", "longformer", "deberta", "gpt2"] {
        let open = |task| {
            let json = serde_json::json!({
                "model_type": model_type, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 4, "vocab_size": 6, "max_position_embeddings": 16, "attention_window": 2,
                "relative_attention": true, "pos_att_type": "c2p", "n_embd": 4, "n_layer": 1, "n_head": 2,
                "n_positions": 8, "id2label": {"1": "a label without a first"},
            });
            Model::from_config(&Fields::new("config.json", json).expect("an object"), task)
        };
        for task in [Task::Embed, Task::Hidden, Task::Logits] {
            open(task).expect("the task has no labels");
        }
        let error = open(Task::Classify).expect_err("the labels have a gap");
        assert!(error.to_string().contains("id2label"), "{model_type}: {error}");
    }
}

#[test]
fn t5_has_any_activation_with_a_gate_or_without() {
    let open = |feed_forward: &str| {
        let json = serde_json::json!({
            "model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 6, "num_layers": 1, "num_heads": 2,
            "vocab_size": 6, "feed_forward_proj": feed_forward, "eos_token_id": [1, 2],
        });
        Model::from_config(&Fields::new("config.json", json).expect("an object"), Task::Logits)
    };
    for (feed_forward, first) in [
        ("relu", "wi"),
        ("quick_gelu", "wi"),
        ("gated-gelu", "wi_0"),
        ("gated-relu2", "wi_0"),
        ("gated-silu", "wi_0"),
    ] {
        let model = open(feed_forward).expect(feed_forward);
        let name = format!("decoder.block.0.layer.2.DenseReluDense.{first}.weight");
        assert!(model.declarations().find(&name).is_some(), "{feed_forward}");
    }
    for feed_forward in ["softsign", "gated", "gated-", "gated-gated-relu", "relu-gated"] {
        let error = open(feed_forward).expect_err(feed_forward);
        assert!(error.to_string().contains("feed_forward_proj"), "{error}");
    }
}

/// The RoBERTa fixture in a folder of its own, with these files of a sentence encoder beside it.
fn sentence_encoder(name: &str, pooling: &str, modules: &str) -> Result<Model, Error> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(folder.join("1_Pooling")).expect("a folder is made");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(checkpoint("roberta-sapiens").join(file), folder.join(file)).expect("it is copied");
    }
    std::fs::write(folder.join("1_Pooling/config.json"), pooling).expect("it is written");
    std::fs::write(folder.join("modules.json"), modules).expect("it is written");
    Model::open(&folder, Task::Embed)
}

#[test]
fn pooling_is_what_the_folder_says() {
    let plain = r#"[{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]"#;
    let first = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
    let model = sentence_encoder("models-pooling-first", first, plain).expect("it opens");
    assert_eq!(
        (model.pooling().kinds(), model.pooling().is_normalized()),
        (&[PoolingKind::First][..], false)
    );

    let weighted = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_weightedmean_tokens": true}"#;
    let model = sentence_encoder("models-pooling-weighted", weighted, plain).expect("it opens");
    assert_eq!(model.pooling().kinds(), [PoolingKind::Mean, PoolingKind::WeightedMean]);
    assert_eq!(model.pooling().width(128), 256);
}

#[test]
fn another_architecture_is_refused_by_name() {
    let error = with("model_type", Some("rowberta".into())).expect_err("there is no such family");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let shown = error.to_string();
    assert!(shown.starts_with("config.json: model_type: expected one of bert, roberta, albert, "), "{shown}");
    assert!(shown.contains("found \"rowberta\"") && shown.contains("the nearest is roberta"), "{shown}");
}

#[test]
fn sequences_the_model_cannot_take_are_refused_by_place() {
    let mut encoder = encoder(&checkpoint("roberta-sapiens"), Task::Embed, DType::F32, &Device::Cpu);
    let refused = |sequences: &[Vec<u32>], encoder: &mut foveate::models::Encoder| {
        encoder.run(sequences).expect_err("the sequences are refused").to_string()
    };
    assert_eq!(
        refused(&[vec![0, 2], vec![]], &mut encoder),
        "encoder: sequence 1: expected 1 to 144 tokens, found 0"
    );
    assert_eq!(
        refused(&[vec![4; 145]], &mut encoder),
        "encoder: sequence 0: expected 1 to 144 tokens, found 145"
    );
    assert_eq!(
        refused(&[vec![0, 2], vec![0, 25, 2]], &mut encoder),
        "encoder: sequence 1, token 1: expected an id below 25, found 25"
    );
    assert_eq!(encoder.usage().sequences, 0);
    assert!(encoder.run(&[] as &[Vec<u32>]).expect("nothing is nothing").is_empty());
    let error = encoder.run_at(&[vec![0, 2]], &[vec![0]]).expect_err("the task is another");
    assert_eq!(error.to_string(), "encoder: task: expected Logits, found Embed");
}

#[test]
fn a_file_of_another_model_lists_every_difference() {
    let mut json =
        foveate::weights::read_json(checkpoint("roberta-sapiens").join("config.json")).expect("JSON");
    json["hidden_size"] = 64.into();
    json["num_hidden_layers"] = 5.into();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("models-another");
    std::fs::create_dir_all(&folder).expect("a folder is made");
    std::fs::write(folder.join("config.json"), json.to_string()).expect("it is written");
    std::fs::copy(checkpoint("roberta-sapiens").join("model.safetensors"), folder.join("model.safetensors"))
        .expect("it is copied");
    let model = Model::open(&folder, Task::Logits).expect("each file is sound");
    let error = model.load(DType::F32).expect_err("they do not fit");
    assert_eq!(error.kind(), ErrorKind::Weights);
    let text = error.to_string();
    assert!(text.contains("roberta.encoder.layer.4.attention.self.query.weight"), "{text}");
    assert!(text.contains("roberta.embeddings.word_embeddings.weight"), "{text}");
}

/// A T5 configuration with one field replaced, or taken out.
fn t5_with(field: &str, value: Option<serde_json::Value>) -> Result<Model, Error> {
    let mut json = serde_json::json!({
        "model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "num_layers": 1, "vocab_size": 9,
    });
    let object = json.as_object_mut().expect("a configuration is an object");
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
    Model::from_config(&Fields::new("config.json", json)?, Task::Logits)
}

#[test]
fn fields_of_t5_are_refused_by_name() {
    t5_with("eos_token_id", Some(1.into())).expect("the configuration is sound");
    for field in ["d_model", "d_kv", "d_ff", "num_heads", "num_layers", "vocab_size"] {
        for value in [None, Some(0.into()), Some("many".into())] {
            let error = t5_with(field, value).expect_err("the field is needed");
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains(field), "{error}");
        }
    }
    for (field, value) in [
        ("feed_forward_proj", "gated-softmax".into()),
        ("relative_attention_num_buckets", 2.into()),
        ("relative_attention_num_buckets", 7.into()),
        ("relative_attention_max_distance", 16.into()),
        ("decoder_start_token_id", 9.into()),
        ("eos_token_id", (-1).into()),
        ("num_decoder_layers", 0.into()),
        ("d_kv", 257.into()),
        ("tie_word_embeddings", "yes".into()),
        ("layer_norm_epsilon", 0.into()),
    ] {
        let error = t5_with(field, Some(value)).expect_err("the field is nonsensical");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// A Transformer-XL configuration with one field replaced, or taken out.
fn transfo_xl_with(field: &str, value: Option<serde_json::Value>) -> Result<Model, Error> {
    let mut json = serde_json::json!({
        "model_type": "transfo-xl", "vocab_size": 20, "cutoffs": [4, 9], "d_model": 8, "d_embed": 8, "d_inner": 8,
        "d_head": 4, "n_head": 2, "n_layer": 1, "mem_len": 4, "div_val": 1,
    });
    let object = json.as_object_mut().expect("a configuration is an object");
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
    Model::from_config(&Fields::new("config.json", json)?, Task::Logits)
}

#[test]
fn fields_of_transformer_xl_are_refused_by_name() {
    for (field, value) in
        [("cutoffs", serde_json::json!([])), ("div_val", 2.into()), ("clamp_len", (-1).into())]
    {
        transfo_xl_with(field, Some(value)).expect("the configuration is sound");
    }
    for field in ["vocab_size", "cutoffs", "d_model", "d_inner", "d_head", "n_head", "n_layer", "mem_len"] {
        for value in [None, Some(0.into()), Some("many".into())] {
            let error = transfo_xl_with(field, value).expect_err("the field is needed");
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains(field), "{error}");
        }
    }
    for (field, value) in [
        ("cutoffs", serde_json::json!([9, 4])),
        ("cutoffs", serde_json::json!([4, 20])),
        ("cutoffs", serde_json::json!([0, 4])),
        ("cutoffs", serde_json::json!([4, -9])),
        ("div_val", 4.into()),
        ("d_model", 7.into()),
        ("clamp_len", "far".into()),
        ("attn_type", 1.into()),
        ("tie_projs", serde_json::json!([true])),
        ("tie_projs", serde_json::json!([1, 0, 1])),
        ("tie_word_embeddings", false.into()),
        ("same_length", 3.into()),
    ] {
        let error = transfo_xl_with(field, Some(value)).expect_err("the field is nonsensical");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}
