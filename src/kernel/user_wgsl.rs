//! WGSL that users write, checked by itself before it becomes part of a shader: a complaint about the shader would be about lines that
//! the user never saw.

use wgpu::naga;

use crate::{Error, ErrorKind, Result};

/// Types that functions of users take and give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WgslType {
    U32,
    I32,
    F32,
    Bool,
    TwoBools,
}

impl WgslType {
    fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::TwoBools => "vec2<bool>",
        }
    }

    fn is(self, found: &naga::TypeInner) -> bool {
        let scalar = match self {
            Self::U32 => naga::Scalar::U32,
            Self::I32 => naga::Scalar::I32,
            Self::F32 => naga::Scalar::F32,
            Self::Bool => naga::Scalar::BOOL,
            Self::TwoBools => {
                let size = naga::VectorSize::Bi;
                return *found == naga::TypeInner::Vector { size, scalar: naga::Scalar::BOOL };
            }
        };
        *found == naga::TypeInner::Scalar(scalar)
    }
}

/// A function that a text must define.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) arguments: &'static [(&'static str, WgslType)],
    pub(crate) result: WgslType,
}

impl Signature {
    fn declaration(&self, name: &str) -> String {
        let argument = |(argument, ty): &(&str, WgslType)| format!("{argument}: {}", ty.name());
        let arguments: Vec<String> = self.arguments.iter().map(argument).collect();
        format!("fn {name}({}) -> {}", arguments.join(", "), self.result.name())
    }
}

/// Characters of a text.
const MOST_CHARACTERS: usize = 1 << 14;

/// Operators of one statement, and branches behind others. naga bounds how deep parentheses and blocks nest, but not how long sums and
/// chains of `else if` are, into which it recurses, too: 500 branches or 1000 operators pass through a stack of a megabyte.
const MOST_OPERATORS: usize = 256;
const MOST_BRANCHES: usize = 128;

/// Refuses a text that does not compile, has more than functions, constants and types under names that begin with `prefix`, or lacks one
/// of `functions`. Errors are about the argument `what` of `op`.
pub(crate) fn check_user_wgsl(
    op: &'static str,
    what: &str,
    prefix: &str,
    text: &str,
    functions: &[(String, Signature)],
) -> Result<()> {
    let refused = |expected: &str, found: String| {
        Err(Error::new(ErrorKind::Shader, op, what).expecting(expected).but_found(found))
    };
    if text.len() > MOST_CHARACTERS {
        return refused(&format!("at most {MOST_CHARACTERS} characters of WGSL"), text.len().to_string());
    }
    let (operators, branches) = longest_chains(text);
    if operators > MOST_OPERATORS {
        return refused(&format!("at most {MOST_OPERATORS} operators in a statement"), operators.to_string());
    }
    if branches > MOST_BRANCHES {
        return refused(&format!("at most {MOST_BRANCHES} times `else`"), branches.to_string());
    }
    // A declaration in front, as in a shader: directives may not stand behind it.
    let text = format!(";{text}");
    let compiles = "WGSL that compiles by itself";
    let module = match naga::front::wgsl::parse_str(&text) {
        Ok(module) => module,
        Err(error) => {
            let line = error.location(&text).map(|location| location.line_number);
            return refused(compiles, at_line(line, &chain(&error)));
        }
    };
    // `unpack2x16float` is core WGSL; naga counts it as a capability.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    if let Err(error) = validator.validate(&module) {
        let length = |span: &naga::Span| span.to_range().map_or(usize::MAX, |range| range.len());
        let narrowest = error.spans().map(|(span, _)| *span).min_by_key(length);
        let line = narrowest.map(|span| span.location(&text).line_number);
        return refused(compiles, at_line(line, &chain(&error.into_inner())));
    }
    for (name, signature) in functions {
        let named = module.functions.iter().find(|(_, function)| function.name.as_ref() == Some(name));
        let Some((handle, function)) = named else {
            return refused(&signature.declaration(name), "no function of that name".into());
        };
        if !fits(&module, function, signature) {
            let span = module.functions.get_span(handle);
            let declared = span.to_range().map_or("", |range| &text[range]);
            let declared = declared.split('{').next().unwrap_or_default();
            let words: Vec<&str> = declared.split_whitespace().collect();
            let line = span.location(&text).line_number;
            return refused(&signature.declaration(name), at_line(Some(line), &words.join(" ")));
        }
    }
    match foreign_item(&module, &text, prefix) {
        Some(found) => {
            refused(&format!("functions and constants under names that begin with `{prefix}`"), found)
        }
        None => Ok(()),
    }
}

/// The most operators between two of `;`, `{` and `}`, and how often `else` stands anywhere, comments left out.
fn longest_chains(text: &str) -> (usize, usize) {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let operators = code.split([';', '{', '}']).map(operators).max();
    (operators.unwrap_or(0), code.matches("else").count())
}

/// How many operators a statement has that may stand behind or before one another: a sign at the start of an argument does not.
fn operators(statement: &str) -> usize {
    let (mut count, mut before) = (0, ' ');
    for character in statement.chars().filter(|character| !character.is_whitespace()) {
        let is_operator = "+-*/%&|^~!<>=[".contains(character) && !"(,".contains(before);
        let is_member = before == '.' && character.is_alphabetic();
        count += usize::from(is_operator || is_member);
        before = character;
    }
    count
}

