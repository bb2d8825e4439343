//! Uniform parameters: one Rust struct beside the WGSL struct of the same fields, compared by reflection.
//!
//! They are fixed when a program is made, so one uniform buffer serves every device; immediates would bring nothing and need a
//! second path for devices and browsers without them.

/// One member of a parameter struct, as the host lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The member's name, the same in Rust and WGSL.
    pub name: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Bytes of the member.
    pub size: usize,
}

/// The bytes of a parameter struct with the layout they were written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    /// The members, in order.
    pub fields: &'static [Field],
    /// The struct's bytes.
    pub bytes: Vec<u8>,
}

/// Declares a `#[repr(C)]` parameter struct and its conversion into [`Params`].
/// Members are `u32`, `i32`, `f32`, `[u32; 4]` for a WGSL `vec4<u32>`, or `[u32; 8]` for a WGSL `array<vec4<u32>, 2>`.
macro_rules! params {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        struct $name { $($field: $type),* }

        impl From<$name> for $crate::kernel::Params {
            fn from(params: $name) -> Self {
                const FIELDS: &[$crate::kernel::Field] = &[$($crate::kernel::Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    size: size_of::<$type>(),
                }),*];
                Self { fields: FIELDS, bytes: bytemuck::bytes_of(&params).to_vec() }
            }
        }
    };
}
pub(crate) use params;
