use foveate::{Graph, HostTensor, Plan, ops};

use crate::support::own_caps;

#[test]
fn takes_no_place_among_the_working_memory() {
    let mut graph = Graph::new();
    let data = HostTensor::f32([1000], vec![1.0; 1000]).unwrap();
    let ones = ops::constant(&mut graph, data).unwrap();
    let doubled = ops::add(&mut graph, ones, ones).unwrap();
    graph.output("doubled", doubled).unwrap();
    let memory = *Plan::new(&graph, &own_caps()).unwrap().memory();
    assert_eq!((memory.constants, memory.working), (4000, 0));
    assert!(memory.total() >= 8000);
}