fn fits(module: &naga::Module, function: &naga::Function, signature: &Signature) -> bool {
    let is = |ty: WgslType, found: naga::Handle<naga::Type>| ty.is(&module.types[found].inner);
    function.arguments.len() == signature.arguments.len()
        && function.arguments.iter().zip(signature.arguments).all(|(found, (_, ty))| is(*ty, found.ty))
        && function.result.as_ref().is_some_and(|result| is(signature.result, result.ty))
}

/// What is neither a function, a constant nor a type, or has a name that other parts of a shader may have.
fn foreign_item(module: &naga::Module, text: &str, prefix: &str) -> Option<String> {
    if let Some(entry) = module.entry_points.first() {
        return Some(format!("the entry point `{}`", entry.name));
    }
    let line = |span: naga::Span| Some(span.location(text).line_number);
    if let Some((handle, variable)) = module.global_variables.iter().next() {
        let name = variable.name.as_deref().unwrap_or_default();
        return Some(at_line(
            line(module.global_variables.get_span(handle)),
            &format!("the variable `{name}`"),
        ));
    }
    let functions =
        module.functions.iter().map(|(handle, item)| (&item.name, module.functions.get_span(handle)));
    let constants =
        module.constants.iter().map(|(handle, item)| (&item.name, module.constants.get_span(handle)));
    let overrides =
        module.overrides.iter().map(|(handle, item)| (&item.name, module.overrides.get_span(handle)));
    let types = module.types.iter().map(|(handle, item)| (&item.name, module.types.get_span(handle)));
    functions.chain(constants).chain(overrides).chain(types).find_map(|(name, span)| {
        // naga's own types, of results such as that of `frexp`, begin with underscores.
        let name = name.as_ref().filter(|name| !name.starts_with(prefix) && !name.starts_with("__"))?;
        Some(at_line(line(span), &format!("`{name}`")))
    })
}

fn at_line(line: Option<u32>, text: &str) -> String {
    line.map_or(text.to_owned(), |line| format!("line {line}: {text}"))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEES: Signature =
        Signature { arguments: &[("query", WgslType::I32), ("key", WgslType::I32)], result: WgslType::Bool };

    fn check(text: &str) -> Result<()> {
        check_user_wgsl("probe", "rule `mine`", "mine", text, &[("mine".to_owned(), SEES)])
    }

    fn found(text: &str) -> String {
        let error = check(text).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Shader, "rule `mine`"), "{error}");
        error.found().to_owned()
    }

    #[test]
    fn functions_constants_and_types_of_its_own_are_fine() {
        check(
            "const mine_far: i32 = 4;
             const mine_abstract = 3;
             struct mine_pair { near: i32, far: i32 }
             alias mine_int = i32;
             fn mine_distance(a: i32, b: mine_int) -> i32 { return abs(a - b); }
             fn mine(query: i32, key: i32) -> bool {
                 let parts = frexp(f32(query));
                 let pair = mine_pair(1, mine_far);
                 let halves = unpack2x16float(u32(key));
                 return mine_distance(query, key) < pair.far && parts.exp > mine_abstract && halves.x > 0.0;
             }",
        )
        .unwrap();
    }

    #[test]
    fn anything_else_is_told_with_its_line() {
        let sees = "fn mine(query: i32, key: i32) -> bool { return query < key; }";
        for (text, place) in [
            ("\n\nfn mine(query: i32, key: i32) -> bool { return query < key }", "line 3: "),
            ("fn mine(query: i32, key: i32) -> bool {\n    return query - key;\n}", "line 2: "),
            ("\nfn mine(query: i32, key: i32) -> bool {\n\n    return query < unknown;\n}", "line 4: "),
            ("fn other() {}", "no function of that name"),
            ("", "no function of that name"),
            (
                "\nfn mine(query: i32, key: u32)\n    -> bool { return true; }",
                "line 2: fn mine(query: i32, key: u32) -> bool",
            ),
            ("fn mine(query: i32) -> bool { return true; }", "line 1: fn mine(query: i32) -> bool"),
            ("fn mine(query: i32, key: i32) { }", "line 1: fn mine(query: i32, key: i32)"),
            (&format!("{sees}\nfn other() {{}}"), "line 2: `other`"),
            (&format!("{sees}\nconst other: u32 = 2u;"), "line 2: `other`"),
            (&format!("{sees}\nstruct other {{ x: u32 }}"), "line 2: `other`"),
            (&format!("{sees}\nvar<private> mine_state: u32;"), "line 2: the variable `mine_state`"),
            (
                &format!("{sees}\n@compute @workgroup_size(1) fn mine_main() {{}}"),
                "the entry point `mine_main`",
            ),
            (
                "enable f16;\nfn mine(query: i32, key: i32) -> bool { return f16(query) < f16(key); }",
                "line 1: ",
            ),
            ("fn mine(query: i32, key: i32) -> bool { return mine(query, key); }", "line 1: "),
        ] {
            assert!(found(text).starts_with(place), "{text}: {}", found(text));
        }
        assert_eq!(check("").unwrap_err().expected(), "fn mine(query: i32, key: i32) -> bool");
    }

    #[test]
    fn operators_in_comments_and_signs_of_a_table_are_none() {
        let table = vec!["-0.5"; 400].join(", ");
        let table = format!("const mine_table = array({table});");
        check(&format!("{table} fn mine(query: i32, key: i32) -> bool {{ return mine_table[3] < 0.0; }}"))
            .unwrap();
        let dashes = "-".repeat(1000);
        check(&format!("// {dashes}\nfn mine(query: i32, key: i32) -> bool {{ return true; }} // {dashes}"))
            .unwrap();
        assert!(found(&format!("// {}", "x".repeat(20_000))).starts_with("200"));
    }
}
