//! Matrices in storage variables: the functions that load and store four of their elements at a time, written for how the elements lie and
//! for what is asked for past the end.
//!
//! ```text
//! .read_matrix("a", operand, a)             fn a_row(base: u32, row: u32, column: u32) -> vec4<f32>      four neighbours of a row
//!                                           fn a_column(..) -> vec4<f32>                                 four neighbours of a column
//!                                           fn a_block(..) -> mat4x4<f32>                                four rows of four columns
//! .read_rows_if("residual", operand, r)     fn residual_row(..) -> vec4<f32>                             zeros where there is no operand
//! .read_as_stored("a", operand, a)          fn a_row(..) -> vec4<f16>, or a_column, whichever lie behind one another
//! .update_rows("c", operand, c)              both c_row and store_c
//! .write_rows_if("c", operand, c)           fn store_c(base, row, column, value: vec4<f32>)              nothing where there is no operand
//! ```
//!
//! `base` is the matrix's first element, so that one variable holds many. Halves that are read as f32 come as pairs, two of them a word,
//! where lines are whole vectors: drivers load words, where they load `vec4<f16>` element by element.

use super::{Kernel, Operand};
use crate::tensor::DType;

/// How a matrix lies in a storage variable: lines of neighbours, which are its rows, or its columns if it is stored transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Type of the stored elements, a float.
    pub(crate) dtype: DType,
    /// Whether lines are columns.
    pub(crate) transposed: bool,
    /// Elements from the beginning of a line to that of the next, in WGSL. None of a matrix of one line.
    pub(crate) line: Option<&'static str>,
    /// Whether every line starts at, and extends over, whole vectors of four elements.
    pub(crate) vectors: bool,
    /// How many rows there are, in WGSL, if the functions are called with rows past the end: loads then repeat the last one (in vectors
    /// along a line, the last four), stores leave them out.
    pub(crate) rows: Option<&'static str>,
    /// The same of columns.
    pub(crate) columns: Option<&'static str>,
}

const ARGUMENTS: &str = "base: u32, row: u32, column: u32";

impl Kernel {
    /// A matrix that is read as f32: `NAME_row`, `NAME_column` and `NAME_block`, whose element `[r][c]` is row `r` and column `c` of it.
    pub(crate) fn read_matrix(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let (dtype, lanes) = matrix.read_as();
        let functions = [
            matrix.header(name),
            matrix.along(name, matrix.in_pairs()),
            matrix.across(name),
            matrix.block(name),
        ];
        self.declare(name, operand, dtype, lanes, false).define(functions.concat())
    }

    /// A matrix, not transposed, of which rows are read as f32: `NAME_row`, zeros if there is no operand.
    pub(crate) fn read_rows_if(self, name: &'static str, operand: Option<Operand>, matrix: Matrix) -> Self {
        let (dtype, lanes) = matrix.read_as();
        match operand {
            Some(operand) => self
                .declare(name, operand, dtype, lanes, false)
                .define(matrix.header(name) + &matrix.along(name, matrix.in_pairs())),
            None => self.define(format!(
                "// There is no {name}.\nfn {name}_row({ARGUMENTS}) -> vec4<f32> {{\n    return vec4<f32>();\n}}\n"
            )),
        }
    }

    /// A matrix whose lines are read in the type they are stored as: `NAME_row`, or `NAME_column` if it is transposed.
    pub(crate) fn read_as_stored(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let ty = format!("vec4<{}>", matrix.dtype.name());
        let lines = matrix.line_function(name, &ty, "pack", &|element| element.to_owned());
        self.declare(name, operand, matrix.dtype, matrix.lanes(), false).define(matrix.header(name) + &lines)
    }

    /// A matrix, not transposed, whose rows are written: `store_NAME`.
    pub(crate) fn write_rows(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        self.declare(name, operand, matrix.dtype, matrix.lanes(), true)
            .define(matrix.header(name) + &matrix.store(name))
    }

    /// A matrix, not transposed, whose rows are read and written: both functions.
    pub(crate) fn update_rows(self, name: &'static str, operand: Operand, matrix: Matrix) -> Self {
        let functions = [matrix.header(name), matrix.along(name, false), matrix.store(name)];
        self.declare(name, operand, matrix.dtype, matrix.lanes(), true).define(functions.concat())
    }

