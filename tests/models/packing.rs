//! Packed sequences against padded ones and against each on its own; sharing of weights.

use foveate::gpu::{Program, Session};
use foveate::models::{BatchSize, Encoder, Model, Task, Tokens};
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights};
use foveate::{Caps, DType, ErrorKind, Graph, HostTensor, Plan, gpu, wgpu};

use crate::support::{checkpoint, context, encoder, ids, relative_error, tensors};

/// A model's own inputs and pieces of them. Not any ids: on nonsense ALBERT amplifies f32's rounding a thousandfold.
fn sequences(name: &str) -> Vec<Vec<u32>> {
    let inputs = tensors(&checkpoint(name).join("io.safetensors"));
    let whole = [ids(&inputs["0.target_ids"]), ids(&inputs["1.target_ids"])];
    [5, 1, 200, 33, 2, 17]
        .iter()
        .flat_map(|&most| whole.iter().map(move |ids| ids[..ids.len().min(most)].to_vec()))
        .collect()
}

#[test]
fn packed_sequences_equal_each_run_alone() {
    for name in ["albert-rxnmapper", "roberta-sapiens"] {
        let device = Device::Gpu(context().clone());
        for task in [Task::Hidden, Task::Embed] {
            let mut encoder = encoder(&checkpoint(name), task, DType::F32, &device);
            let sequences = sequences(name);
            let together = encoder.run(&sequences).expect("they run");
            for (sequence, packed) in sequences.iter().zip(&together) {
                let alone = encoder.run(std::slice::from_ref(sequence)).expect("it runs");
                let error = relative_error(packed, &alone[0]);
                println!("{name}, {task:?}: {error:.1e}");
                assert!(error < 1e-5);
            }
            assert_eq!(encoder.usage().sequences, 2 * sequences.len());
        }
    }
}

#[test]
fn small_batches_give_the_same_as_large_ones() {
    let folder = checkpoint("roberta-sapiens");
    let device = Device::Gpu(context().clone());
    let sequences = sequences("roberta-sapiens");
    let large = encoder(&folder, Task::Embed, DType::F32, &device).run(&sequences).expect("they run");
    let mut encoder = encoder(&folder, Task::Embed, DType::F32, &device).batch_tokens(64);
    let small = encoder.run(&sequences).expect("they run");
    assert!(encoder.usage().batches > 3);
    for (small, large) in small.iter().zip(&large) {
        assert!(relative_error(small, large) < 1e-5);
    }
}

#[test]
fn sizes_that_were_dropped_are_made_again() {
    let device = Device::Gpu(context().clone());
    let mut encoder =
        encoder(&checkpoint("roberta-sapiens"), Task::Embed, DType::F32, &device).batch_tokens(4096);
    let whole = sequences("roberta-sapiens")[4].clone();
    // Afterwards more other sizes than are kept.
    let first = encoder.run(std::slice::from_ref(&whole)).expect("it runs");
    for count in (1..12).map(|i| i * 3) {
        let many = encoder.run(&vec![whole.clone(); count]).expect("they run");
        assert!(relative_error(&many[count - 1], &first[0]) < 1e-5);
    }
    let again = encoder.run(std::slice::from_ref(&whole)).expect("it runs");
    assert_eq!(first, again);
}

#[test]
fn packed_sequences_equal_padded_ones() {
    let folder = checkpoint("roberta-sapiens");
    let model = Model::open(&folder, Task::Hidden).expect("the folder is whole");
    let weights = model.load(DType::F32).expect("the weights are whole");
    let sequences = sequences("roberta-sapiens");
    let time = 122;
    let mut graph = Graph::new();
    let tokens = Tokens::padded(&mut graph, sequences.len(), time).expect("a fresh graph");
    let hidden = model.record(&mut graph, &tokens, DType::F32).expect("it records");
    graph.output("hidden", hidden).expect("the name is free");

    let first = model.facts().first_position;
    let padded = |value: &dyn Fn(usize, usize) -> i32| {
        let values = (0..sequences.len() * time).map(|i| value(i / time, i % time)).collect();
        HostTensor::i32([sequences.len(), time], values).expect("as many as the shape has")
    };
    let words = padded(&|i, position| sequences[i].get(position).map_or(1, |&id| id as i32));
    let positions = padded(&|i, position| (first + position.min(sequences[i].len() - 1)) as i32);
    let types = padded(&|_, _| 0);
    let lengths = sequences.iter().map(|ids| ids.len() as i32).collect();
    let lengths = HostTensor::i32([sequences.len()], lengths).expect("as many as the shape has");
    let inputs = [("ids", &words), ("positions", &positions), ("types", &types), ("lengths", &lengths)];

    let parameters = gpu::Parameters::upload(context(), weights.iter()).expect("the weights fit");
    let plan = Plan::new(&graph, context().caps()).expect("it can be planned");
    let program = Program::new(context(), &plan).expect("the program can be made");
    let mut session = Session::with_parameters(&program, &parameters, &inputs).expect("the buffers fit");
    session.run().expect("it runs");
    let found = session.read().expect("it reads")["hidden"].to_f32();

    let device = Device::Gpu(context().clone());
    let packed =
        Encoder::new(&model, &weights, &device).expect("it loads").run(&sequences).expect("they run");
    let width = model.facts().width;
    for (i, packed) in packed.iter().enumerate() {
        let valid = found[i * time * width..][..packed.shape().elements()].to_vec();
        let padded = HostTensor::f32(packed.shape().clone(), valid).expect("as many as the shape has");
        assert!(relative_error(packed, &padded) < 1e-5, "sequence {i}");
    }
}

