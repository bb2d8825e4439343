//! Tuning profiles: whatever the text, a profile or a typed error; and a profile that is read is written as it was, and good for a plan.
#![no_main]

use foveate::gpu::Profile;
use foveate::kernel::Caps;
use foveate::ops::{Matmul, matmul};
use foveate::{ErrorKind, Graph, Plan, TensorDesc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let profile = match Profile::from_json(text) {
        Ok(profile) => profile,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Foreign), "{error:?}");
            assert!(error.to_string().len() < 10_000, "an error as long as the file");
            return;
        }
    };
    let written = profile.to_json().expect("a profile that was read can be written");
    assert_eq!(Profile::from_json(&written), Ok(profile.clone()));

    let mut graph = Graph::new();
    let (a, b) = (graph.input("a", TensorDesc::f32([70, 90])), graph.input("b", TensorDesc::f32([90, 50])));
    let out = matmul(&mut graph, a.expect("a"), b.expect("b"), &Matmul::new()).expect("the shapes fit");
    graph.output("out", out).expect("a name of its own");
    let caps = Caps { tuning: profile.tuning, ..Caps::webgpu_default() };
    if let Err(error) = Plan::new(&graph, &caps) {
        assert!(
            matches!(error.kind(), ErrorKind::Limit | ErrorKind::Argument | ErrorKind::Unsupported),
            "{error:?}"
        );
    }
});
