mod cross_entropy;
mod cross_entropy_backward;
mod kl_divergence;
mod kl_divergence_backward;
mod mean_squared_error;
mod mean_squared_error_backward;