#[test]
fn shared_weights_are_stored_once_and_several_programs_bind_them() {
    let model = Model::open(checkpoint("albert-rxnmapper"), Task::Logits).expect("the folder is whole");
    let weights = model.load(DType::F32).expect("the weights are whole");
    let size = |time| BatchSize { rows: time, ..BatchSize::packed(time, 1) };
    let graph = model.batch_graph(size(64), DType::F32).expect("it records");
    // Twelve layers of one set of weights, and a decoder that is the embeddings.
    assert_eq!(model.facts().layers, 12);
    assert_eq!(graph.parameters().len(), model.declarations().list().len());
    let plan = Plan::new(&graph, &Caps::webgpu_default()).expect("it can be planned");
    assert_eq!(plan.memory().parameters, weights.bytes());
    assert!(plan.memory().parameters < 3_250_848 - 591 * 128 * 4);

    let parameters = gpu::Parameters::upload(context(), weights.iter()).expect("the weights fit");
    assert_eq!(parameters.bytes(), weights.bytes());
    for time in [16, 32] {
        let graph = model.batch_graph(size(time), DType::F32).expect("it records");
        let plan = Plan::new(&graph, context().caps()).expect("it can be planned");
        let program = Program::new(context(), &plan).expect("the program can be made");
        let whole = |count| HostTensor::i32([1, count], vec![0; count]).expect("as many as the shape has");
        let rows = HostTensor::i32([time], vec![0; time]).expect("as many as the shape has");
        let tokens = whole(time);
        let inputs = [
            ("ids", &tokens),
            ("positions", &tokens),
            ("types", &tokens),
            ("segments", &tokens),
            ("rows", &rows),
        ];
        Session::with_parameters(&program, &parameters, &inputs).expect("the buffers fit");
        let error = Session::new(&program, &inputs).expect_err("the weights are missing");
        assert_eq!(error.kind(), ErrorKind::Binding);
    }
}

#[test]
fn random_weights_run_an_architecture_without_files() {
    let fields =
        foveate::weights::Fields::open(checkpoint("roberta-sapiens").join("config.json")).expect("JSON");
    let model = Model::from_config(&fields, Task::Embed).expect("the configuration is sound");
    let weights = Weights::random(model.declarations(), DType::F32, 7).expect("f32 is a float");
    let mut encoder = Encoder::new(&model, &weights, &Device::Cpu).expect("it loads");
    let embedding = encoder.run(&[[0, 4, 9, 2]]).expect("it runs")[0].to_f32();
    let norm: f32 = embedding.iter().map(|x| x * x).sum();
    assert!((norm - 1.0).abs() < 1e-5);
    let error = model.load(DType::F32).expect_err("there is no file");
    assert_eq!(error.kind(), ErrorKind::Weights);
}

#[test]
fn scores_that_exceed_a_binding_take_several_batches() {
    // A device that binds what every WebGPU device binds, whatever the adapter could.
    let adapter = gpu::adapters().into_iter().next().expect("an adapter, as other tests say");
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))
        .expect("the default limits");
    let narrow = gpu::Context::from_device(&device, &queue, adapter.get_info(), &[]);
    let vocab_size = 65_536;
    let most = narrow.caps().max_binding_bytes as usize / (vocab_size * size_of::<f32>());
    let fields = foveate::weights::Fields::new(
        "config.json",
        serde_json::json!({
            "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
            "intermediate_size": 4, "vocab_size": vocab_size, "max_position_embeddings": 512,
        }),
    )
    .expect("an object");
    let model = Model::from_config(&fields, Task::Logits).expect("the configuration is sound");
    let weights = Weights::random(model.declarations(), DType::F32, 7).expect("f32 is a float");
    let mut encoder = Encoder::new(&model, &weights, &Device::Gpu(narrow)).expect("it loads");
    let sequences = vec![vec![1_u32; 100]; most / 100 + 1];
    let scores = encoder.run(&sequences).expect("it runs");
    assert_eq!(encoder.usage().batches, 2);
    for each in &scores {
        assert_eq!(each.shape().dims(), [100, vocab_size]);
        assert!(relative_error(each, &scores[0]) < 1e-5);
    }
}

#[test]
fn batches_are_as_large_as_bindings_of_the_device_allow() {
    // Two tables of 16 heads by 1024 distances: 128 KiB a token.
    let json = serde_json::json!({
        "model_type": "deberta", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 16,
        "intermediate_size": 16, "vocab_size": 12, "max_position_embeddings": 512, "relative_attention": true,
        "position_biased_input": false, "pos_att_type": "c2p|p2c",
    });
    let model = Model::from_config(&Fields::new("config.json", json).expect("an object"), Task::Hidden)
        .expect("the configuration is sound");
    let weights = Weights::random(model.declarations(), DType::F32, 5).expect("the type is a float");
    let device = Device::Gpu(context().clone());
    let most = (device.max_tensor_bytes() >> 17) as usize;
    let sequences: Vec<Vec<u32>> =
        (0..40).map(|i| (0..30 + i).map(|at| (at * 5 + i) % 12).collect()).collect();
    let tokens: usize = sequences.iter().map(Vec::len).sum();
    let mut encoder =
        Encoder::new(&model, &weights, &device).expect("the weights fit").batch_tokens(usize::MAX);
    let together = encoder.run(&sequences).expect("they run");
    assert!(encoder.usage().batches >= tokens.div_ceil(most));
    let alone = encoder.run(&sequences[39..]).expect("it runs");
    assert!(relative_error(&together[39], &alone[0]) < 1e-5);
}
