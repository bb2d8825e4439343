//! Storage variables and the functions that load and store what they hold, as WGSL: the one place that writes any.
//!
//! A caller states how a variable is stored, the functions' names and arguments, and where things lie: [`super::Kernel`] packs that follow each
//! other, [`super::Matrix`] the lines of matrices, attention rows of heads. What lies past the end of a line is never loaded: loads repeat its
//! last element, or give 0, and stores leave it out. Indices are clamped rather than loads guarded, as a branch costs more than a spare
//! load.

use std::borrow::Cow;

use crate::tensor::DType;

/// How a variable holds its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It is an array of elements, or of packs that are only ever loaded whole.
    Plain,
    /// It is an array of vectors of four.
    Vectors,
    /// It is an array of four halves each, two of them a word: drivers load words, where they load `vec4<f16>` element by element.
    Pairs,
}

/// The types in memory of four elements that are read and never written, f32 and halves, which [`stored_types`] defines.
const STORED_FLOATS: &str = "StoredFloats";
pub(super) const STORED_HALVES: &str = "StoredHalves";

/// What a shader of `texts` has in its header of the types that read-only variables hold, and of the functions that give their elements.
///
/// `wide`: in words of 64 bits. A software rasterizer loads a vector component by component, for each invocation in turn, so that
/// half as many components take little more than half the time.
pub(super) fn stored_types<'t>(wide: bool, texts: impl Iterator<Item = &'t str> + Clone) -> String {
    let of = |name, definitions: [&'static str; 2]| {
        let is_used = texts.clone().any(|text| text.contains(name));
        if is_used { definitions[usize::from(wide)] } else { "" }
    };
    let floats = of(
        STORED_FLOATS,
        [
            "alias StoredFloats = vec4<f32>;\nfn floats_of(stored: StoredFloats) -> vec4<f32> {\n    return stored;\n}\n",
            "alias StoredFloats = vec2<u64>;\nfn floats_of(stored: StoredFloats) -> vec4<f32> {\n    \
             return bitcast<vec4<f32>>(vec4(u32(stored.x), u32(stored.x >> 32u), u32(stored.y), u32(stored.y >> 32u)));\n}\n",
        ],
    );
    let halves = of(
        STORED_HALVES,
        [
            "alias StoredHalves = vec2<u32>;\nfn words_of(stored: StoredHalves) -> vec2<u32> {\n    return stored;\n}\n",
            "alias StoredHalves = u64;\nfn words_of(stored: StoredHalves) -> vec2<u32> {\n    \
             return vec2(u32(stored), u32(stored >> 32u));\n}\n",
        ],
    );
    let of_halves = of(
        STORED_HALVES,
        ["fn halves_of(stored: StoredHalves) -> vec4<f32> {\n    let words = words_of(stored);\n    \
          return vec4(unpack2x16float(words.x), unpack2x16float(words.y));\n}\n"; 2],
    );
    [floats, halves, of_halves].concat()
}

/// A storage variable as its functions see it.
#[derive(Clone, Debug)]
pub(crate) struct Accessor<'n> {
    name: &'n str,
    form: Form,
    /// The type in memory.
    stored: Cow<'n, str>,
    /// The type that functions give and take; of functions of four elements, one of these.
    value: Cow<'n, str>,
}

/// Four neighbours of a line, as WGSL expressions that count elements.
pub(crate) struct Four<'e> {
    /// Where the line begins in the variable.
    pub(crate) line: &'e str,
    /// The place of the first of them in the line.
    pub(crate) first: &'e str,
    /// Where the line ends, if places past its end are asked for.
    pub(crate) end: Option<&'e str>,
}

/// What loads give for places past the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    Zero,
    /// The last element; of vectors, the last four.
    Last,
}

/// The WGSL type of `lanes` elements.
pub(crate) fn packed(element: &str, lanes: u32) -> String {
    if lanes == 1 { element.to_owned() } else { format!("vec{lanes}<{element}>") }
}

/// What kernels compute with: floats are f32 whatever they are stored as.
pub(crate) fn computed(dtype: DType) -> DType {
    if dtype.is_float() { DType::F32 } else { dtype }
}

/// An index of an axis, or the last one from which `elements` exist.
pub(crate) fn clamped(index: &str, end: Option<&str>, elements: u32) -> String {
    end.map_or(index.to_owned(), |end| format!("min({index}, {end} - {elements}u)"))
}

/// A function that gives zeros, where there is no variable to load from.
pub(crate) fn zeros(function: &str, arguments: &str, value: &str) -> String {
    format!("fn {function}({arguments}) -> {value} {{\n    return {value}();\n}}\n")
}