    /// [`Kernel::write_rows`] if somebody wants it: without, `store_NAME` does nothing.
    pub(crate) fn write_rows_if(self, name: &'static str, operand: Option<Operand>, matrix: Matrix) -> Self {
        match operand {
            Some(operand) => self.write_rows(name, operand, matrix),
            None => self.define(format!(
                "// Nobody wants {name}.\nfn store_{name}({ARGUMENTS}, value: vec4<f32>) {{\n}}\n"
            )),
        }
    }
}

impl Matrix {
    fn lanes(&self) -> u32 {
        if self.vectors { 4 } else { 1 }
    }

    /// Whether halves are read in pairs.
    fn in_pairs(&self) -> bool {
        self.vectors && self.dtype == DType::F16
    }

    /// Type and width of the variable of a matrix that is read as f32.
    fn read_as(&self) -> (DType, u32) {
        if self.in_pairs() { (DType::U32, 2) } else { (self.dtype, self.lanes()) }
    }

    /// Which of `row` and `column` counts lines, and is what a line is; and how many there are if they end.
    fn across_axis(&self) -> (&'static str, Option<&'static str>) {
        if self.transposed { ("column", self.columns) } else { ("row", self.rows) }
    }

    /// Which of `row` and `column` counts elements of a line, and how many there are if they end.
    fn along_axis(&self) -> (&'static str, Option<&'static str>) {
        if self.transposed { ("row", self.rows) } else { ("column", self.columns) }
    }

    /// Where things lie, as a comment.
    fn header(&self, name: &str) -> String {
        let line = self.line.map_or(String::new(), |line| format!("{} * {line} + ", self.across_axis().0));
        let ends: Vec<String> = [("rows", self.rows), ("columns", self.columns)]
            .into_iter()
            .filter_map(|(axis, extent)| extent.map(|extent| format!("{axis} end at {extent}")))
            .collect();
        let end = if ends.is_empty() { String::new() } else { format!("; {}", ends.join(", ")) };
        let along = self.along_axis().0;
        let width = if self.vectors { ", in whole vectors" } else { "" };
        format!("// Element (row, column) of {name} lies at base + {line}{along}{width}{end}.\n")
    }

    /// The first element of a line, past the last of which the last one is repeated.
    fn start(&self) -> String {
        let Some(line) = self.line else { return "base".into() };
        format!("base + {} * {line}", clamped(self.across_axis(), 1))
    }

    /// Four neighbours of a line, as f32. `in_pairs` where halves are stored as words.
    fn along(&self, name: &str, in_pairs: bool) -> String {
        let widened = |element: &str| match self.dtype {
            DType::F32 => element.to_owned(),
            _ => format!("f32({element})"),
        };
        let vector = match self.dtype {
            DType::F32 => "pack",
            _ if in_pairs => "vec4<f32>(unpack2x16float(pack.x), unpack2x16float(pack.y))",
            _ => "vec4<f32>(pack)",
        };
        self.line_function(name, "vec4<f32>", vector, &widened)
    }

    /// The function of four neighbours of a line, of type `ty`: the expression `vector` of a `pack`, or single elements by `element`.
    fn line_function(&self, name: &str, ty: &str, vector: &str, element: &dyn Fn(&str) -> String) -> String {
        let axis @ (along, end) = self.along_axis();
        let start = self.start();
        let body = if self.vectors {
            let pack = format!("{name}[({start} + {}) / 4u]", clamped(axis, 4));
            format!("    let pack = {pack};\n    return {};\n", vector)
        } else {
            let (begin, places) = match end {
                None => (
                    format!("    let at = {start} + {along};\n"),
                    ["at".into(), "at + 1u".into(), "at + 2u".into(), "at + 3u".into()],
                ),
                Some(end) => (
                    format!("    let start = {start};\n    let last = {end} - 1u;\n"),
                    ["", " + 1u", " + 2u", " + 3u"].map(|next| format!("start + min({along}{next}, last)")),
                ),
            };
            let elements = places.map(|place: String| element(&format!("{name}[{place}]")));
            format!("{begin}    return {ty}(\n        {},\n    );\n", elements.join(",\n        "))
        };
        format!("fn {name}_{}({ARGUMENTS}) -> {ty} {{\n{body}}}\n", self.across_axis().0)
    }

