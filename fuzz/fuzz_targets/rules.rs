//! Rule documents: whatever the bytes, a rule or a typed error; and a rule that is read is written as it was, and recorded and planned or
//! refused.
#![no_main]

use std::collections::BTreeMap;

use foveate::kernel::Caps;
use foveate::ops::attention::{Blocked, RuleDocument, blocked};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Plan, TensorDesc, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let document = match RuleDocument::parse("fuzz.json", data) {
        Ok(document) => document,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Argument), "{error:?}");
            assert!(error.to_string().len() < 10_000, "an error as long as the file");
            return;
        }
    };
    let written = document.to_json().expect("a document that was read can be written");
    assert_eq!(RuleDocument::parse("written.json", written.as_bytes()), Ok(document.clone()));

    let layout = HostTensor::i32([1, 2, 2], vec![1, 0, 1, 1]).expect("four elements");
    let tensors: BTreeMap<String, HostTensor> =
        document.tensors().into_iter().map(|name| (name.to_owned(), layout.clone())).collect();
    let _ = document.check_values(&tensors, 8, 8);
    if let Ok(spec) = document.resolve(&tensors) {
        // As tensors of one token each, of an item each, of a head each, and of the wrong type.
        for (dtype, shape) in [
            (DType::I32, &[1, 16][..]),
            (DType::I32, &[1]),
            (DType::F32, &[2]),
            (DType::F32, &[1, 1, 16, 16]),
            (DType::F16, &[16, 2, 4]),
        ] {
            let _ = record(&spec, &TensorDesc::new(dtype, shape));
        }
    }
});

/// Records and plans attention of 16 tokens and two heads under `spec`, whose tensors are all inputs of `desc`.
fn record(spec: &Blocked<String>, desc: &TensorDesc) -> Result<(), Error> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, 16, 2, 4]))?;
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let spec = spec.map(&mut |name: &String| match values.get(name) {
        Some(value) => *value,
        None => {
            let value =
                graph.input(&format!("tensor {}", values.len()), desc.clone()).expect("a name of its own");
            values.insert(name.clone(), value);
            value
        }
    });
    let out = blocked(&mut graph, x, x, x, &spec)?;
    graph.output("out", out)?;
    Plan::new(&graph, &Caps::webgpu_default()).map(drop)
}
