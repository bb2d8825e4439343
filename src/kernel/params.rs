//! Uniform parameters: a Rust struct, and the WGSL struct of the same members. Kernels made by the builder have the second one generated;
//! others write it themselves, and reflection compares the two.
//!
//! They are fixed when a program is made, so one uniform buffer serves every device; immediates would bring nothing and need a
//! second path for devices and browsers without them.

#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub, reason = "public with the feature `unstable`"))]

/// One member of a parameter struct, as the host lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The member's name, the same in Rust and WGSL.
    pub name: &'static str,
    /// Its type in WGSL.
    pub wgsl: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
    /// Bytes of the member.
    pub size: usize,
}

/// The bytes of a parameter struct with the layout they were written in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params {
    /// The members, in order.
    pub fields: Vec<Field>,
    /// The struct's bytes.
    pub bytes: Vec<u8>,
}

impl Params {
    /// Appends a member.
    pub fn push<M: Member>(&mut self, name: &'static str, value: M) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(bytemuck::bytes_of(&value));
        self.fields.push(Field { name, wgsl: M::WGSL, offset, size: size_of::<M>() });
    }
}

/// What a member of a parameter struct may be. Those that are vectors or arrays in WGSL start at multiples of 16 bytes: they come first.
pub trait Member: bytemuck::NoUninit {
    /// The type in WGSL.
    const WGSL: &'static str;
}

impl Member for u32 {
    const WGSL: &'static str = "u32";
}

impl Member for i32 {
    const WGSL: &'static str = "i32";
}

impl Member for f32 {
    const WGSL: &'static str = "f32";
}

impl Member for [u32; 4] {
    const WGSL: &'static str = "vec4<u32>";
}

impl Member for [u32; 8] {
    const WGSL: &'static str = "array<vec4<u32>, 2>";
}

impl Member for [u32; 16] {
    const WGSL: &'static str = "array<vec4<u32>, 4>";
}

/// Declares a parameter struct and its conversion into [`Params`]: `params! { struct Settings { factor: f32, count: u32 } }`. Types of members
/// are those that are a [`Member`]. A shader reads them as members of `params`.
#[cfg_attr(feature = "unstable", macro_export)]
macro_rules! params {
    ($(#[$doc:meta])* $visible:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $visible struct $name { $($(#[$field_doc])* $field: $type),* }

        impl From<$name> for $crate::kernel::Params {
            fn from(params: $name) -> Self {
                let mut all = Self::default();
                $(all.push(stringify!($field), params.$field);)*
                all
            }
        }
    };
}
pub(crate) use params;