/// A function that does nothing, where there is no variable to store to.
pub(crate) fn ignored(function: &str, arguments: &str, value: &str) -> String {
    format!("fn {function}({arguments}, value: {value}) {{\n}}\n")
}

impl<'n> Accessor<'n> {
    /// Packs of `lanes` elements of `dtype`, floats given and taken as f32.
    pub(crate) fn packs(name: &'n str, dtype: DType, lanes: u32) -> Self {
        Self {
            name,
            form: Form::Plain,
            stored: packed(dtype.name(), lanes).into(),
            value: packed(computed(dtype).name(), lanes).into(),
        }
    }

    /// Elements of `dtype`, in vectors of four if `in_vectors`, given and taken as `value`.
    pub(crate) fn elements(name: &'n str, dtype: DType, in_vectors: bool, value: &'n str) -> Self {
        let (form, lanes) = if in_vectors { (Form::Vectors, 4) } else { (Form::Plain, 1) };
        Self { name, form, stored: packed(dtype.name(), lanes).into(), value: value.into() }
    }

    /// Halves, four of them in two words, given as f32, of a variable that is only read.
    pub(crate) fn pairs(name: &'n str) -> Self {
        Self { name, form: Form::Pairs, stored: STORED_HALVES.into(), value: "f32".into() }
    }

    /// The same of a variable that is only read: packs of four that are given as f32 are loaded as the device does fastest.
    pub(crate) fn only_read(self) -> Self {
        match (&*self.stored, &*self.value) {
            ("vec4<f32>", _) => self.stored_as(STORED_FLOATS),
            ("vec4<f16>", "vec4<f32>") => self.stored_as(STORED_HALVES),
            _ => self,
        }
    }

    /// The same elements under a type that the shader's header names: of one, or of vectors of four.
    pub(crate) fn stored_as(self, alias: &'n str) -> Self {
        Self { stored: alias.into(), ..self }
    }

    /// What is moved, whose bits stay: packs are given and taken in the type they are stored in.
    pub(crate) fn in_stored_type(self) -> Self {
        Self { value: self.stored.clone(), ..self }
    }

    /// The type that functions of whole packs give and take.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// The variable.
    pub(crate) fn declaration(&self, binding: usize, written: bool) -> String {
        let Self { name, stored, .. } = self;
        let access = if written { "read_write" } else { "read" };
        format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{stored}>;\n")
    }

    /// The function that loads the pack of a number.
    pub(crate) fn load(&self, function: &str, arguments: &str, index: &str) -> String {
        let Self { name, stored, value, .. } = self;
        let loaded = loaded(value, stored, &format!("{name}[{index}]"));
        format!("fn {function}({arguments}) -> {value} {{\n    return {loaded};\n}}\n")
    }

    /// The function that stores the pack of a number.
    pub(crate) fn store(&self, function: &str, arguments: &str, index: &str) -> String {
        let Self { name, stored, value, .. } = self;
        let kept = converted(stored, value, "value");
        format!("fn {function}({arguments}, value: {value}) {{\n    {name}[{index}] = {kept};\n}}\n")
    }

    /// The function that loads the element at a place in the variable.
    pub(crate) fn load_one(&self, function: &str, arguments: &str, place: &str) -> String {
        let Self { name, form, value, .. } = self;
        let body = match form {
            Form::Plain => format!("    return {};\n", self.element(place)),
            Form::Vectors if self.stored == STORED_FLOATS => {
                format!("    let at = {place};\n    return floats_of({name}[at / 4u])[at % 4u];\n")
            }
            Form::Vectors => {
                let lane = format!("{name}[at / 4u][at % 4u]");
                format!("    let at = {place};\n    return {};\n", converted(value, self.lane(), &lane))
            }
            Form::Pairs => format!(
                "    let at = {place};\n    \
                 return unpack2x16float(words_of({name}[at / 4u])[at / 2u % 2u])[at % 2u];\n"
            ),
        };
        format!("fn {function}({arguments}) -> {value} {{\n{body}}}\n")
    }

    /// The function that loads four neighbours of a line. Vectors are whole ones, in lines that are.
    pub(crate) fn load_four(&self, function: &str, arguments: &str, four: &Four, past: Past) -> String {
        let Four { line, first, end } = *four;
        match self.form {
            Form::Plain => self.load_apart(function, arguments, four, past),
            _ => {
                let index = format!("({line} + {}) / 4u", clamped(first, end, 4));
                self.load_vector(function, arguments, &index)
            }
        }
    }

