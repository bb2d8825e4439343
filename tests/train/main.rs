//! Training: against PyTorch, losses of heads, bit for bit over interruptions and kills, and what is refused.

mod batch_norm;
mod ctc;
mod kills;
mod losses;
mod mixing;
mod oracle;
mod recurrent;
mod routing;
mod sequences;
mod support;

mod trainer;
