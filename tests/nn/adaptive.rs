//! Vocabularies in clusters that cannot be. Values are compared with the reference's by tests of its cases, and of Transformer-XL.

use foveate::ErrorKind;
use foveate::nn::{AdaptiveEmbedding, AdaptiveSoftmax, Clusters};
use foveate::weights::Declarations;

fn clusters(cutoffs: &[usize], divisor: usize) -> Clusters {
    Clusters { vocab_size: 20, cutoffs: cutoffs.to_vec(), width: 6, embedding: 8, divisor }
}

#[test]
fn clusters_without_words_or_channels_are_refused() {
    for (cutoffs, divisor, argument) in [
        (&[0, 4][..], 1, "cutoffs"),
        (&[4, 4], 1, "cutoffs"),
        (&[9, 4], 2, "cutoffs"),
        (&[4, 20], 2, "cutoffs"),
        (&[4, 9], 4, "embedding"),
        (&[4, 9], 0, "embedding"),
        (&[4, 9], usize::MAX, "embedding"),
    ] {
        let mut declarations = Declarations::new();
        let clusters = clusters(cutoffs, divisor);
        let error = AdaptiveEmbedding::declare(&mut declarations.root(), &clusters).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert!(error.to_string().starts_with(&format!("clusters: {argument}: ")), "{error}");
        let error = AdaptiveSoftmax::declare(&mut declarations.root(), &clusters, None).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert!(declarations.list().is_empty());
    }
}

#[test]
fn each_cluster_says_whether_its_projection_is_tied() {
    let mut declarations = Declarations::new();
    let clusters = clusters(&[4, 9], 2);
    let embedding = AdaptiveEmbedding::declare(&mut declarations.root(), &clusters).expect("it is sound");
    let mut root = declarations.root();
    let error = AdaptiveSoftmax::declare(&mut root, &clusters, Some((&embedding, &[true, false])))
        .expect_err("a flag is missing");
    assert_eq!(error.to_string(), "adaptive softmax: tied: expected 3 flags, one a cluster, found 2");
    AdaptiveSoftmax::declare(&mut root, &clusters, Some((&embedding, &[false, true, false]))).expect("sound");
    let tied: Vec<_> = declarations.tied().map(|(copy, of)| (copy, of.name.as_str())).collect();
    assert_eq!(
        tied,
        [
            ("out_layers.0.weight", "emb_layers.0.weight"),
            ("out_layers.1.weight", "emb_layers.1.weight"),
            ("out_layers.2.weight", "emb_layers.2.weight"),
            ("out_projs.1", "emb_projs.1"),
        ]
    );
}
