//! Settings and shapes that mean nothing.

use super::*;
use crate::support::refused;

#[test]
fn settings_that_mean_nothing_are_refused() {
    let rows = TensorDesc::f32([2, TIME, HEADS, SIZE]);
    let lengths = TensorDesc::i32([2]);
    let with = |others: &[TensorDesc]| [&[rows.clone(), rows.clone(), rows.clone()], others].concat();
    for (landmarks, segments, argument) in [
        (0, Segments::OfLength, "landmarks"),
        (TIME + 1, Segments::OfLength, "landmarks"),
        (4, Segments::FrontPadded, "segments"),
    ] {
        let error = refused(&with(std::slice::from_ref(&lengths)), |graph, v| {
            let spec = Nystrom::new(landmarks).segments(segments).lengths(v[3]);
            nystrom(graph, v[0], v[1], v[2], &spec)
        });
        assert_refused_as(&error, ErrorKind::Argument, "attention/nystrom", argument);
    }
    let error = refused(&with(&[TensorDesc::f32([HEADS, 4])]), |graph, v| {
        nystrom(graph, v[0], v[1], v[2], &Nystrom::new(4).convolution(v[3]))
    });
    assert_refused_as(&error, ErrorKind::Shape, "attention/nystrom", "convolution");
    for projection in [[COUNT, TIME - 1], [0, TIME]] {
        let error = refused(&with(&[TensorDesc::f32(projection)]), |graph, v| {
            linformer(graph, v[0], v[1], v[2], [v[3]; 2], &Linformer::new())
        });
        assert_refused_as(&error, ErrorKind::Shape, "attention/linformer", "key_projection");
    }
    let error = refused(&with(&[TensorDesc::f32([3, COUNT, TIME])]), |graph, v| {
        linformer(graph, v[0], v[1], v[2], [v[3]; 2], &Linformer::new())
    });
    assert_refused_as(&error, ErrorKind::Shape, "attention/linformer", "key_projection");
    for (weight, spec, kind, argument) in [
        ([HEADS, SIZE, SIZE + 1, 2], MemoryCompressed::new(), ErrorKind::Shape, "key_compression"),
        ([HEADS, SIZE, SIZE, 0], MemoryCompressed::new(), ErrorKind::Shape, "key_compression"),
    ] {
        let error = refused(&with(&[TensorDesc::f32(weight), TensorDesc::f32([HEADS, SIZE])]), |graph, v| {
            let compression = Compression { weight: v[3], bias: v[4] };
            memory_compressed(graph, v[0], v[1], v[2], [compression; 2], &spec)
        });
        assert_refused_as(&error, kind, "attention/memory_compressed", argument);
    }
    let error = refused(
        &with(&[TensorDesc::f32([HEADS, SIZE, SIZE, 2]), TensorDesc::f32([HEADS, SIZE]), lengths.clone()]),
        |graph, v| {
            let compression = Compression { weight: v[3], bias: v[4] };
            let spec = MemoryCompressed::new().lengths(v[5]);
            memory_compressed(graph, v[0], v[1], v[2], [compression; 2], &spec)
        },
    );
    assert_refused_as(&error, ErrorKind::Argument, "attention/memory_compressed", "slots");
    let clusters = TensorDesc::i32([2, HEADS, TIME]);
    for (count, top, argument) in
        [(0, 1, "count"), (TIME + 1, 1, "count"), (3, 0, "top"), (3, TIME + 1, "top")]
    {
        let error = refused(&with(std::slice::from_ref(&clusters)), |graph, v| {
            clustered(graph, v[0], v[1], v[2], v[3], &Clustered::new(count).improved(top))
        });
        assert_refused_as(&error, ErrorKind::Argument, "attention/clustered", argument);
    }
    let error = refused(&with(&[TensorDesc::i32([2, TIME, HEADS])]), |graph, v| {
        clustered(graph, v[0], v[1], v[2], v[3], &Clustered::new(3))
    });
    assert_refused_as(&error, ErrorKind::Shape, "attention/clustered", "clusters");
    let error = refused(&with(&[]), |graph, v| {
        lloyd_clusters(graph, v[0], None, &LloydClusters { bits: 0, ..LloydClusters::new(3) })
    });
    assert_refused_as(&error, ErrorKind::Argument, "attention/lloyd_clusters", "bits");
    let error =
        refused(&with(&[TensorDesc::f32([HEADS + 1, 4]), TensorDesc::f32([4, HEADS])]), |graph, v| {
            talking_heads(graph, v[0], v[1], v[2], [v[3], v[4]], &TalkingHeads::new())
        });
    assert_refused_as(&error, ErrorKind::Shape, "attention/talking_heads", "pre");
    let error = refused(&with(&[TensorDesc::f32([HEADS, 3, SIZE + 1])]), |graph, v| {
        persistent_memory(graph, v[0], v[1], v[2], [v[3]; 2], &Blocked::new())
    });
    assert_refused_as(&error, ErrorKind::Shape, "attention/persistent_memory", "persistent_key");
    let error = refused(&with(&[]), |graph, v| {
        let spec = Blocked::new().softcap(3.0);
        Ok(residual_attention(graph, v[0], v[1], v[2], &PreviousScores::none(), &spec)?.0)
    });
    assert_refused_as(&error, ErrorKind::Unsupported, "attention/residual", "softcap");
    let error = refused(&[rows.clone(), TensorDesc::f32([HEADS, 3, SIZE, 4])], |graph, v| {
        route_heads(graph, v[0], v[1], 0)
    });
    assert_refused_as(&error, ErrorKind::Argument, "attention/route_heads", "iterations");
    let wide = TensorDesc::f32([1, 4, 2, 200]);
    let error =
        refused(&[wide.clone(), wide], |graph, v| position_similarity(graph, v[0], v[1], false, None, None));
    assert_refused_as(&error, ErrorKind::Limit, "attention/position_similarity", "query");
}
