//! Which loops of a shader take a number of turns that its text fixes, as naga reads it.

use std::cell::RefCell;
use std::collections::HashSet;

use naga::{Binding, Block, BuiltIn, Expression, Function, Handle, LocalVariable, Module, Statement};

/// Whether a loop of `module` has no way out that its text alone decides: a comparison of constants and of variables that are only ever
/// assigned from constants, from each other, and from an invocation's place in its workgroup.
pub(crate) fn has_open_loop(module: &Module) -> bool {
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    let functions = module.functions.iter().map(|(_, function)| function);
    functions.chain(entries).any(|function| {
        let body = Body { function, assumed: RefCell::default() };
        let mut open = false;
        walk(&function.body, &mut |statement| open |= body.is_open_loop(statement));
        open
    })
}

/// Hands every statement of a block to `visit`, at whatever depth.
fn walk<'a>(block: &'a Block, visit: &mut dyn FnMut(&'a Statement)) {
    for statement in block {
        visit(statement);
        match statement {
            Statement::Block(inner) => walk(inner, visit),
            Statement::If { accept: first, reject: second, .. }
            | Statement::Loop { body: first, continuing: second, .. } => {
                walk(first, visit);
                walk(second, visit);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| walk(&case.body, visit)),
            _ => {}
        }
    }
}

struct Body<'f> {
    function: &'f Function,
    /// Variables that are being looked into: `i` may be assigned from `i + 1`.
    assumed: RefCell<HashSet<Handle<LocalVariable>>>,
}

impl Body<'_> {
    fn is_open_loop(&self, statement: &Statement) -> bool {
        let Statement::Loop { body, break_if, .. } = statement else { return false };
        let leaves = |block: &Block| matches!(block.last(), Some(Statement::Break));
        let fixed_way_out = |statement: &Statement| match statement {
            Statement::If { condition, accept, reject } => {
                (leaves(accept) || leaves(reject)) && self.is_fixed(*condition)
            }
            _ => false,
        };
        !(body.iter().any(fixed_way_out) || break_if.is_some_and(|condition| self.is_fixed(condition)))
    }

    /// Whether the text alone, and the place in the workgroup, decide a value.
    fn is_fixed(&self, value: Handle<Expression>) -> bool {
        let fixed = |value: &Handle<Expression>| self.is_fixed(*value);
        match &self.function.expressions[value] {
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::Override(_)
            | Expression::ZeroValue(_) => true,
            Expression::LocalVariable(variable) => self.is_fixed_variable(*variable),
            Expression::FunctionArgument(index) => matches!(
                self.function.arguments[*index as usize].binding,
                Some(Binding::BuiltIn(BuiltIn::LocalInvocationIndex | BuiltIn::LocalInvocationId))
            ),
            Expression::Compose { components, .. } => components.iter().all(fixed),
            Expression::AccessIndex { base: value, .. }
            | Expression::Load { pointer: value }
            | Expression::Splat { value, .. }
            | Expression::Swizzle { vector: value, .. }
            | Expression::Unary { expr: value, .. }
            | Expression::As { expr: value, .. } => fixed(value),
            Expression::Access { base: left, index: right } | Expression::Binary { left, right, .. } => {
                fixed(left) && fixed(right)
            }
            Expression::Select { condition, accept, reject } => {
                [condition, accept, reject].into_iter().all(fixed)
            }
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(arg), arg1.as_ref(), arg2.as_ref(), arg3.as_ref()].into_iter().flatten().all(fixed)
            }
            _ => false,
        }
    }

    fn is_fixed_variable(&self, variable: Handle<LocalVariable>) -> bool {
        if !self.assumed.borrow_mut().insert(variable) {
            return true;
        }
        let mut fixed = self.function.local_variables[variable].init.is_none_or(|value| self.is_fixed(value));
        let mut visit = |statement: &Statement| {
            if let Statement::Store { pointer, value } = statement
                && self.root(*pointer) == Some(variable)
            {
                fixed &= self.is_fixed(*value);
            }
        };
        walk(&self.function.body, &mut visit);
        self.assumed.borrow_mut().remove(&variable);
        fixed
    }

    /// The variable that a pointer points into.
    fn root(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(variable) => Some(variable),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.root(base),
            _ => None,
        }
    }
}

#[test]
fn loops_over_what_parameters_and_buffers_say_are_open() {
    for (body, open) in [
        ("for (var i = 0u; i < 64u; i++) { out[i] = 1u; }", false),
        ("for (var i = lane; i < 1024u; i += N) { out[i] = 1u; }", false),
        ("for (var s = N / 2u; s > 0u; s /= 2u) { out[s] = 1u; }", false),
        ("var c = 0u; loop { out[c] = 1u; c++; continuing { break if c >= N; } }", false),
        ("for (var i = 0u; i < params.n; i++) { out[i] = 1u; }", true),
        ("let n = params.n / 4u; for (var i = lane; i < n; i += N) { out[i] = 1u; }", true),
        ("for (var i = params.n; i > 0u; i--) { out[i] = 1u; }", true),
        ("for (var i = 0u; i < 64u; i += params.n) { out[i] = 1u; }", true),
        ("for (var i = 0u; i < out[0]; i++) { out[i] = 1u; }", true),
        ("for (var j = 0u; j < 4u; j++) { for (var i = id.x; i < 64u; i++) { out[i] = j; } }", true),
        ("out[count(lane)] = 1u;", true),
    ] {
        let text = format!(
            "const N: u32 = 64u;
             struct Params {{ n: u32 }}
             @group(0) @binding(0) var<uniform> params: Params;
             @group(0) @binding(1) var<storage, read_write> out: array<u32>;
             {}
             @compute @workgroup_size(N)
             fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{ {body} }}",
            if body.contains("count(") {
                "fn count(n: u32) -> u32 { var c = 0u; for (var i = 0u; i < n; i++) { c += out[i]; } return c; }"
            } else {
                ""
            }
        );
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(has_open_loop(&module), open, "{body}");
    }
}
