use super::*;
use crate::gpu::{AdapterRequest, Context, Program};
use crate::graph::{Graph, Op, StepDesc};
use crate::kernel::{Caps, Dispatch, Generated, Lowered, Source, params};
use crate::tensor::{Array, HostTensor, Real, TensorDesc};
use crate::{Plan, Result};

/// Where the matrix begins in its variable.
const BASE: usize = 4;

params! {
    struct Places {
        rows: u32,
        columns: u32,
        line: u32,
        /// How far apart the places are that functions are called for.
        row_step: u32,
        column_step: u32,
        /// How many of these lie in a row.
        across: u32,
    }
}

const LOADS: Source = Source {
    path: "loads.wgsl",
    text: "fn element(i: u32) {
        let row = i / params.across * params.row_step;
        let column = i % params.across * params.column_step;
        let block = m_block(4u, row, column);
        for (var r = 0u; r < 4u; r++) {
            for (var c = 0u; c < 4u; c++) {
                store_found(i * 24u + 4u * r + c, block[r][c]);
            }
            store_found(i * 24u + 16u + r, m_row(4u, row, column)[r]);
            store_found(i * 24u + 20u + r, m_column(4u, row, column)[r]);
        }
    }",
};

const STORED_LINES: Source = Source {
    path: "stored_lines.wgsl",
    text: "fn element(i: u32) {
        let row = i / params.across * params.row_step;
        let column = i % params.across * params.column_step;
        for (var n = 0u; n < 4u; n++) {
            store_found(i * 4u + n, f32(m_line(4u, row, column)[n]));
        }
    }",
};

const STORES: Source = Source {
    path: "stores.wgsl",
    text: "fn element(i: u32) {
        let row = i / params.across * params.row_step;
        let column = i % params.across * 4u;
        store_found(4u, row, column, f32(100u * row + column + 1u) + vec4<f32>(0.0, 1.0, 2.0, 3.0));
    }",
};

/// The same twice, for a variable that holds zeros at first.
const UPDATES: Source = Source {
    path: "updates.wgsl",
    text: "fn element(i: u32) {
        let row = i / params.across * params.row_step;
        let column = i % params.across * 4u;
        let value = f32(100u * row + column + 1u) + vec4<f32>(0.0, 1.0, 2.0, 3.0);
        store_found(4u, row, column, found_row(4u, row, column) + 0.25 * value);
        store_found(4u, row, column, found_row(4u, row, column) + 0.75 * value);
    }",
};

/// A kernel as an op.
#[derive(Clone, Debug)]
struct Probe {
    dispatch: Dispatch,
    result: TensorDesc,
}

impl Op for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn contract(&self, _: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![self.result.clone()])
    }

    fn reference<R: Real>(&self, _: &[&Array<R>]) -> Vec<Array<R>> {
        vec![Array::real(self.result.shape.clone(), vec![R::zero(); self.result.elements()])]
    }

    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::streaming("probe", "a test", vec![self.dispatch.clone()], Vec::new()))
    }
}

/// A matrix, and the places its functions are called for.
struct Probed {
    matrix: Matrix,
    extents: [usize; 2],
    line: usize,
    steps: [usize; 2],
    /// How many rows and columns of places.
    places: [usize; 2],
}

impl Probed {
    /// `ends` says of rows and columns whether the functions are called for more than there are.
    fn new(dtype: DType, transposed: bool, vectors: bool, ends: [bool; 2]) -> Self {
        let extents = if vectors { [8, 12] } else { [7, 9] };
        let along = usize::from(!transposed);
        let mut steps = [1, 1];
        if vectors {
            steps[along] = 4;
        }
        let places = [0, 1].map(|axis| {
            let last = if ends[axis] { extents[axis] + 3 } else { extents[axis] - 4 };
            last / steps[axis] + 1
        });
        let [rows, columns] = ends;
        let matrix = Matrix {
            dtype,
            transposed,
            line: Some("params.line"),
            vectors,
            rows: rows.then_some("params.rows"),
            columns: columns.then_some("params.columns"),
        };
        // There is room between lines.
        Self { matrix, extents, line: extents[along] + if vectors { 4 } else { 1 }, steps, places }
    }

    /// Every type, storage, width and choice of ends that the device knows.
    fn all(context: &Context) -> Vec<Self> {
        let mut all = Vec::new();
        for dtype in
            [DType::F32, DType::F16].into_iter().filter(|&dtype| dtype == DType::F32 || context.caps().f16)
        {
            for choices in 0..16 {
                let [transposed, vectors, rows, columns] = [1, 2, 4, 8].map(|bit| choices & bit != 0);
                all.push(Self::new(dtype, transposed, vectors, [rows, columns]));
            }
        }
        all
    }

    fn places(&self) -> Vec<[usize; 2]> {
        let ([rows, columns], [row, column]) = (self.places, self.steps);
        (0..rows).flat_map(|i| (0..columns).map(move |j| [i * row, j * column])).collect()
    }