    /// The function that loads the vector of a number.
    pub(crate) fn load_vector(&self, function: &str, arguments: &str, index: &str) -> String {
        let Self { name, stored, value, .. } = self;
        let vector = packed(value, 4);
        let loaded = loaded(&vector, stored, &format!("{name}[{index}]"));
        format!("fn {function}({arguments}) -> {vector} {{\n    return {loaded};\n}}\n")
    }

    /// [`Accessor::load_four`], element by element.
    fn load_apart(&self, function: &str, arguments: &str, four: &Four, past: Past) -> String {
        let Four { line, first, end } = *four;
        let vector = packed(&self.value, 4);
        let elements = |places: [&str; 4]| {
            let loads = places.map(|place| self.element(place)).join(",\n        ");
            format!("{vector}(\n        {loads},\n    )")
        };
        let body = match end {
            None => {
                let loaded = elements(["at", "at + 1u", "at + 2u", "at + 3u"]);
                format!("    let at = {line} + {first};\n    return {loaded};\n")
            }
            Some(end) => {
                let places =
                    ["", " + 1u", " + 2u", " + 3u"].map(|next| format!("start + min({first}{next}, last)"));
                let loaded = elements([&places[0], &places[1], &places[2], &places[3]]);
                let given = match past {
                    Past::Last => loaded,
                    Past::Zero => {
                        format!(
                            "select({vector}(), {loaded}, vec4({first}) + vec4(0u, 1u, 2u, 3u) < vec4({end}))"
                        )
                    }
                };
                format!("    let start = {line};\n    let last = {end} - 1u;\n    return {given};\n")
            }
        };
        format!("fn {function}({arguments}) -> {vector} {{\n{body}}}\n")
    }

    /// The function that stores four neighbours of a line, those that lie before its end. Where `inside` is given, it says whether there is
    /// such a line.
    pub(crate) fn store_four(
        &self,
        function: &str,
        arguments: &str,
        four: &Four,
        inside: Option<&str>,
    ) -> String {
        let Self { name, form, stored, value } = self;
        let Four { line, first, end } = *four;
        let vector = packed(value, 4);
        let body = match form {
            Form::Plain => {
                let outside = inside.map_or(String::new(), |inside| {
                    format!("    if !({inside}) {{\n        return;\n    }}\n")
                });
                let puts: String = (0..4)
                    .map(|i| {
                        let put = format!(
                            "{name}[at + {i}u] = {};\n",
                            converted(stored, value, &format!("value[{i}]"))
                        );
                        match end {
                            Some(end) => format!("    if {first} + {i}u < {end} {{\n        {put}    }}\n"),
                            None => format!("    {put}"),
                        }
                    })
                    .collect();
                format!("{outside}    let at = {line} + {first};\n{puts}")
            }
            _ => {
                let before_end = end.map(|end| format!("{first} < {end}"));
                let conditions: Vec<&str> = inside.into_iter().chain(before_end.as_deref()).collect();
                let put =
                    format!("{name}[({line} + {first}) / 4u] = {};\n", converted(stored, &vector, "value"));
                match conditions.as_slice() {
                    [] => format!("    {put}"),
                    conditions => format!("    if {} {{\n        {put}    }}\n", conditions.join(" && ")),
                }
            }
        };
        format!("fn {function}({arguments}, value: {vector}) {{\n{body}}}\n")
    }

    /// The function that stores the vector of a number.
    pub(crate) fn store_vector(&self, function: &str, arguments: &str, index: &str) -> String {
        let Self { name, stored, value, .. } = self;
        let vector = packed(value, 4);
        let kept = converted(stored, &vector, "value");
        format!("fn {function}({arguments}, value: {vector}) {{\n    {name}[{index}] = {kept};\n}}\n")
    }

    /// An element of an array of elements.
    fn element(&self, place: &str) -> String {
        converted(&self.value, &self.stored, &format!("{}[{place}]", self.name))
    }

    /// The type of an element of stored vectors.
    fn lane(&self) -> &str {
        self.stored.strip_prefix("vec4<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(&self.stored)
    }
}

/// A vector of the type `stored`, which `expression` loads, as a `to`.
fn loaded(to: &str, stored: &str, expression: &str) -> String {
    match stored {
        STORED_FLOATS => format!("floats_of({expression})"),
        STORED_HALVES => format!("halves_of({expression})"),
        _ => converted(to, stored, expression),
    }
}

/// `expression` of type `from` as a `to`.
fn converted(to: &str, from: &str, expression: &str) -> String {
    if to == from { expression.to_owned() } else { format!("{to}({expression})") }
}
