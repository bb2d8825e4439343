//! Tuning profiles: what is read back, what is refused and how, and what a device makes of them.

use foveate::gpu::{AdapterRequest, Context, Cooperative, Identity, Measured, Profile, Rate};
use foveate::kernel::{CooperativeAttention, CooperativeTile, MatmulKernel, Tuning};
use foveate::ops::{Matmul, matmul};
use foveate::{AdapterKind, DType, ErrorKind, Graph, Plan, TensorDesc, wgpu};
use serde_json::{Value, json};

fn context() -> Context {
    Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
}

fn info() -> wgpu::AdapterInfo {
    wgpu::AdapterInfo {
        name: "Fast 9000".into(),
        driver: "quick".into(),
        driver_info: "1.2".into(),
        vendor: 0x10de,
        ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan)
    }
}

fn profile() -> Profile {
    let measured = Measured {
        setting: "matmul".into(),
        problem: "matmul 2048, f32".into(),
        candidate: "staged".into(),
        ms: 1.5,
        rate: Rate::GflopPerSecond(11_453.25),
        of_default: 1.25,
    };
    Profile {
        identity: Identity::of(&info()),
        tuning: Tuning::for_adapter(AdapterKind::Discrete, Some(32)),
        measured: vec![measured],
    }
}

#[test]
fn profiles_are_read_as_they_were_written() {
    let kernels = [
        MatmulKernel::Staged { row_blocks: 2, col_vecs: 1 },
        MatmulKernel::Classic,
        MatmulKernel::Direct { row_blocks: 12, col_vecs: 1, shared_reads: true },
    ];
    for (kind, matmul) in
        [AdapterKind::Cpu, AdapterKind::Integrated, AdapterKind::Discrete].into_iter().zip(kernels)
    {
        for subgroup_size in [None, Some(8), Some(32)] {
            let tuning = Tuning { matmul, ..Tuning::for_adapter(kind, subgroup_size) };
            let profile = Profile { tuning, ..profile() };
            assert_eq!(Profile::from_json(&profile.to_json().unwrap()).unwrap(), profile);
        }
    }
}

/// What becomes of the document when the value at `path` is replaced.
#[track_caller]
fn refused(path: &str, value: Value) -> foveate::Error {
    let mut document: Value = serde_json::from_str(&profile().to_json().unwrap()).unwrap();
    let (parent, field) = path.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[field] = value;
    Profile::from_json(&document.to_string()).expect_err("the profile is damaged")
}

#[test]
fn damage_is_named() {
    let config = |path: &str, value: Value, parts: &[&str]| {
        let error = refused(path, value);
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
    };
    config(
        "/tuning/attention/rows",
        json!(0),
        &["profile: tuning.attention.rows: expected 1 to 64, found 0"],
    );
    config("/tuning/attention/rows", json!(-1), &["line 1, column", "-1"]);
    config("/tuning/attention/rows", json!(5_000_000_000_u64), &["5000000000"]);
    config("/tuning/attention/lanes", json!(1024), &["tuning.attention.row_groups", "found 1024 x 8"]);
    config("/tuning/attention/busy_workgroups", json!(0), &["tuning.attention.busy_workgroups"]);
    config(
        "/tuning/attention/one_subgroup",
        json!(true),
        &["expected 8 lanes in 1 row group, found 16 in 8"],
    );
    config("/tuning/attention/one_subgroup", json!("yes"), &["expected a boolean"]);
    config("/tuning/attention/columns", json!(4), &["unknown field `columns`"]);
    config("/tuning/row_lanes", json!(1025), &["tuning.row_lanes: expected 1 to 1024, found 1025"]);
    config("/tuning/cooperative/inner", json!(24), &["expected 16, 32 or 64, found 24"]);
    config("/tuning/cooperative/blocks", json!([4]), &["invalid length 1"]);
    config("/tuning/matmul", json!("fastest"), &["unknown variant `fastest`"]);
    let unrolled = json!({"direct": {"row_blocks": 64, "col_vecs": 2, "shared_reads": false}});
    config("/tuning/matmul", unrolled, &["tuning.matmul.row_blocks", "found 64 x 2"]);
    config("/measured/0/ms", json!(-1.0), &["measured[0].ms", "found -1"]);
    config("/measured/0/rate", json!({"parsecs": 12.0}), &["unknown variant `parsecs`"]);
    config("/comment", json!("mine"), &["unknown field `comment`"]);
    config("/identity/adapter", json!(7), &["expected a string"]);

    let whole = profile().to_json().unwrap();
    for text in ["", "null", "[]", &whole[..whole.len() / 2], &whole.replace("\"rows\"", "\"row\"")] {
        let error = Profile::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains("expected a profile of `foveate tune`, found "), "{error}");
    }
}

