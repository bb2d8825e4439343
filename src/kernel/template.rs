//! Templates: files of a shader that minijinja writes out before WGSL reads them, and which of their lines the output comes from.
//!
//! For the lines, a template is rendered a second time, with a mark before every piece of text and every expression. Marks do not change
//! what whitespace control trims, as they stand where a line's first other character stands. They travel with the text through loops, macros
//! and imports; what is compiled never had any.

use minijinja::filters;
use minijinja::value::Kwargs;
use minijinja::{Environment, State, UndefinedBehavior, Value};

use super::{Constant, Shader, Source};
use crate::{Error, ErrorKind, Result};

/// Around a mark's source and line. Private-use characters, which no WGSL and no template tag has.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// Whether a source goes through minijinja.
pub(super) fn is_template(source: &Source) -> bool {
    source.path.ends_with(".j2")
}

/// Whether a template is for others to import or include, and no part of the module by itself.
pub(super) fn is_import(source: &Source) -> bool {
    source.path.ends_with(".macros.j2")
}

/// The templates of a shader, and the constants they see.
pub(super) struct Templates<'s> {
    shader: &'s Shader,
    environment: Environment<'s>,
}

impl<'s> Templates<'s> {
    /// As their authors wrote them.
    pub(super) fn new(shader: &'s Shader) -> Result<Self> {
        Self::load(shader, |source, _| source.text.to_owned())
    }

    fn marked(shader: &'s Shader) -> Result<Self> {
        let mut templates = Self::load(shader, |source, number| marked(source.text, number))?;
        templates.environment.add_filter("int", int);
        Ok(templates)
    }

    fn load(shader: &'s Shader, text: impl Fn(&Source, usize) -> String) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        // So that errors say what was undefined, in builds of every kind.
        environment.set_debug(true);
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| refused(shader, &error))?);
        for (name, value) in &shader.constants {
            environment.add_global(
                *name,
                match value {
                    Constant::U32(value) => Value::from(*value),
                    Constant::F32(bits) => Value::from(f32::from_bits(*bits)),
                    Constant::Bool(value) => Value::from(*value),
                },
            );
        }
        let mut templates = Self { shader, environment };
        for (number, source) in shader.sources.iter().enumerate().filter(|(_, source)| is_template(source)) {
            let added = templates.environment.add_template_owned(source.path, text(source, number));
            added.map_err(|error| refused(shader, &error))?;
        }
        Ok(templates)
    }

    /// What `source` writes.
    pub(super) fn render(&self, source: &Source) -> Result<String> {
        let template = self.environment.get_template(source.path);
        template.and_then(|template| template.render(())).map_err(|error| refused(self.shader, &error))
    }
}

/// The error of a template, with the file and line where it happened: of a macro, the macro's.
fn refused(shader: &Shader, error: &minijinja::Error) -> Error {
    let mut innermost = error;
    while let Some(cause) = std::error::Error::source(innermost).and_then(|cause| cause.downcast_ref()) {
        innermost = cause;
    }
    let path = innermost.name().unwrap_or("templates");
    let line = innermost.line().map_or(String::new(), |line| format!("{path}:{line}: "));
    let detail = innermost.detail().map_or(String::new(), |detail| format!(": {detail}"));
    Error::new(ErrorKind::Shader, shader.label, path).but_found(format!("{line}{}{detail}", innermost.kind()))
}

/// Numbers that macros write have marks, too.
fn int(
    state: &State<'_, '_>,
    value: Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> std::result::Result<Value, minijinja::Error> {
    let value = value.as_str().map_or_else(|| value.clone(), |text| Value::from(unmark(text).0));
    filters::int(state, &value, default, base, options)
}

/// From where on some output comes from which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The first byte of the output.
    start: usize,
    /// Which of the shader's sources.
    source: usize,
    /// The line in it, from 1.
    line: usize,
}

/// Where the pieces of a template's output come from, in order.
#[derive(Clone, Debug)]
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    /// Of `output`, which the source number `template` of `shader` wrote. None when its text is something else with marks in it, as where
    /// a template compares what a macro wrote: nobody knows then.
    pub(super) fn trace(shader: &Shader, template: usize, output: &str) -> Option<Self> {
        let rendered = Templates::marked(shader).and_then(|marked| marked.render(&shader.sources[template]));
        let (text, origins) = unmark(&rendered.ok()?);
        // Parts of a module end in a line break, whether or not their templates do.
        (text == output || output.strip_suffix('\n') == Some(&text)).then_some(Self(origins))
    }

    /// The source and its line that byte `at` of the output comes from.
    pub(super) fn of(&self, at: usize) -> Option<(usize, usize)> {
        let behind = self.0.partition_point(|origin| origin.start <= at);
        self.0.get(behind.saturating_sub(1)).map(|origin| (origin.source, origin.line))
    }
}

