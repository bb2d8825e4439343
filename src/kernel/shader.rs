//! Shader text: plain WGSL files joined behind a generated header.
//!
//! WGSL's module scope is order-independent, so a kernel is its entry file plus the files that define the functions it
//! calls, and a variant is another header (`alias Elem = f16;`, `const TILE_K: u32 = 32u;`) or another file with the same
//! function. A file whose name ends in `.j2` is a minijinja template: it unrolls register tiles into named variables,
//! which drivers keep in registers where they spill arrays. Templates see the constants of the header, and may import and include other
//! templates of the same shader by their paths; one whose name ends in `.macros.j2` is there for that alone.

use std::fmt;
use std::fmt::Write;

use super::accessor::{STORED_HALVES, stored_types};
use super::template::{self, Origins, Templates};
use crate::Result;
use crate::tensor::DType;

/// One file of a shader, embedded: by [`wgsl!`](crate::wgsl), or by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Path under `shaders/`.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Embeds the file at a path under the folder `shaders` of the crate that calls it.
#[cfg_attr(feature = "unstable", macro_export)]
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
#[non_exhaustive]
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
    /// The cooperative matrices it multiplies, if any: the side of its square fragments, and the type of their factors. They accumulate in f32.
    pub cooperative: Option<(u32, DType)>,
    /// Whether it loads vectors of floats as words of 64 bits ([`Caps::wide_loads`](super::Caps::wide_loads)). The plan says so.
    pub wide_loads: bool,
}

/// A shader's text, and which line of which file each of its lines came from.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The WGSL module.
    pub wgsl: String,
    shader: Shader,
    parts: Vec<Part>,
}

/// What one file, or the header, contributed to a shader's text.
#[derive(Clone, Debug)]
struct Part {
    /// Its first byte in the module.
    start: usize,
    path: String,
    /// The number of the source, if it is a template.
    template: Option<usize>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Path under `shaders/`, the label of generated text, or `(generated header)`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
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
            wide_loads: false,
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

    /// States that the files multiply cooperative matrices: square fragments of `side`, of factors of `operand`, accumulated in f32.
    #[must_use]
    pub fn on_cooperative_matrices(self, side: u32, operand: DType) -> Self {
        Self { cooperative: Some((side, operand)), ..self }
    }

    /// Whether the shader needs a device with f16.
    pub fn uses_f16(&self) -> bool {
        let mut accessors = self.generated.iter().filter(|part| !part.by_user);
        self.aliases.iter().any(|(_, wgsl)| wgsl.contains("f16"))
            || accessors.any(|part| part.text.contains("f16") || part.text.contains(STORED_HALVES))
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
                Constant::F32(bits) => writeln!(wgsl, "const {name}: f32 = {};", f32_literal(*bits)),
                Constant::Bool(value) => writeln!(wgsl, "const {name}: bool = {value};"),
            };
        }
        wgsl += &stored_types(self.wide_loads, self.generated.iter().map(|part| part.text.as_str()));
        let mut parts = vec![Part { start: 0, path: "(generated header)".to_owned(), template: None }];
        let mut append = |path: &str, template: Option<usize>, text: &str| {
            parts.push(Part { start: wgsl.len(), path: path.to_owned(), template });
            wgsl += text;
            if !wgsl.ends_with('\n') {
                wgsl.push('\n');
            }
        };
        let templates = Templates::new(self)?;
        for (number, source) in self.sources.iter().enumerate() {
            if !template::is_template(source) {
                append(source.path, None, source.text);
            } else if !template::is_import(source) {
                append(source.path, Some(number), &templates.render(source)?);
            }
        }
        for part in &self.generated {
            append(&part.label, None, &part.text);
        }
        Ok(Rendered { wgsl, shader: self.clone(), parts })
    }
}

impl Rendered {
    /// The file and line that byte `at` of the text came from. Of what a template wrote, it is the line of the template, or of the macro.
    /// (Where a template computes with text that a macro wrote, other than by `int`, nobody can tell, and it is the line of the output.)
    pub fn locate(&self, at: usize) -> Place {
        let part = self.part_of(at);
        self.place(part, self.origins(part).as_ref(), at)
    }

    /// Where each line came from; of one that several files had a hand in, its first character.
    pub fn places(&self) -> Vec<Place> {
        let mut traced: Option<(usize, Option<Origins>)> = None;
        let mut start = 0;
        let place_of = |line: &str| {
            let at = start + (line.len() - line.trim_start().len()) % line.len();
            start += line.len();
            let part = self.part_of(at);
            if traced.as_ref().is_none_or(|(of, _)| *of != part) {
                traced = Some((part, self.origins(part)));
            }
            self.place(part, traced.as_ref().and_then(|(_, origins)| origins.as_ref()), at)
        };
        self.wgsl.split_inclusive('\n').map(place_of).collect()
    }

    fn part_of(&self, at: usize) -> usize {
        self.parts.partition_point(|part| part.start <= at).saturating_sub(1)
    }

    /// The text of a part as it was rendered.
    fn text_of(&self, part: usize) -> &str {
        let end = self.parts.get(part + 1).map_or(self.wgsl.len(), |next| next.start);
        &self.wgsl[self.parts[part].start..end]
    }

    fn origins(&self, part: usize) -> Option<Origins> {
        Origins::trace(&self.shader, self.parts[part].template?, self.text_of(part))
    }

    fn place(&self, part: usize, origins: Option<&Origins>, at: usize) -> Place {
        let Part { start, path, .. } = &self.parts[part];
        if let Some((source, line)) = origins.and_then(|origins| origins.of(at - start)) {
            return Place { path: self.shader.sources[source].path.to_owned(), line };
        }
        let before = &self.wgsl.as_bytes()[*start..at.min(self.wgsl.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Place { path: path.clone(), line }
    }
}

/// A literal of the f32 of these bits. Of the largest the shortest decimal that is nearest lies above it, which some compilers refuse.
fn f32_literal(bits: u32) -> String {
    let value = f32::from_bits(bits);
    let sign = if value < 0.0 { "-" } else { "" };
    if value.abs() == f32::MAX { format!("{sign}3.40282346e38f") } else { format!("{value:e}f") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

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
        let places: Vec<String> = rendered.places().iter().map(Place::to_string).collect();
        assert_eq!(places[..4], [1, 2, 3, 4].map(|line| format!("(generated header):{line}")));
        assert_eq!(places[4..], ["plain.wgsl:1", "plain.wgsl:2", "unrolled.wgsl.j2:2", "unrolled.wgsl.j2:2"]);
        for (place, line) in places.iter().zip(rendered.wgsl.lines()) {
            let at = line.as_ptr() as usize - rendered.wgsl.as_ptr() as usize;
            assert_eq!(&rendered.locate(at).to_string(), place);
        }
    }

    #[test]
    fn a_template_naming_an_unknown_constant_is_an_error_that_names_the_file() {
        let error = Shader::new("probe", [TEMPLATE]).render().unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Shader, "unrolled.wgsl.j2"));
    }
}
