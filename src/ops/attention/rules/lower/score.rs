//! The score rules as WGSL: what is added to products and to scores, what weights are multiplied by, and what gradients add up to.

use std::fmt::Write;

use super::aux_buffer::AuxBuffer;
use super::positions::QueryPositions;
use crate::Result;
use crate::kernel::{Generated, Source, wgsl};
use crate::ops::attention::rules::{Alignment, CustomScore, Map, Rule, Term};

/// Score rules in WGSL.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) sources: Vec<Source>,
    pub(super) functions: Vec<Generated>,
    /// `add_to_slots`, for passes that own queries and for those that own keys.
    pub(super) slots: [Generated; 2],
}

/// Four pairs, as every function of a rule takes them.
const PAIRS: &str = "batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>";

/// The same for rules that go by distance: how far apart, which behind the ends of queries and keys goes on.
const PAIRS_APART: &str = "batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>, apart: vec4<i32>";

/// Composes the functions; those that gradients add up with, only for passes that are `backward`.
pub(super) fn compose(rule: &Rule, aux: &mut AuxBuffer<'_>, backward: bool) -> Result<Composed> {
    let mut lines = Lines::new(QueryPositions::of(rule));
    for term in &rule.terms {
        lines.term(term, aux, backward)?;
    }
    Ok(lines.finish())
}

/// The lines of each function, term by term.
struct Lines {
    positions: QueryPositions,
    sources: Vec<Source>,
    /// Users' own functions.
    functions: Vec<Generated>,
    /// Added to the product of query and key.
    content: String,
    /// Added to the scaled score.
    added: String,
    /// Users' rules, and their derivatives.
    custom: String,
    custom_slope: String,
    /// The factor of weights, an expression.
    ramp: String,
    slots: Slots,
}

impl Lines {
    fn new(positions: QueryPositions) -> Self {
        Self {
            positions,
            sources: Vec::new(),
            functions: Vec::new(),
            content: String::new(),
            added: String::new(),
            custom: String::new(),
            custom_slope: String::new(),
            ramp: "vec4(1.0)".to_owned(),
            slots: Slots::default(),
        }
    }

    fn term(&mut self, term: &Term, aux: &mut AuxBuffer<'_>, backward: bool) -> Result<()> {
        match *term {
            Term::Bias { by_query, by_key, .. } => self.bias(by_query, by_key),
            Term::Alibi { slopes, alignment } => self.alibi(aux.copied(slopes)?, alignment),
            Term::Gaussian { sigma, alignment } => self.gaussian(aux.copied(sigma)?, alignment),
            Term::Distances { table, map, slots } => {
                let section = aux.by_distance(table, map.slots)?;
                self.distances(section, map);
                if backward {
                    let slot = self.positions.slot(map, slots, aux)?;
                    self.slots.query_line("added", &slot);
                }
            }
            Term::QueryTable { table, width, map } => self.table("query", table, width, map, aux)?,
            Term::KeyTable { table, width, map } => self.table("key", table, width, map, aux)?,
            Term::RelativeKeys { .. } => {}
            Term::Ramp { span, ramp, alignment } => self.ramp(aux.copied(span)?, ramp, alignment),
            Term::Custom(ref rule) => self.custom(rule),
        }
        self.slots.first_query += term.query_slots();
        self.slots.first_key += term.key_slots();
        Ok(())
    }

    fn bias(&mut self, by_query: bool, by_key: bool) {
        self.sources.push(wgsl!("attention/rules/bias.wgsl"));
        self.added += "    sum += load_bias(batch, head, query, key);\n";
        match (by_query, by_key) {
            (true, true) => {}
            (false, true) => self.slots.key_line("added", "0u"),
            (_, false) => self.slots.query_line("added", "0u"),
        }
    }

    fn alibi(&mut self, section: u32, alignment: Alignment) {
        let distances = self.positions.reals_of(alignment);
        let _ = writeln!(self.added, "    sum -= {} * abs({distances});", by_head(section));
        self.slots.query_line(&format!("-added * abs({})", self.positions.real_of(alignment)), "0u");
    }

    fn gaussian(&mut self, section: u32, alignment: Alignment) {
        let _ = writeln!(
            self.added,
            "    {{ let z = {} / {}; sum -= 0.5 * z * z; }}",
            self.positions.reals_of(alignment),
            by_head(section)
        );
        let (d, sigma) = (self.positions.real_of(alignment), format!("real(section({section}u) + head)"));
        self.slots.query_line(&format!("added * {d} * {d} / ({sigma} * {sigma} * {sigma})"), "0u");
    }

    fn distances(&mut self, section: u32, map: Map) {
        let distances = self.positions.distance_count();
        let _ = writeln!(
            self.added,
            "    sum += reals(vec4(section({section}u)) + head * {distances} + {});",
            self.positions.places(map)
        );
    }

