//! A guide, page by page: what to call, what to choose, and why.
//!
//! | page | the question it answers |
//! |---|---|
//! | [`embedding`] | How do I put it into my wgpu app? |
//! | [`choosing_attention`] | Which attention for this length, error and memory? |
//! | [`rules`] | How do I combine attention masks and score modifiers? |
//! | [`mechanisms`] | How do I run attention that is not exact: linear, low-rank, by landmarks or clusters? |
//! | [`checkpoints`] | How do I run a trained model from its folder? |
//! | [`training`] | How do I train, from scratch or a checkpoint? |
//! | [`generation`] | How do I write text token by token? |
//! | [`performance`] | Why is this slow, and how fast should it be? |
//! | [`portability`] | Which devices, drivers and limits, and what is checked on them? |
//! | [`ops`] | Which ops are there? |
//! | [`command_line`] | What does the command `foveate` do? |
//! | [`how_it_works`] | What happens between the public function and the WGSL? |
//!
//! # Words
//!
//! | word | what it means here |
//! |---|---|
//! | graph, step, value | a [`Graph`](crate::Graph) is a list of steps (an op with its settings and inputs); a [`Value`](crate::Value) is a tensor: an input, a parameter, or the output of a step |
//! | plan | the graph as dispatches, buffers and memory, for the capabilities ([`Caps`](crate::Caps)) of a device: plain data, made without a GPU |
//! | program | a plan with its pipelines and buffers on one device |
//! | parameter, state | a tensor that stays on the device between runs: weights; what one stream carries from step to step |
//! | rule | an attention mask or a score modifier |
//! | mechanism | a method of attention, from query, key and value to the output: softmax attention under a rule, linear attention, Nyström, .. |
//! | tile | the block of rows and columns that one workgroup computes |
//! | turns | iterations of a shader's loops, which some drivers limit |
//! | tier | which kind of kernel a step got: streaming, register tiles, cooperative matrices |

#[doc = include_str!("checkpoints.md")]
pub mod checkpoints {}
#[doc = include_str!("choosing_attention.md")]
pub mod choosing_attention {}
#[doc = include_str!("command_line.md")]
pub mod command_line {}
#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[doc = include_str!("generation.md")]
pub mod generation {}
#[doc = include_str!("how_it_works.md")]
pub mod how_it_works {}
#[doc = include_str!("mechanisms.md")]
pub mod mechanisms {}
#[doc = include_str!("ops.md")]
pub mod ops {}
#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("portability.md")]
pub mod portability {}
#[doc = include_str!("rules.md")]
pub mod rules {}
#[doc = include_str!("training.md")]
pub mod training {}
