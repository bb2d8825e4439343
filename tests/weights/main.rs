//! Checkpoints: what is read from good files, and how damaged ones are refused.

mod config;
mod opening;

use std::path::{Path, PathBuf};

use foveate::weights::{Checkpoint, Declarations, Fields, Weights};
use foveate::{DType, Error, ErrorKind, HostTensor, TensorDesc};
use half::{bf16, f16};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

/// A safetensors file from its parts, sound or not.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A file that holds one tensor `w`.
fn one(dtype: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    file(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{}]}}}}"#, data.len()), data)
}

/// Declares `w` alone.
fn wanted<const N: usize>(shape: [usize; N]) -> Declarations {
    let mut declarations = Declarations::new();
    declarations.root().weight("w", shape).expect("nothing declared before");
    declarations
}

fn load(bytes: Vec<u8>, declarations: &Declarations, dtype: DType) -> Result<HostTensor, Error> {
    Checkpoint::from_bytes("test", bytes)?.load(declarations, dtype)?.get("w")
}

fn refusal(bytes: Vec<u8>) -> String {
    let error = Checkpoint::from_bytes("test", bytes).expect_err("the file is damaged");
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    assert!(error.to_string().len() < 1000, "bounded: {error}");
    error.to_string()
}

/// An empty folder of its own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("weights-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("an old folder goes");
    }
    std::fs::create_dir_all(&folder).expect("a folder is made");
    folder
}

/// Declarations in the shape of RoBERTa, from its configuration.
fn roberta(config: &Fields) -> Result<Declarations, Error> {
    let hidden = config.usize("hidden_size", 1..=1 << 16)?;
    let inner = config.usize("intermediate_size", 1..=1 << 18)?;
    let vocabulary = config.usize("vocab_size", 1..=1 << 24)?;
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let mut embeddings = root.at("roberta.embeddings");
    let words = embeddings.weight("word_embeddings.weight", [vocabulary, hidden])?;
    let positions = config.usize("max_position_embeddings", 1..=1 << 16)?;
    embeddings.weight("position_embeddings.weight", [positions, hidden])?;
    embeddings.weight("token_type_embeddings.weight", [config.usize("type_vocab_size", 1..=16)?, hidden])?;
    embeddings.ignore("position_ids");
    for name in ["weight", "bias"] {
        embeddings.at("LayerNorm").weight(name, [hidden])?;
    }
    for layer in 0..config.usize("num_hidden_layers", 1..=1 << 10)? {
        let mut layer = root.at(format_args!("roberta.encoder.layer.{layer}"));
        for (path, rows, columns) in [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ] {
            layer.at(path).weight("weight", [rows, columns])?;
            layer.at(path).weight("bias", [rows])?;
        }
        for path in ["attention.output.LayerNorm", "output.LayerNorm"] {
            layer.at(path).weight_or(&["weight", "gamma"], [hidden])?;
            layer.at(path).weight_or(&["bias", "beta"], [hidden])?;
        }
    }
    let mut head = root.at("lm_head");
    head.at("dense").weight("weight", [hidden, hidden])?;
    head.at("dense").weight("bias", [hidden])?;
    head.at("layer_norm").weight("weight", [hidden])?;
    head.at("layer_norm").weight("bias", [hidden])?;
    let bias = head.weight("bias", [vocabulary])?;
    head.tied("decoder.weight", &words)?;
    head.tied("decoder.bias", &bias)?;
    Ok(declarations)
}

#[test]
fn a_trained_model_is_loaded_whole() -> Result<(), Error> {
    let folder = fixtures().join("roberta-sapiens");
    let declarations = roberta(&Fields::open(folder.join("config.json"))?)?;
    let checkpoint = Checkpoint::open(&folder)?;
    assert!(checkpoint.has_prefix("roberta."));
    assert!(!checkpoint.has_prefix("bert."));
    let comparison = checkpoint.compare(&declarations);
    assert!(comparison.is_complete(), "{comparison}");
    assert_eq!(comparison.to_string(), "no difference");

    let weights = checkpoint.load(&declarations, DType::F32)?;
    let bytes: u64 =
        declarations.list().iter().map(|declaration| declaration.shape.elements() as u64 * 4).sum();
    assert_eq!(weights.bytes(), bytes);
    for (item, declaration) in weights.iter().zip(declarations.list()) {
        let (name, tensor) = item?;
        assert_eq!(name, declaration.name);
        assert_eq!(tensor.shape(), &declaration.shape);
        let stored = checkpoint.tensor(&name).expect("it was loaded");
        assert_eq!((stored.dtype().as_str(), stored.bytes()), ("F32", tensor.bytes()));
    }
    Ok(())
}

