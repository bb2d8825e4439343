mod cross_entropy;
mod kl_divergence;
mod mean_squared_error;
