//! Shader text: plain WGSL files joined behind a generated header.
//!
//! WGSL's module scope is order-independent, so a kernel is its entry file plus the files that define the functions it
//! calls, and a variant is another header (`alias Elem = f16;`, `const TILE_K: u32 = 32u;`) or another file with the same
//! function. A file whose name ends in `.j2` is a minijinja template: it unrolls register tiles into named variables,
//! which drivers keep in registers where they spill arrays.

use std::fmt::Write;

use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// One file under `shaders/`, embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Path under `shaders/`.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Embeds the file at a path under `shaders/`.
macro_rules! wgsl {
    ($path:literal) => {
        $crate::kernel::Source {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        }
    };
}
pub(crate) use wgsl;

/// A value fixed in the header, and visible to templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Constant {
    /// `const NAME: u32`
    U32(u32),
    /// `const NAME: f32`, by its bits, so that equal shaders stay equal.
    F32(u32),
    /// `const NAME: bool`
    Bool(bool),
}

impl From<f32> for Constant {
    fn from(value: f32) -> Self {
        Self::F32(value.to_bits())
    }
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Text of a shader that no file holds: what a rule composes, and what users write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generated {
    /// What it is, as errors name it beside the line.
    pub label: String,
    /// WGSL.
    pub text: String,
    /// Whether a user wrote it.
    pub by_user: bool,
}

/// One variant of a kernel: its files and what the header fixes. Equal shaders make equal pipelines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The kernel's name, as reports show it.
    pub label: &'static str,
    /// The entry file first, then the files whose functions it calls.
    pub sources: Vec<Source>,
    /// Functions that no file holds.
    pub generated: Vec<Generated>,
    /// Types the files leave open: name and WGSL type.
    pub aliases: Vec<(&'static str, &'static str)>,
    /// Constants the files leave open.
    pub constants: Vec<(&'static str, Constant)>,
    /// The subgroup size it is written for, if it uses subgroup operations.
    pub subgroup_size: Option<u32>,
    /// The cooperative matrices it multiplies, if any: the side of its square fragments, and the type of their factors. They add up in f32.
    pub cooperative: Option<(u32, DType)>,
}

/// A shader's text, with a table from its lines to the files they came from.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The WGSL module.
    pub wgsl: String,
    segments: Vec<(usize, String)>,
}

impl Shader {
    /// A variant of the kernel `label` made of `sources`.
    pub fn new(label: &'static str, sources: impl Into<Vec<Source>>) -> Self {
        Self {
            label,
            sources: sources.into(),
            generated: Vec::new(),
            aliases: Vec::new(),
            constants: Vec::new(),
            subgroup_size: None,
            cooperative: None,
        }
    }

    /// Fixes the type `name` to `dtype`, in vectors of `lanes` (1 or 4; or 2 of u32, which hold four f16).
    #[must_use]
    pub fn alias(mut self, name: &'static str, dtype: DType, lanes: u32) -> Self {
        let wgsl = match (dtype, lanes) {
            (DType::F32, 4) => "vec4<f32>",
            (DType::F16, 4) => "vec4<f16>",
            (DType::I32, 4) => "vec4<i32>",
            (DType::U32, 4) => "vec4<u32>",
            (DType::U32, 2) => "vec2<u32>",
            (dtype, _) => dtype.name(),
        };
        self.aliases.push((name, wgsl));
        self
    }

    /// Fixes the constant `name`.
    #[must_use]
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Adds text that no file holds.
    #[must_use]
    pub fn generated(mut self, parts: impl IntoIterator<Item = Generated>) -> Self {
        self.generated.extend(parts);
        self
    }

    /// States that the files use subgroup operations and rely on subgroups of exactly `size` invocations.
    #[must_use]
    pub fn subgroups_of(self, size: u32) -> Self {
        Self { subgroup_size: Some(size), ..self }
    }

    /// States that the files multiply cooperative matrices: square fragments of `side`, of factors of `operand`, that add up in f32.
    #[must_use]
    pub fn on_cooperative_matrices(self, side: u32, operand: DType) -> Self {
        Self { cooperative: Some((side, operand)), ..self }
    }

    /// Whether the shader needs a device with f16.
    pub fn uses_f16(&self) -> bool {
        let accessors = self.generated.iter().filter(|part| !part.by_user);
        self.aliases.iter().any(|(_, wgsl)| wgsl.contains("f16"))
            || accessors.into_iter().any(|part| part.text.contains("f16"))
    }