#[test]
fn what_another_version_wrote_is_foreign_whatever_its_fields() {
    for (path, value, sentence) in [
        ("/format", json!(2), "profile: format: expected `1`, found `2`"),
        ("/identity/crate_version", json!("0.0.1"), "profile: crate version: expected `"),
    ] {
        let error = refused(path, value);
        assert_eq!(error.kind(), ErrorKind::Foreign, "{error}");
        assert!(error.to_string().starts_with(sentence), "{error}");
    }
    let later = r#"{"format": 2, "identity": {"crate_version": "9.0.0", "chip": 4}, "shapes": []}"#;
    assert_eq!(Profile::from_json(later).unwrap_err().kind(), ErrorKind::Foreign);
}

#[test]
fn numbers_that_are_not_finite_are_not_written() {
    let mut profile = profile();
    profile.measured[0].of_default = f64::NAN;
    assert!(profile.to_json().unwrap_err().to_string().contains("measured[0].of_default"));
}

/// A product of types that cooperative matrices would be taken for.
fn product() -> Graph {
    let mut graph = Graph::new();
    let desc = TensorDesc::new(DType::F16, [64, 64]);
    let (a, b) = (graph.input("a", desc.clone()).unwrap(), graph.input("b", desc).unwrap());
    let c = matmul(&mut graph, a, b, &Matmul::new()).unwrap();
    graph.output("c", c).unwrap();
    graph
}

#[test]
fn a_device_takes_its_own_profile_and_no_other() {
    let context = context();
    let own =
        Profile { identity: Identity::of(context.info()), tuning: context.caps().tuning, measured: vec![] };
    let mut changed = own.clone();
    changed.tuning.row_lanes = 16;
    let tuned = context.tuned(&changed).unwrap();
    assert_eq!((tuned.caps().tuning, tuned.info()), (changed.tuning, context.info()));
    assert_eq!(context.caps().tuning, own.tuning, "the context itself stays as it is");

    type Change = fn(&mut Identity);
    let changes: [(&str, Change); 7] = [
        ("crate version", |identity| identity.crate_version = "0.0.0".into()),
        ("adapter", |identity| identity.adapter = "Fast 9000".into()),
        ("backend", |identity| identity.backend = "glass".into()),
        ("driver", |identity| identity.driver += " of yesterday"),
        ("driver info", |identity| identity.driver_info += " beta"),
        ("vendor", |identity| identity.vendor += 1),
        ("device", |identity| identity.device += 1),
    ];
    for (what, change) in changes {
        let mut foreign = own.clone();
        change(&mut foreign.identity);
        let error = context.tuned(&foreign).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Foreign, what), "{error}");
        assert!(!error.expected().is_empty() && error.expected() != error.found(), "{error}");
    }

    let mut nonsense = own;
    nonsense.tuning.attention.rows = 0;
    assert_eq!(context.tuned(&nonsense).unwrap_err().kind(), ErrorKind::Argument);
}

#[test]
fn shapes_that_the_device_was_made_without_are_refused_and_cooperative_ones_not_used() {
    let adapter = foveate::gpu::adapters().into_iter().next().expect("there is an adapter");
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let least =
        Context::from_device(&device, &queue, adapter.get_info(), &adapter.cooperative_matrix_properties());
    assert_eq!(*least.cooperative(), Cooperative::Absent);
    let with = |tuning| Profile { identity: Identity::of(least.info()), tuning, measured: vec![] };

    let passed_round = MatmulKernel::Direct { row_blocks: 4, col_vecs: 1, shared_reads: true };
    let error = least.tuned(&with(Tuning { matmul: passed_round, ..least.caps().tuning })).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Unsupported, "matmul.shared_reads"));
    let error = least.tuned(&with(Tuning { row_lanes: 512, ..least.caps().tuning })).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Limit, "row_lanes"));

    let cooperative = CooperativeTile { blocks: [1, 1], fragments: [1, 1], inner: 16, subgroup_size: 8 };
    let attention =
        CooperativeAttention { subgroups: 1, row_fragments: 1, key_fragments: 2, backward_key_fragments: 1 };
    let tuning = Tuning {
        cooperative: Some(cooperative),
        cooperative_attention: Some(attention),
        ..least.caps().tuning
    };
    let tuned = least.tuned(&with(tuning)).unwrap();
    let caps = foveate::Caps { f16: true, ..tuned.caps().clone() };
    let plan = Plan::new(&product(), &caps).unwrap();
    assert!(plan.shaders().iter().all(|shader| shader.cooperative.is_none()));
}
