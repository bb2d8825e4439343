use foveate::ops::{Pairing, Rotary, rotary};
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc};

use crate::support::{refused, run};

/// Products of turned queries and keys depend on the distance of their positions alone.
#[test]
fn products_depend_on_distances() {
    for pairing in [Pairing::Halves, Pairing::Interleaved] {
        let product = |query: i32, key: i32| {
            let mut graph = Graph::new();
            let q = graph.input("q", TensorDesc::f32([1, 1, 1, 8])).unwrap();
            let k = graph.input("k", TensorDesc::f32([1, 1, 1, 8])).unwrap();
            for (name, value, position) in [("q turned", q, query), ("k turned", k, key)] {
                let turned = rotary(&mut graph, value, &Rotary::new(pairing).offset(position)).unwrap();
                graph.output(name, turned).unwrap();
            }
            let q = HostTensor::f32([1, 1, 1, 8], vec![0.3, -0.5, 0.8, 0.1, -0.9, 0.7, 0.2, 0.4]).unwrap();
            let k = HostTensor::f32([1, 1, 1, 8], vec![0.6, 0.2, -0.4, 0.9, 0.5, -0.1, 0.3, -0.8]).unwrap();
            let turned = run(&graph, &[("q", &q), ("k", &k)]);
            let (q, k) = (turned["q turned"].to_f64(), turned["k turned"].to_f64());
            q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>()
        };
        let near = product(5, 2);
        for start in [-7, 100, 1_000_000] {
            assert!((product(start + 5, start + 2) - near).abs() < 1e-6, "{pairing:?} from {start}");
        }
        assert!((product(5, 3) - near).abs() > 1e-3);
    }
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let x = || TensorDesc::f32([2, 3, 4, 8]);
    let new = Rotary::new(Pairing::Halves);
    let error = |descs: &[TensorDesc], spec: Rotary| {
        let error = refused(descs, |graph, v| match v.get(1) {
            Some(&positions) => rotary(graph, v[0], &spec.positions(positions)),
            None => rotary(graph, v[0], &spec),
        });
        (error.kind(), error.op().to_owned(), error.argument().to_owned())
    };
    let argument = |argument: &str| (ErrorKind::Argument, "rotary".to_owned(), argument.to_owned());
    for channels in [0, 3, 10] {
        assert_eq!(error(&[x()], new.channels(channels)), argument("channels"));
    }
    assert_eq!(error(&[TensorDesc::f32([2, 3, 4, 7])], new), argument("channels"));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(error(&[x()], new.base(bad)), argument("base"));
        assert_eq!(error(&[x()], new.scale(bad)), argument("scale"));
    }
    assert_eq!(error(&[x()], new.offset(i32::MAX)), argument("offset"));
    assert_eq!(error(&[x(), TensorDesc::i32([2, 3])], new.offset(1)), argument("offset"));
    let of = |kind, argument: &str| (kind, "rotary".to_owned(), argument.to_owned());
    assert_eq!(error(&[x(), TensorDesc::i32([2, 4])], new), of(ErrorKind::Shape, "positions"));
    assert_eq!(error(&[x(), TensorDesc::f32([2, 3])], new), of(ErrorKind::Dtype, "positions"));
    assert_eq!(error(&[TensorDesc::i32([2, 3, 4, 8])], new), of(ErrorKind::Dtype, "x"));
}