/// Takes the marks out of `text`.
fn unmark(text: &str) -> (String, Vec<Origin>) {
    let (mut plain, mut origins) = (String::with_capacity(text.len()), Vec::new());
    let mut pieces = text.split(OPEN);
    plain += pieces.next().unwrap_or_default();
    for piece in pieces {
        let (mark, rest) = piece.split_once(CLOSE).unwrap_or(("", piece));
        if let Some((source, line)) = mark.split_once(':')
            && let (Ok(source), Ok(line)) = (source.parse(), line.parse())
        {
            origins.push(Origin { start: plain.len(), source, line });
        }
        plain += rest;
    }
    (plain, origins)
}

/// The text of template number `number` with marks: before the first character of each line and of each piece between tags that is not
/// blank, and before each expression.
fn marked(text: &str, number: usize) -> String {
    let mut marking = Marking { number, line: 1, result: String::with_capacity(2 * text.len()) };
    let mut rest = text;
    while let Some((start, opening)) = next_tag(rest) {
        marking.text(&rest[..start]);
        rest = &rest[start..];
        let end = match opening {
            "{#" => rest.find("#}").map_or(rest.len(), |at| at + 2),
            "{{" => tag_end(rest, "}}"),
            _ => tag_end(rest, "%}"),
        };
        let (tag, behind) = rest.split_at(end);
        if opening == "{{" {
            marking.expression(tag);
        } else {
            marking.verbatim(tag);
        }
        rest = behind;
        if opening == "{%" && inner(tag) == "raw" {
            let end = raw_end(rest);
            marking.text(&rest[..end]);
            rest = &rest[end..];
        }
    }
    marking.text(rest);
    marking.result
}

/// Where the next tag begins, and how.
fn next_tag(text: &str) -> Option<(usize, &'static str)> {
    ["{{", "{%", "{#"].into_iter().filter_map(|opening| Some((text.find(opening)?, opening))).min()
}