    /// Four elements of neighbouring lines, as f32, and the function of one element that they come from.
    fn across(&self, name: &str) -> String {
        let at = format!("{} + {}", self.start(), clamped(self.along_axis(), 1));
        let one = match (self.vectors, self.dtype) {
            (true, DType::F16) => format!(
                "    let at = {at};\n    return unpack2x16float({name}[at / 4u][at / 2u % 2u])[at % 2u];\n"
            ),
            (true, _) => format!("    let at = {at};\n    return {name}[at / 4u][at % 4u];\n"),
            (false, DType::F32) => format!("    return {name}[{at}];\n"),
            (false, _) => format!("    return f32({name}[{at}]);\n"),
        };
        let along = self.along_axis().0;
        let elements = self.neighbours(name, "at");
        format!(
            "fn {name}_at({ARGUMENTS}) -> f32 {{\n{one}}}\n\
             fn {name}_{along}({ARGUMENTS}) -> vec4<f32> {{\n    return vec4<f32>({elements});\n}}\n"
        )
    }

    /// Four rows of four columns, line by line.
    fn block(&self, name: &str) -> String {
        let lines = self.neighbours(name, self.across_axis().0);
        let block = format!("mat4x4<f32>({lines})");
        let block = if self.transposed { format!("transpose({block})") } else { block };
        format!("fn {name}_block({ARGUMENTS}) -> mat4x4<f32> {{\n    return {block};\n}}\n")
    }

    /// What the function `NAME_what` gives for four lines.
    fn neighbours(&self, name: &str, what: &str) -> String {
        let calls = ["", " + 1u", " + 2u", " + 3u"].map(|next| match self.transposed {
            false => format!("{name}_{what}(base, row{next}, column)"),
            true => format!("{name}_{what}(base, row, column{next})"),
        });
        format!("\n        {},\n    ", calls.join(",\n        "))
    }

    /// Stores four neighbours of a row, those that exist.
    fn store(&self, name: &str) -> String {
        let start = self.line.map_or("base".into(), |line| format!("base + row * {line}"));
        let stored = |value: &str, ty: &str| match self.dtype {
            DType::F32 => value.to_owned(),
            _ => format!("{ty}({value})"),
        };
        let (element, vector) = (self.dtype.name(), format!("vec4<{}>", self.dtype.name()));
        let body = if self.vectors {
            let inside = [("row", self.rows), ("column", self.columns)]
                .into_iter()
                .filter_map(|(axis, extent)| extent.map(|extent| format!("{axis} < {extent}")))
                .collect::<Vec<_>>();
            let put = format!("{name}[({start} + column) / 4u] = {};\n", stored("value", &vector));
            if inside.is_empty() {
                format!("    {put}")
            } else {
                format!("    if {} {{\n        {put}    }}\n", inside.join(" && "))
            }
        } else {
            let rows = self
                .rows
                .map_or(String::new(), |rows| format!("    if row >= {rows} {{\n        return;\n    }}\n"));
            let puts: String = (0..4)
                .map(|i| {
                    let put = format!("{name}[at + {i}u] = {};\n", stored(&format!("value[{i}]"), element));
                    match self.columns {
                        Some(end) => format!("    if column + {i}u < {end} {{\n        {put}    }}\n"),
                        None => format!("    {put}"),
                    }
                })
                .collect();
            format!("{rows}    let at = {start} + column;\n{puts}")
        };
        format!("fn store_{name}({ARGUMENTS}, value: vec4<f32>) {{\n{body}}}\n")
    }
}

/// An index of an axis, or the last from which `elements` exist.
fn clamped((index, end): (&str, Option<&str>), elements: u32) -> String {
    end.map_or(index.to_owned(), |end| format!("min({index}, {end} - {elements}u)"))
}

#[cfg(test)]
mod tests;