    /// The variable's elements, of which those of the matrix are `100 row + column`.
    fn elements(&self) -> Vec<f32> {
        let [rows, columns] = self.extents;
        let lines = if self.matrix.transposed { columns } else { rows };
        let mut elements = vec![0.0; BASE + lines * self.line];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let (line, at) = if self.matrix.transposed { (column, row) } else { (row, column) };
            elements[BASE + line * self.line + at] = (100 * row + column) as f32;
        }
        elements
    }

    /// What lies `next` rows and columns from a place; `in_packs` where a function reads along the lines.
    fn expected(&self, place: [usize; 2], next: [usize; 2], in_packs: bool) -> f32 {
        let along = usize::from(!self.matrix.transposed);
        let [row, column] = [0, 1].map(|axis| {
            if axis == along && in_packs && self.matrix.vectors {
                place[axis].min(self.extents[axis] - 4) + next[axis]
            } else {
                (place[axis] + next[axis]).min(self.extents[axis] - 1)
            }
        });
        (100 * row + column) as f32
    }

    /// What the kernel that `make` completes writes as `found`, of an `m` that holds the matrix.
    fn run(&self, context: &Context, found: TensorDesc, kernel: Kernel) -> Vec<f32> {
        let places = Places {
            rows: self.extents[0] as u32,
            columns: self.extents[1] as u32,
            line: self.line as u32,
            row_step: self.steps[0] as u32,
            column_step: self.steps[1] as u32,
            across: self.places[1] as u32,
        };
        let count = self.places().len() as u32;
        let dispatch = kernel.params(places).per_element(count, context.caps());
        let elements = self.elements();
        let stored = HostTensor::from_f32(self.matrix.dtype, [elements.len()], &elements).unwrap();
        let mut graph = Graph::new();
        let m = graph.input("m", stored.desc()).unwrap();
        let found = graph.push(Probe { dispatch, result: found }, &[m]).unwrap()[0];
        graph.output("found", found).unwrap();
        let plan = Plan::new(&graph, context.caps()).unwrap();
        let program =
            Program::new(context, &plan).unwrap_or_else(|error| panic!("{error}: {:?}", self.matrix));
        program.run(&[("m", &stored)]).unwrap()["found"].to_f32()
    }
}

fn context() -> Context {
    Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn loads_find_elements_however_they_are_stored_and_repeat_the_last_ones() {
    let context = context();
    for probed in Probed::all(&context) {
        let transposed = probed.matrix.transposed;
        let places = probed.places();
        let kernel = Kernel::new("probe", [LOADS]).read_matrix("m", Operand::Input(0), probed.matrix).write(
            "found",
            Operand::Output(0),
            DType::F32,
        );
        let found = probed.run(&context, TensorDesc::f32([places.len() * 24]), kernel);
        for (&place, found) in places.iter().zip(found.chunks(24)) {
            let block = (0..16).map(|i| probed.expected(place, [i / 4, i % 4], true));
            let row = (0..4).map(|i| probed.expected(place, [0, i], !transposed));
            let column = (0..4).map(|i| probed.expected(place, [i, 0], transposed));
            let expected: Vec<f32> = block.chain(row).chain(column).collect();
            assert_eq!(found, expected, "{place:?} of {:?}", probed.matrix);
        }
    }
}

#[test]
fn lines_are_read_as_they_are_stored() {
    let context = context();
    for probed in Probed::all(&context) {
        let transposed = probed.matrix.transposed;
        let line = if transposed { "column" } else { "row" };
        let ty = probed.matrix.dtype.name();
        let text =
            format!("fn m_line({ARGUMENTS}) -> vec4<{ty}> {{\n    return m_{line}(base, row, column);\n}}\n");
        let places = probed.places();
        let kernel = Kernel::new("probe", [STORED_LINES])
            .read_as_stored("m", Operand::Input(0), probed.matrix)
            .generated([Generated { label: "line".into(), text, by_user: false }])
            .write("found", Operand::Output(0), DType::F32);
        let found = probed.run(&context, TensorDesc::f32([places.len() * 4]), kernel);
        for (&place, found) in places.iter().zip(found.chunks(4)) {
            let next = |i| if transposed { [i, 0] } else { [0, i] };
            let expected: Vec<f32> = (0..4).map(|i| probed.expected(place, next(i), true)).collect();
            assert_eq!(found, expected, "{place:?} of {:?}", probed.matrix);
        }
    }
}

#[test]
fn stores_leave_out_what_lies_past_the_end() {
    let context = context();
    for probed in Probed::all(&context).iter_mut().filter(|probed| !probed.matrix.transposed) {
        // Whole packs, also of elements.
        probed.places[1] = probed.places[1].min(if probed.matrix.columns.is_some() { 4 } else { 2 });
        let Probed { matrix, extents: [rows, columns], line, places: [_, across], .. } = *probed;
        let calls = probed.places();
        let result = TensorDesc::new(matrix.dtype, [probed.elements().len()]);
        let mut expected = vec![0.0; probed.elements().len()];
        let last_row = calls.iter().map(|[row, _]| row + 1).max().unwrap().min(rows);
        for (row, column) in
            (0..last_row).flat_map(|row| (0..columns.min(4 * across)).map(move |column| (row, column)))
        {
            expected[BASE + row * line + column] = (100 * row + column + 1) as f32;
        }
        let m = |source| Kernel::new("probe", [source]).read("m", Operand::Input(0), matrix.dtype);
        let stores = m(STORES).write_rows("found", Operand::Output(0), matrix);
        let updates = m(UPDATES).update_rows("found", Operand::Output(0), matrix);
        for kernel in [stores, updates] {
            assert_eq!(probed.run(&context, result.clone(), kernel), expected, "{matrix:?}");
        }
    }
}

#[test]
fn what_nobody_gives_or_wants_needs_no_variable() {
    let Probed { matrix, .. } = Probed::new(DType::F32, false, true, [true, true]);
    const BODY: Source = Source {
        path: "body.wgsl",
        text: "fn element(i: u32) {\n    store_y(0u, 0u, i, x_row(0u, 0u, i));\n}\n",
    };
    let kernel =
        Kernel::new("probe", [BODY]).read_rows_if("x", None, matrix).write_rows_if("y", None, matrix);
    let dispatch = kernel.per_element(1, &Caps::webgpu_default());
    assert_eq!(dispatch.bindings, []);
    crate::gpu::reflect(&dispatch.shader).unwrap_or_else(|error| panic!("{error}"));
}
