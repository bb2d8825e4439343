//! What the GPU is asked to do, as plain data: shaders, dispatches, and the capabilities they are chosen by.
//!
//! Nothing here names a GPU object, so ops lower, plans are made and shaders are checked without an adapter.
//!
//! What ops of other crates are made of (`Kernel`, `Dispatch`, `Shader` and what these hold) is public with the feature `unstable`, and may
//! change with any version: see [`crate::Op`].

mod accessor;
mod builder;
mod caps;
mod dispatch;
mod matrix;
mod params;
mod shader;
mod template;
mod tuning;
mod user_wgsl;

pub(crate) use accessor::{Accessor, Four, Past, ignored};
pub use caps::{AdapterKind, Caps, CooperativeShape};
pub use dispatch::{Choice, Tier};
pub(crate) use matrix::Matrix;
pub(crate) use params::params;
pub(crate) use shader::wgsl;
pub use tuning::{AttentionTile, CooperativeAttention, CooperativeTile, MatmulKernel, Tuning};
pub(crate) use user_wgsl::{Signature, WgslType, check_user_wgsl};

crate::public_if_unstable! {
    builder::Kernel,
    dispatch::{Dispatch, Lowered, Operand, fold_workgroups},
    params::{Field, Member, Params},
    shader::{Constant, Generated, Place, Rendered, Shader, Source},
}