#[test]
fn a_tied_copy_may_be_there_and_must_be_equal() -> Result<(), Error> {
    let checkpoint = Checkpoint::open(fixtures().join("albert-rxnmapper/model.safetensors"))?;
    let declare = |to: &str, shape: [usize; 2]| -> Result<_, Error> {
        let mut declarations = Declarations::new();
        let mut root = declarations.root();
        let words = root.weight(to, shape)?;
        root.tied("predictions.decoder.weight", &words)?;
        root.ignore("albert.");
        root.ignore("predictions");
        Ok(checkpoint.compare(&declarations))
    };
    let tied = declare("albert.embeddings.word_embeddings.weight", [591, 128])?;
    assert!(tied.is_complete(), "{tied}");
    assert_eq!(tied.ignored.len(), 28);
    let other = declare("predictions.dense.weight", [128, 256])?;
    assert_eq!(other.misshapen.len(), 1, "{other}");

    let data: Vec<u8> = [1_f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"copy":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let mut declarations = Declarations::new();
    let weight = declarations.root().weight("w", [1])?;
    declarations.root().tied("copy", &weight)?;
    let untied = Checkpoint::from_bytes("test", file(header, &data))?.load(&declarations, DType::F32);
    let error = untied.expect_err("the copy differs");
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().contains("differing copy: not equal to w"), "{error}");
    Ok(())
}

#[test]
fn every_difference_is_in_one_error() -> Result<(), Error> {
    let folder = fixtures().join("roberta-sapiens");
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    root.weight("lm_head.bias", [26])?;
    root.at("lm_head.dense").weight_or(&["kernel", "weights"], [128, 128])?;
    let error = Checkpoint::open(&folder)?.load(&declarations, DType::F16).expect_err("they differ");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Weights);
    for expected in [
        "roberta-sapiens/model.safetensors",
        "\nmissing lm_head.dense.kernel (or lm_head.dense.weights)",
        "\nmisshapen lm_head.bias: expected [26], found [25]",
        "\nunexpected lm_head.dense.weight",
        "\nunexpected: and 53 more",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let ints = Checkpoint::from_bytes("test", one("I64", "[1]", &[0; 8]))?;
    let comparison = ints.compare(&wanted([1]));
    assert_eq!(comparison.to_string(), "unsupported w: I64");
    assert!(!comparison.is_complete());
    Ok(())
}

#[test]
fn aliases_name_the_same_weight_and_only_once() -> Result<(), Error> {
    let mut declarations = Declarations::new();
    declarations.root().weight_or(&["norm", "w"], [1])?;
    let data = 1.5_f32.to_le_bytes();
    let old = Checkpoint::from_bytes("test", one("F32", "[1]", &data))?;
    assert_eq!(old.load(&declarations, DType::F32)?.get("norm")?.to_f32(), [1.5]);
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"norm":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let both = Checkpoint::from_bytes("test", file(header, &[data, data].concat()))?;
    assert_eq!(both.compare(&declarations).unexpected, ["w"]);
    Ok(())
}

#[test]
fn a_name_means_one_weight() -> Result<(), Error> {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    let first = root.weight("shared", [2, 3])?;
    assert_eq!(root.weight("shared", [2, 3])?, first, "layers may share a weight");
    assert_eq!(root.weight("shared", [3, 2]).expect_err("another shape").kind(), ErrorKind::Weights);
    assert_eq!(root.weight_or(&["other", "shared"], [2, 3]).expect_err("taken").kind(), ErrorKind::Weights);
    assert_eq!(root.weight_or(&[], [1]).expect_err("no name").kind(), ErrorKind::Weights);
    assert!(root.tied("shared", &first).is_err(), "a weight is no copy of itself");
    let elsewhere = Declarations::new().root().weight("elsewhere", [1])?;
    assert!(root.tied("copy", &elsewhere).is_err(), "not declared here");
    assert_eq!(declarations.list().len(), 1);
    Ok(())
}

