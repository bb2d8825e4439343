//! Training: against PyTorch, losses of heads, bit for bit over interruptions, and what is refused.

mod losses;
mod oracle;
mod recurrent;
mod sequences;
mod support;

mod trainer;
