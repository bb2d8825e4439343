//! Training: against PyTorch, bit for bit over interruptions, and what is refused.

mod oracle;
mod support;

mod trainer;
