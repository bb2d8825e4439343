mod cross_entropy;
mod ctc;
mod kl_divergence;
mod mean_squared_error;