    /// Whether nobody else wrote any of the text, and the kernel is one that the conformance cases run everywhere: cooperative matrices
    /// are for some devices only.
    pub(crate) fn is_of_this_crate(&self) -> bool {
        self.cooperative.is_none() && self.generated.iter().all(|part| !part.by_user)
    }

    /// The WGSL text: header, then every file, then what is generated.
    pub fn render(&self) -> Result<Rendered> {
        let mut wgsl = String::new();
        if self.uses_f16() {
            wgsl += "enable f16;\n";
        }
        if self.cooperative.is_some() {
            wgsl += "enable wgpu_cooperative_matrix;\n";
        }
        for (name, ty) in &self.aliases {
            let _ = writeln!(wgsl, "alias {name} = {ty};");
        }
        for (name, value) in &self.constants {
            let _ = match value {
                Constant::U32(value) => writeln!(wgsl, "const {name}: u32 = {value}u;"),
                Constant::F32(bits) => writeln!(wgsl, "const {name}: f32 = {:e}f;", f32::from_bits(*bits)),
                Constant::Bool(value) => writeln!(wgsl, "const {name}: bool = {value};"),
            };
        }
        let mut segments = vec![(1, "(generated header)".to_owned())];
        for source in &self.sources {
            segments.push((wgsl.lines().count() + 1, source.path.to_owned()));
            if source.path.ends_with(".j2") {
                wgsl += &self.expand(source)?;
            } else {
                wgsl += source.text;
            }
            if !wgsl.ends_with('\n') {
                wgsl.push('\n');
            }
        }
        for part in &self.generated {
            segments.push((wgsl.lines().count() + 1, part.label.clone()));
            wgsl += &part.text;
            if !wgsl.ends_with('\n') {
                wgsl.push('\n');
            }
        }
        Ok(Rendered { wgsl, segments })
    }

    fn expand(&self, source: &Source) -> Result<String> {
        let failed = |error: minijinja::Error| {
            Error::new(ErrorKind::Shader, self.label, source.path).but_found(format!("{error:#}"))
        };
        let mut environment = minijinja::Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed)?);
        let variables: std::collections::BTreeMap<&str, minijinja::Value> = self
            .constants
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Constant::U32(value) => minijinja::Value::from(*value),
                    Constant::F32(bits) => minijinja::Value::from(f32::from_bits(*bits)),
                    Constant::Bool(value) => minijinja::Value::from(*value),
                };
                (*name, value)
            })
            .collect();
        environment.render_str(source.text, variables).map_err(failed)
    }
}

impl Rendered {
    /// The file and line of a line of the joined text (both from 1). Lines of a template are those of its output.
    pub fn locate(&self, line: usize) -> (&str, usize) {
        let index = self.segments.partition_point(|&(first, _)| first <= line).saturating_sub(1);
        let (first, path) = &self.segments[index];
        (path, line.saturating_sub(*first) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Source = Source { path: "plain.wgsl", text: "fn a() {}\nfn b() {}\n" };
    const TEMPLATE: Source = Source {
        path: "unrolled.wgsl.j2",
        text: "{% for i in range(ROWS) %}\nvar<private> acc_{{ i }}: Elem;\n{% endfor %}\n",
    };

    #[test]
    fn header_fixes_types_and_constants_and_templates_see_them() {
        let shader = Shader::new("probe", [PLAIN, TEMPLATE])
            .alias("Elem", DType::F16, 4)
            .constant("ROWS", 2)
            .constant("CAUSAL", true);
        let rendered = shader.render().unwrap();
        assert_eq!(
            rendered.wgsl,
            "enable f16;\nalias Elem = vec4<f16>;\nconst ROWS: u32 = 2u;\nconst CAUSAL: bool = true;\n\
             fn a() {}\nfn b() {}\nvar<private> acc_0: Elem;\nvar<private> acc_1: Elem;\n"
        );
        assert_eq!(rendered.locate(1), ("(generated header)", 1));
        assert_eq!(rendered.locate(6), ("plain.wgsl", 2));
        assert_eq!(rendered.locate(8), ("unrolled.wgsl.j2", 2));
    }

    #[test]
    fn a_template_naming_an_unknown_constant_is_an_error_that_names_the_file() {
        let error = Shader::new("probe", [TEMPLATE]).render().unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Shader, "unrolled.wgsl.j2"));
    }
}
