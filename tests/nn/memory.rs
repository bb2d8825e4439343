use foveate::nn::next_memory;
use foveate::ops;
use foveate::{Graph, HostTensor, TensorDesc, cpu};

#[test]
fn the_last_positions_are_remembered() {
    let memory = HostTensor::f32([1, 3, 1], vec![1.0, 2.0, 3.0]).unwrap();
    let x = HostTensor::f32([1, 2, 1], vec![4.0, 5.0]).unwrap();
    for (length, expected) in
        [(1, vec![5.0]), (4, vec![2.0, 3.0, 4.0, 5.0]), (9, vec![1.0, 2.0, 3.0, 4.0, 5.0])]
    {
        let mut graph = Graph::new();
        let old = graph.input("memory", memory.desc()).unwrap();
        let new = graph.input("x", x.desc()).unwrap();
        let next = next_memory(&mut graph, Some(old), new, length).unwrap();
        graph.output("next", next).unwrap();
        let outputs = cpu::run(&graph, &[("memory", &memory), ("x", &x)]).unwrap();
        assert_eq!(outputs["next"].to_f32(), expected);
    }
}

#[test]
fn no_gradient_passes_through_memory_within_a_graph() {
    let mut graph = Graph::new();
    let first = graph.input("first", TensorDesc::f32([1, 2, 1])).unwrap();
    let second = graph.input("second", TensorDesc::f32([1, 2, 1])).unwrap();
    let memory = next_memory(&mut graph, None, first, 2).unwrap();
    let both = ops::multiply(&mut graph, memory, second).unwrap();
    let sum = ops::sum(&mut graph, both, &[1]).unwrap();
    let loss = ops::reshape(&mut graph, sum, [1]).unwrap();
    assert!(graph.gradients(loss, &[second]).is_ok());
    let error = graph.gradients(loss, &[first]).unwrap_err();
    assert_eq!(error.found(), "a f32 [1, 2, 1] that has no influence on it");
}

#[test]
fn memory_of_another_width_is_refused() {
    let mut graph = Graph::new();
    let memory = graph.input("memory", TensorDesc::f32([2, 3, 4])).unwrap();
    let x = graph.input("x", TensorDesc::f32([2, 5, 8])).unwrap();
    let error = next_memory(&mut graph, Some(memory), x, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "self-attention: memory: expected f32 [2, any, 8] as x has it, found f32 [2, 3, 4]"
    );
}
