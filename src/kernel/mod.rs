//! What the GPU is asked to do, as plain data: shaders, dispatches, and the capabilities they are chosen by.
//!
//! Nothing here names a GPU object, so ops lower, plans are made and shaders are checked without an adapter.

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
pub(crate) use builder::Kernel;
pub use caps::{AdapterKind, Caps, CooperativeShape};
pub use dispatch::{Choice, Dispatch, Lowered, Operand, Tier, fold_workgroups};
pub(crate) use matrix::Matrix;
pub use params::{Field, Params};
pub(crate) use params::{Member, params};
pub(crate) use shader::wgsl;
pub use shader::{Constant, Generated, Place, Rendered, Shader, Source};
pub use tuning::{AttentionTile, CooperativeAttention, CooperativeTile, MatmulKernel, Tuning};
pub(crate) use user_wgsl::{Signature, WgslType, check_user_wgsl};