/// The length of the tag that `text` begins with, up to and with `closing`, which may stand in strings, and, as two braces, in maps.
fn tag_end(text: &str, closing: &str) -> usize {
    let (mut quote, mut escaped, mut open) = (None, false, 0usize);
    for (at, character) in text.char_indices().skip(2) {
        if let Some(end) = quote {
            if !escaped && character == end {
                quote = None;
            }
            escaped = !escaped && character == '\\';
            continue;
        }
        if open == 0 && text[at..].starts_with(closing) {
            return at + closing.len();
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

/// What a block tag says.
fn inner(tag: &str) -> &str {
    let tag = tag.trim_start_matches("{%").trim_end_matches("%}");
    tag.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+'))
}

/// Where the tag begins that ends a raw block.
fn raw_end(text: &str) -> usize {
    let tags = text.match_indices("{%").map(|(at, _)| at);
    let mut ends = tags.filter(|&at| inner(&text[at..at + tag_end(&text[at..], "%}")]) == "endraw");
    ends.next().unwrap_or(text.len())
}

/// A template as it gets its marks.
struct Marking {
    number: usize,
    /// Of the next character.
    line: usize,
    result: String,
}

impl Marking {
    fn mark(&self) -> String {
        format!("{OPEN}{}:{}{CLOSE}", self.number, self.line)
    }

    fn verbatim(&mut self, text: &str) {
        self.line += text.matches('\n').count();
        self.result += text;
    }

    fn text(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let code = line.trim_start();
            if !code.is_empty() {
                self.result += &line[..line.len() - code.len()];
                self.result += &self.mark();
                self.result += code;
            } else {
                self.result += line;
            }
            self.line += usize::from(line.ends_with('\n'));
        }
    }

    /// One that takes the blanks before it away must not find a mark among them: it gets one that does the same.
    fn expression(&mut self, tag: &str) {
        let mark = self.mark();
        if let Some(rest) = tag.strip_prefix("{{-") {
            self.result += &format!("{{{{- \"{mark}\" }}}}{{{{");
            self.verbatim(rest);
        } else {
            self.result += &mark;
            self.verbatim(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Rendered;

    const MACROS: Source = Source {
        path: "tile.macros.j2",
        text: "{# Loads. #}\n{% macro load(name) -%}\n  load_{{ name }}(\n    {{ ROWS }}u)\n{%- endmacro %}\n\
               {% macro turns(n) %}{{ n // 2 }}{% endmacro %}\n{% set limit = 7 %}\n",
    };

    fn rendered(text: &'static str) -> Rendered {
        let entry = Source { path: "entry.wgsl.j2", text };
        Shader::new("probe", [entry, MACROS])
            .constant("ROWS", 2)
            .render()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The text behind the header, each line with its place.
    fn listing(text: &'static str) -> Vec<(String, String)> {
        let rendered = rendered(text);
        let places = rendered.places().into_iter().map(|place| place.to_string());
        rendered.wgsl.lines().map(str::to_owned).zip(places).skip(1).collect()
    }

    #[track_caller]
    fn check(text: &'static str, expected: &[(&str, &str)]) {
        let found = listing(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(line, place)| (&line[..], &place[..])).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_of_loops_and_branches_are_the_templates_own() {
        check(
            "a;\n{# A comment\n   of two lines. #}\n{% for i in range(ROWS) %}\n  b_{{ i }};\n{% if i == 1 %}\n  c;\n\
             {% endif %}\n{% endfor %}\nd;\n",
            &[
                ("a;", "entry.wgsl.j2:1"),
                ("  b_0;", "entry.wgsl.j2:5"),
                ("  b_1;", "entry.wgsl.j2:5"),
                ("  c;", "entry.wgsl.j2:7"),
                ("d;", "entry.wgsl.j2:10"),
            ],
        );
    }

    #[test]
    fn whitespace_control_takes_away_what_it_takes_away_without_marks() {
        check(
            "x = {% if true -%}\n    1\n    {%- endif %} + {{- ' 2' -}}\n   ;\n   {{- '3' }}\n  {%+ if true %}4;{% endif +%}\n5;",
            &[("x = 1 + 2;3", "entry.wgsl.j2:1"), ("  4;", "entry.wgsl.j2:6"), ("5;", "entry.wgsl.j2:7")],
        );
    }

    #[test]
    fn strings_maps_and_raw_blocks_hold_what_looks_like_tags() {
        check(
            "{{ '}}' }}{{ {'a': {'b': '%}'}}.a.b }}\n{% raw %}\n{{ y }}\n{%- endraw %}\n\n{{ \"\\\"}}\" }}\n",
            &[("}}%}", "entry.wgsl.j2:1"), ("{{ y }}", "entry.wgsl.j2:3"), ("\"}}", "entry.wgsl.j2:6")],
        );
    }

    #[test]
    fn imported_macros_see_constants_and_their_lines_are_their_files() {
        check(
            "{% import \"tile.macros.j2\" as tile %}\n{% from \"tile.macros.j2\" import load, turns %}\n\n\
             q = {{ tile.load(\"q\") }};\n{{ load(\"k\") }};\n{% for i in range(turns(5) | int) %}\nz_{{ i }} < {{ tile.limit }};\n\
             {% endfor %}\n",
            &[
                ("", "entry.wgsl.j2:4"),
                ("q = load_q(", "entry.wgsl.j2:4"),
                ("    2u);", "tile.macros.j2:4"),
                ("load_k(", "tile.macros.j2:3"),
                ("    2u);", "tile.macros.j2:4"),
                ("z_0 < 7;", "entry.wgsl.j2:7"),
                ("z_1 < 7;", "entry.wgsl.j2:7"),
            ],
        );
    }

    #[test]
    fn a_byte_is_located_within_its_line() {
        let rendered = rendered("{% import \"tile.macros.j2\" as tile %}\nq = {{ tile.load(\"q\") }} + 1;\n");
        let place = |text: &str| rendered.locate(rendered.wgsl.find(text).unwrap()).to_string();
        assert_eq!(place("q ="), "entry.wgsl.j2:2");
        assert_eq!(place("load_q"), "tile.macros.j2:3");
        assert_eq!(place("2u)"), "tile.macros.j2:4");
        assert_eq!(place("+ 1"), "entry.wgsl.j2:2");
    }

    #[test]
    fn where_text_with_marks_would_be_another_lines_are_the_outputs() {
        check(
            "{% from \"tile.macros.j2\" import turns %}\n\n{% if turns(2) == '1' %}\nx;\n{% endif %}\n",
            &[("", "entry.wgsl.j2:1"), ("x;", "entry.wgsl.j2:2")],
        );
    }

    #[test]
    fn errors_of_templates_name_their_own_line_and_of_macros_the_macros() {
        let broken =
            Source { path: "broken.macros.j2", text: "{% macro f() %}\n{{ MISSING }}\n{% endmacro %}" };
        for (text, path, found) in [
            ("\n{{ MISSING }}", "entry.wgsl.j2", "entry.wgsl.j2:2: undefined value: `MISSING` is undefined"),
            ("\n\n{% for %}", "entry.wgsl.j2", "entry.wgsl.j2:3: syntax error: "),
            (
                "\n{% import \"broken.macros.j2\" as b %}\n{{ b.f() }}",
                "broken.macros.j2",
                "broken.macros.j2:2: undefined value",
            ),
            (
                "\n{% import \"absent.macros.j2\" as b %}",
                "entry.wgsl.j2",
                "entry.wgsl.j2:2: template not found: tried to include non-existing template 'absent.macros.j2'",
            ),
        ] {
            let error =
                Shader::new("probe", [Source { path: "entry.wgsl.j2", text }, broken]).render().unwrap_err();
            assert_eq!((error.kind(), error.op(), error.argument()), (ErrorKind::Shader, "probe", path));
            assert!(error.to_string().contains(found), "{error}");
        }
    }
}