    /// A table with a row for each query or each key, as `rows` says.
    fn table(
        &mut self,
        rows: &str,
        table: usize,
        width: usize,
        map: Map,
        aux: &mut AuxBuffer<'_>,
    ) -> Result<()> {
        let (values, numbers) = (aux.copied(table)?, aux.copied(map.slots)?);
        let _ = writeln!(
            self.content,
            "    {{
        let row = (vec4(batch * params.{rows}_time) + vec4<u32>({rows})) * params.heads + head;
        let slot = min(vec4<u32>(integers(vec4(section({numbers}u)) + {})), vec4({}u));
        sum += reals(vec4(section({values}u)) + row * {width}u + slot);
    }}",
            self.positions.places(map),
            width.saturating_sub(1)
        );
        let slot = self.positions.slot(map, width, aux)?;
        match rows {
            "key" => self.slots.key_line("content", &slot),
            _ => self.slots.query_line("content", &slot),
        }
        Ok(())
    }

    fn ramp(&mut self, section: u32, length: f32, alignment: Alignment) {
        self.sources.push(wgsl!("attention/rules/span.wgsl"));
        let apart = self.positions.apart(alignment);
        self.ramp = format!("span_ramp({apart}, {}, {length:e})", by_head(section));
        let own = format!(
            "span_ramp(vec4({}), vec4(real(section({section}u) + head)), {length:e}).x",
            self.positions.scalar_distance(alignment)
        );
        // The gradient of the score has the ramp as a factor. The gradient of the span has the ramp's slope in its place, between its ends.
        self.slots.query_line(
            &format!("select(0.0, raw / ({own} * {length:e}), {own} > 0.0 && {own} < 1.0)"),
            "0u",
        );
    }

    fn custom(&mut self, rule: &CustomScore) {
        if self.custom.is_empty() {
            self.sources.extend(self.positions.source());
            self.custom = format!("    let position = {};\n", self.positions.queries());
            self.custom_slope.clone_from(&self.custom);
        }
        self.functions.push(rule.part());
        let name = &rule.name;
        let lanes = |function: &str| {
            let of =
                |lane: char| format!("{function}(batch, head.{lane}, position.{lane}, key.{lane}, x.{lane})");
            format!("vec4({})", "xyzw".chars().map(of).collect::<Vec<_>>().join(", "))
        };
        if rule.slope.is_some() {
            let _ = writeln!(self.custom_slope, "    slope *= {};", lanes(&format!("{name}_slope")));
        }
        let next = format!("    x = {};\n", lanes(name));
        self.custom += &next;
        self.custom_slope += &next;
    }

    fn finish(self) -> Composed {
        let Self { sources, mut functions, content, added, custom, custom_slope, ramp, slots, .. } = self;
        functions.push(Generated {
            label: "(the score rules)".into(),
            by_user: false,
            text: format!(
                "fn content({PAIRS_APART}) -> vec4<f32> {{
    var sum = vec4(0.0);
{content}    return sum;
}}

fn added({PAIRS_APART}) -> vec4<f32> {{
    var sum = vec4(0.0);
{added}    return sum;
}}

fn ramp({PAIRS_APART}) -> vec4<f32> {{
    return {ramp};
}}

fn custom(score: vec4<f32>, {PAIRS}) -> vec4<f32> {{
    var x = score;
{custom}    return x;
}}

fn custom_slope(score: vec4<f32>, {PAIRS}) -> vec4<f32> {{
    var x = score;
    var slope = vec4(1.0);
{custom_slope}    return slope;
}}
"
            ),
        });
        Composed { sources, functions, slots: slots.functions() }
    }
}

/// A number of each of four heads.
fn by_head(section: u32) -> String {
    format!("reals(vec4(section({section}u)) + head)")
}

impl QueryPositions {
    fn reals_of(self, alignment: Alignment) -> String {
        format!("vec4<f32>{}", self.apart(alignment))
    }

    /// The distance of four pairs.
    fn apart(self, alignment: Alignment) -> String {
        format!("(apart + vec4({}))", self.shift(alignment))
    }

    fn scalar_distance(self, alignment: Alignment) -> String {
        format!("(query + {} - key)", self.shift(alignment))
    }

    fn real_of(self, alignment: Alignment) -> String {
        format!("f32{}", self.scalar_distance(alignment))
    }

    /// Where the distances of four pairs lie in a map.
    fn places(self, map: Map) -> String {
        let first = format!("({} - vec4({}))", self.apart(map.alignment), self.least_distance(map.alignment));
        // Pairs behind the ends are hidden, but looked up.
        format!("vec4<u32>(clamp({first}, vec4(0), vec4(i32({}) - 1)))", self.distance_count())
    }

    /// The slot of one pair, one of `count` whatever the map holds.
    fn slot(self, map: Map, count: usize, aux: &mut AuxBuffer<'_>) -> Result<String> {
        let section = aux.copied(map.slots)?;
        let (distance, least) = (self.scalar_distance(map.alignment), self.least_distance(map.alignment));
        let last = count.saturating_sub(1);
        Ok(format!("min(u32(integer(section({section}u) + u32({distance} - {least}))), {last}u)"))
    }
}

/// What a pair adds to the sums of its query row and of its key row.
#[derive(Debug, Default)]
struct Slots {
    query: String,
    key: String,
    first_query: usize,
    first_key: usize,
}

impl Slots {
    fn query_line(&mut self, value: &str, slot: &str) {
        let _ = writeln!(self.query, "    slots[at + {}u + {slot}] += {value};", self.first_query);
    }

    fn key_line(&mut self, value: &str, slot: &str) {
        let _ = writeln!(self.key, "    slots[at + {}u + {slot}] += {value};", self.first_key);
    }

    /// One function under one name in either pass.
    fn functions(self) -> [Generated; 2] {
        [("query", self.query, self.first_query), ("key", self.key, self.first_key)].map(
            |(rows, lines, count)| Generated {
                label: format!("(sums of {rows} rows)"),
                by_user: false,
                text: format!(
                    "const SLOTS: u32 = {count}u;

fn add_to_slots(at: u32, batch: u32, head: u32, query: i32, key: i32, content: f32, added: f32, raw: f32) {{
{lines}}}
"
                ),
            },
        )
    }
}
