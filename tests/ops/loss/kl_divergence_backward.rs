use foveate::ops::kl_divergence_backward;
use foveate::{ErrorKind, TensorDesc};

use crate::support::{assert_error, conform_everywhere, refused};

#[test]
fn conforms() {
    conform_everywhere("loss/kl_divergence_backward");
}

#[test]
fn the_gradient_of_a_loss_is_one_number() {
    let x = TensorDesc::f32([2, 3]);
    let error =
        refused(
            &[x.clone(), x.clone(), x],
            |graph, v| Ok(kl_divergence_backward(graph, v[0], v[1], v[2])?.0),
        );
    assert_error(
        &error,
        ErrorKind::Shape,
        "loss/kl_divergence_backward: upstream: expected [1], found [2, 3]",
    );
}
