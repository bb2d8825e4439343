mod cross_entropy;
mod cross_entropy_backward;