#[test]
fn a_refused_declaration_leaves_nothing_behind() -> Result<(), Error> {
    let mut declarations = Declarations::new();
    let mut root = declarations.root();
    root.weight("a", [1])?;
    root.weight_or(&["b", "c", "a"], [1]).expect_err("`a` is taken");
    root.weight("c", [7])?;
    root.weight("b", [7])?;
    let names: Vec<&str> = declarations.list().iter().map(|declaration| declaration.name.as_str()).collect();
    assert_eq!(names, ["a", "c", "b"]);
    Ok(())
}

#[test]
fn stored_types_are_converted_wherever_they_lie() -> Result<(), Error> {
    let values = [0.5_f32, -1.25, 65504.0];
    let stored: [(&str, Vec<u8>); 4] = [
        ("F16", values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect()),
        ("BF16", values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect()),
        ("F32", values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ("F64", values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect()),
    ];
    for (dtype, data) in stored {
        // Spaces behind the header move the data over every alignment.
        for spaces in 0..8 {
            let header =
                format!(r#"{{"w":{{"dtype":"{dtype}","shape":[3],"data_offsets":[0,{}]}}}}"#, data.len());
            let bytes = file(&(header + &" ".repeat(spaces)), &data);
            let rounded = if dtype == "BF16" { [0.5, -1.25, 65536.0] } else { values };
            assert_eq!(load(bytes.clone(), &wanted([3]), DType::F32)?.to_f32(), rounded, "{dtype} as f32");
            let half = load(bytes, &wanted([3]), DType::F16);
            if dtype == "BF16" {
                let error = half.expect_err("65536 is no f16");
                assert_eq!(
                    error.to_string(),
                    "test: tensor `w`: expected numbers that are finite as f16, found 65536 at element 2"
                );
            } else {
                assert_eq!(half?.to_f32(), values, "{dtype} as f16");
            }
        }
    }
    let above_tie = 1.0 + 2_f32.powi(-11) + 2_f32.powi(-23);
    let rounded = load(one("F32", "[1]", &above_tie.to_le_bytes()), &wanted([1]), DType::F16)?;
    assert_eq!(rounded.to_f32(), [1.0 + 2_f32.powi(-10)], "the last bit decides");
    let error = load(one("F32", "[1]", &[0; 4]), &wanted([1]), DType::I32).expect_err("weights are floats");
    assert_eq!(error.kind(), ErrorKind::Dtype);
    Ok(())
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let data: Vec<u8> = [1.0, bad].iter().flat_map(|x| x.to_le_bytes()).collect();
        for dtype in [DType::F32, DType::F16] {
            let error = load(one("F32", "[2]", &data), &wanted([2]), dtype).expect_err("not finite");
            assert_eq!(error.kind(), ErrorKind::Weights);
            assert!(
                error.to_string().contains("tensor `w`") && error.to_string().contains("element 1"),
                "{error}"
            );
        }
    }
    let error =
        load(one("F64", "[1]", &1e300_f64.to_le_bytes()), &wanted([1]), DType::F32).expect_err("too large");
    assert!(error.to_string().ends_with("found 1e300 at element 0"), "{error}");
}

#[test]
fn a_large_tensor_is_converted_in_order() -> Result<(), Error> {
    let values: Vec<f32> = (0..300_000).map(|i| i as f32).collect();
    let data: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(load(one("F32", "[300,1000]", &data), &wanted([300, 1000]), DType::F32)?.to_f32(), values);
    Ok(())
}

#[test]
fn damaged_headers_are_refused_by_name() {
    let tensor = |shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let two = |w: &str, v: &str| format!(r#"{{"w":{w},"v":{v}}}"#);
    for (why, bytes, expected) in [
        ("empty", vec![], "at least 8 bytes, found 0 bytes"),
        ("cut off in the length", vec![1, 2, 3], "found 3 bytes"),
        ("a header longer than the file", u64::MAX.to_le_bytes().to_vec(), "at most 0 bytes"),
        (
            "a header longer than any",
            [&(1_u64 << 40).to_le_bytes()[..], &[0; 64]].concat(),
            "a header length of 1099511627776",
        ),
        ("no JSON", file("what", &[]), "JSON of a safetensors header"),
        ("no UTF-8", [&2_u64.to_le_bytes()[..], b"{\xFF"].concat(), "JSON"),
        ("text behind the JSON", file("{} {}", &[]), "JSON"),
        ("no object", file("[1]", &[]), "an object of tensors"),
        ("an unknown type", one("F31", "[1]", &[0; 4]), "tensor `w`: unknown variant `F31`"),
        (
            "fewer bytes than the shape",
            one("F32", "[3]", &[0; 8]),
            "tensor `w`: expected the bytes of F32 [3], found 8",
        ),
        ("a shape that overflows", one("F32", "[4294967296,4294967296,4294967296]", &[0; 4]), "tensor `w`"),
        ("a size that overflows", one("F32", "[4611686018427387904]", &[]), "tensor `w`"),
        ("a negative extent", one("F32", "[-1]", &[0; 4]), "tensor `w`"),
        ("half a byte", one("F4", "[1]", &[0]), "tensor `w`"),
        (
            "cut off in the data",
            one("F32", "[2]", &[0; 8]).split_at(66).0.to_vec(),
            "tensor `w`: expected bytes from 0 on",
        ),
        ("data behind the last tensor", [one("F32", "[2]", &[0; 8]), vec![0]].concat(), "length: expected"),
        (
            "offsets that end before they start",
            file(&two(&tensor("[1]", 0, 4), &tensor("[1]", 4, 0)), &[0; 4]),
            "tensor `v`",
        ),
        (
            "overlapping",
            file(&two(&tensor("[2]", 0, 8), &tensor("[1]", 4, 8)), &[0; 8]),
            "tensor `v`: expected bytes from 8 on",
        ),
        (
            "a gap",
            file(&two(&tensor("[1]", 0, 4), &tensor("[1]", 8, 12)), &[0; 12]),
            "tensor `v`: expected bytes from 4 on",
        ),
        (
            "offsets behind the end",
            file(&format!(r#"{{"w":{}}}"#, tensor("[1]", 0, 1 << 60)), &[0; 4]),
            "tensor `w`",
        ),
        (
            "a name twice",
            file(
                r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
                &[0; 4],
            ),
            "tensor `w` twice",
        ),
    ] {
        let text = refusal(bytes);
        assert!(text.starts_with("test: ") && text.contains(expected), "{why}: {text}");
    }
}

/// The safetensors crate (0.8.0) adds offsets without a check; so do files like this one overflow it.
#[test]
fn offsets_whose_sum_overflows_are_refused() {
    let size = (1_u64 << 61) - 1;
    let tensors: Vec<String> = (0..8_u64)
        .map(|i| {
            format!(
                r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{},{}]}}"#,
                i * size,
                (i + 1) * size
            )
        })
        .collect();
    assert!(refusal(file(&format!("{{{}}}", tensors.join(",")), &[])).contains("tensor `0`"));
}

#[test]
fn wild_names_stay_on_one_line() -> Result<(), Error> {
    let wild = "a\\nb\\u0000\\u2028".repeat(10_000);
    let good = format!(r#"{{"{wild}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let checkpoint = Checkpoint::from_bytes("test", file(&good, &[0; 4]))?;
    let text = checkpoint.compare(&Declarations::new()).to_string();
    assert!(!text.contains('\n') && text.len() < 1000, "{text}");
    refusal(file(&good, &[0; 3]));
    refusal(file(&good.replace("F32", &wild), &[0; 4]));
    refusal(file(&good.replace("[1]", &format!("[{}1]", "1,".repeat(100_000))), &[0; 3]));
    Ok(())
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let whole = one("F32", "[2]", &[0; 8]);
    for length in 0..whole.len() {
        refusal(whole[..length].to_vec());
    }
}

#[test]
fn shards_are_read_as_their_index_says() -> Result<(), Error> {
    let folder = folder("shards");
    let tensor = |name: &str, value: f32| {
        file(
            &format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#),
            &value.to_le_bytes(),
        )
    };
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("the folder is ours");
    let index = |map: &str| {
        write(
            "model.safetensors.index.json",
            format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{map}}}"#).as_bytes(),
        )
    };
    write("1.safetensors", &tensor("v", 1.0));
    write("2.safetensors", &tensor("w", 2.0));

    index(r#"{"v":"1.safetensors","w":"2.safetensors"}"#);
    let checkpoint = Checkpoint::open(&folder)?;
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["v", "w"]);
    let mut declarations = wanted([1]);
    declarations.root().weight("v", [1])?;
    assert_eq!(checkpoint.load(&declarations, DType::F32)?.get("w")?.to_f32(), [2.0]);

    for (map, kind, expected) in [
        (r#"{"v":"2.safetensors"}"#, ErrorKind::Weights, "tensor `v`"),
        (r#"{"v":"3.safetensors"}"#, ErrorKind::Io, "3.safetensors"),
        (r#"{"v":"../shards/1.safetensors"}"#, ErrorKind::Config, "weight_map.v"),
        (r#"{"v":"/etc/passwd"}"#, ErrorKind::Config, "`/etc/passwd`"),
        (r#"{"v":".."}"#, ErrorKind::Config, "in the same folder"),
        (r#"{"v":"a\\b"}"#, ErrorKind::Config, "in the same folder"),
        (r#"{"v":"C:x"}"#, ErrorKind::Config, "in the same folder"),
        (r#"{"v":""}"#, ErrorKind::Config, "in the same folder"),
        (r#"{"v":1}"#, ErrorKind::Config, "expected a string, found 1"),
        ("[]", ErrorKind::Config, "weight_map: expected an object"),
    ] {
        index(map);
        let error = Checkpoint::open(&folder).expect_err(map);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // Two shards hold `u`, which the index does not know.
    write("1.safetensors", &tensor("u", 1.0));
    write("2.safetensors", &tensor("u", 2.0));
    write("3.safetensors", &tensor("v", 2.0));
    write("4.safetensors", &tensor("w", 2.0));
    index(r#"{"v":"3.safetensors","w":"4.safetensors"}"#);
    Checkpoint::open(&folder)?;
    index(r#"{"v":"3.safetensors","w":"4.safetensors","x":"1.safetensors","y":"2.safetensors"}"#);
    let error = Checkpoint::open(&folder).expect_err("`u` is ambiguous");
    assert!(error.to_string().contains("tensor `u`: expected one shard that holds it"), "{error}");
    Ok(())
}

#[test]
fn what_is_not_there_is_said() {
    let empty = folder("empty");
    let error = Checkpoint::open(&empty).expect_err("nothing there");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.to_string().contains("expected model.safetensors.index.json or model.safetensors"),
        "{error}"
    );
    let error = Checkpoint::open(empty.join("model.safetensors")).expect_err("no such file");
    assert_eq!(error.kind(), ErrorKind::Io);
    std::fs::write(empty.join("model.safetensors"), []).expect("the folder is ours");
    assert_eq!(Checkpoint::open(&empty).expect_err("an empty file").kind(), ErrorKind::Weights);
    #[cfg(unix)]
    assert_eq!(Checkpoint::open("/dev/zero").expect_err("no regular file").kind(), ErrorKind::Io);
}

#[test]
fn random_weights_are_the_same_for_a_seed() -> Result<(), Error> {
    let mut declarations = wanted([64, 16]);
    let weights = Weights::random(&declarations, DType::F16, 7)?;
    let tensor = weights.get("w")?;
    assert_eq!(tensor.desc(), TensorDesc::f16([64, 16]));
    assert_eq!(weights.bytes(), 2048);
    assert!(tensor.to_f32().iter().all(|x| x.abs() <= 0.25), "within 1/sqrt(16)");
    assert!(tensor.to_f32().iter().any(|x| x.abs() > 0.2), "and up to it");
    declarations.root().weight("v", [3])?;
    assert_eq!(Weights::random(&declarations, DType::F16, 7)?.get("w")?, tensor, "whatever else is declared");
    assert_ne!(Weights::random(&declarations, DType::F16, 8)?.get("w")?, tensor);
    assert_eq!(weights.get("x").expect_err("not declared").kind(), ErrorKind::Weights);
    assert_eq!(Weights::random(&declarations, DType::I32, 7).expect_err("no float").kind(), ErrorKind::Dtype);
    let absurd = Weights::random(&wanted([usize::MAX, 2]), DType::F32, 7)?;
    assert_eq!(absurd.get("w").expect_err("no memory holds it").kind(), ErrorKind::OutOfMemory);
    Ok(())
}
