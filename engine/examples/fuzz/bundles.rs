//! The bundles that are fuzzed: small, wide and nested contracts with all kinds of fields and columns, and drawn trees
//! and reasons.

use scorer_engine::Engine;
use scorer_engine::decode::Decoder;
use scorer_engine::reasons::NONE;
use scorer_engine::tables::{
    ColumnsTable, DecisionTable, FieldTable, MemberTable, ObjectTable, PolicyTable, ReasonsTable, StepTable, TreesTable,
};

use crate::random::Random;

/// A bundle, and what is needed to write its applications.
pub struct Bundle {
    pub name: &'static str,
    pub engine: Engine,
    pub width: usize,
    pub decoder: Decoder,
    pub policy: PolicyTable,
    objects: Vec<ObjectTable>,
    fields: Vec<FieldTable>,
}

const KINDS: [&str; 9] =
    ["text", "number", "integer", "boolean", "category", "date", "date-time", "number", "many categories"];
const NAMES: [&str; 10] = ["id", "income", "née", "a", "ab", "home type", "收入", "since", "at", ""];

impl Bundle {
    pub fn all(random: &mut Random) -> Vec<Self> {
        vec![
            Self::new(random, "an id and a number", &[2]),
            Self::new(random, "fields of all kinds", &[9]),
            Self::new(random, "a wider contract", &[14]),
            Self::new(random, "nested objects", &[3, 2, 3]),
        ]
    }

    /// Each object has so many fields, and the next object.
    fn new(random: &mut Random, name: &'static str, sizes: &[usize]) -> Self {
        let count: usize = sizes.iter().sum();
        let fields: Vec<FieldTable> = (0..count).map(|number| field(random, KINDS[number % KINDS.len()])).collect();
        let mut objects = Vec::new();
        let mut first_field = 0;
        for (number, size) in sizes.iter().enumerate() {
            let member = |field: usize| MemberTable {
                name: NAMES.get(field).map_or_else(|| format!("field {field}"), ToString::to_string).into(),
                required: field == 0 || field % 3 == 1,
                nullable: field != 0 && field.is_multiple_of(2),
                field: Some(field),
                object: None,
            };
            let mut members: Vec<MemberTable> = (first_field..first_field + size).map(member).collect();
            if number + 1 < sizes.len() {
                let name = format!("object {number}").into();
                members.push(MemberTable { name, nullable: true, object: Some(number + 1), ..MemberTable::default() });
            }
            objects.push(ObjectTable { members, first_field, end_field: count });
            first_field += size;
        }
        let columns = columns(random, &fields);
        let trees = draw_trees(random, 5, columns.width);
        let outcomes = ["|A|", "|M|", "|D|"].map(|text| text.into()).to_vec();
        let decisions = DecisionTable { to_id: b"#".to_vec(), outcomes, end: b".".to_vec() };
        let reasons = draw_reasons(random, &trees);
        let policy = policy(random, &columns, reasons.codes.len());
        let model = (Some(&trees), Some(&reasons));
        let engine = Engine::new((&objects, &fields, 0), &columns, &policy, &decisions, model).expect("valid tables");
        let decoder = Decoder::new(&objects, &fields, 0).expect("valid tables");
        Self { name, engine, width: columns.width, decoder, policy, objects, fields }
    }

    /// Writes an application, mostly a valid one.
    pub fn write_application(&self, random: &mut Random) -> Vec<u8> {
        let mut text = Vec::new();
        self.write_object(random, 0, &mut text);
        text
    }

    fn write_object(&self, random: &mut Random, number: usize, text: &mut Vec<u8>) {
        text.push(b'{');
        let mut is_first = true;
        for member in &self.objects[number].members {
            if !member.required && random.chance(3) {
                continue;
            }
            if !is_first {
                text.push(b',');
            }
            is_first = false;
            text.extend_from_slice(format!("{:?}:", String::from_utf8_lossy(&member.name)).as_bytes());
            match (member.field, member.object) {
                _ if member.nullable && random.chance(5) => text.extend_from_slice(b"null"),
                (Some(field), _) => text.extend_from_slice(write_value(random, &self.fields[field]).as_bytes()),
                (None, Some(object)) => self.write_object(random, object, text),
                (None, None) => unreachable!("a member is one of them"),
            }
        }
        text.extend_from_slice(if random.chance(3) { br#", "x" : [1.5e3,{"a":"\u00e9"},null] }"# } else { b"}" });
    }
}

fn field(random: &mut Random, kind: &str) -> FieldTable {
    let table = FieldTable { kind: kind.into(), absent: f64::NAN, ..FieldTable::default() };
    match kind {
        "text" => FieldTable { length_min: 1, length_max: 40, ..table },
        "number" => FieldTable { low: -1e30, high: 3.4e38, unknown: vec![-9.0, 1e39], absent: 5.0, ..table },
        "integer" => FieldTable { low: -1e6, high: 1e18, unknown: vec![0.5], ..table },
        "category" => FieldTable { categories: categories(&["rent", "own", "né"]), absent: -1.0, ..table },
        "many categories" => {
            let values: Vec<String> = (0..200).map(|code| format!("v{code}")).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            FieldTable { kind: "category".into(), categories: categories(&values), absent: 7.0, ..table }
        }
        _ => FieldTable { absent: random.below(2) as f64, ..table },
    }
}

/// The values with their codes, and one that means unknown.
fn categories(values: &[&str]) -> Vec<(Vec<u8>, i32)> {
    let known = values.iter().zip(0..).map(|(value, code)| (value.as_bytes().to_vec(), code));
    known.chain([(b"unk".to_vec(), -1)]).collect()
}

fn write_value(random: &mut Random, field: &FieldTable) -> String {
    match field.kind.as_str() {
        "text" => random.choice(&["\"a-1\"", "\"é收\"", "\"a: {b}, c\"", "\"0123456789012345678901234567890\""]).into(),
        "number" => random.choice(&["1", "-9", "0.1", "-1.5E-7", "12345.678901234567", "1e30", "-0", "-0.0"]).into(),
        "integer" => random.choice(&["1", "5.0", "1e3", "-100000", "123456789012345"]).into(),
        "boolean" => random.choice(&["true", "false"]).into(),
        "category" => format!("{:?}", String::from_utf8_lossy(&field.categories[random.below(3)].0)),
        "date" => random.choice(&["\"2024-02-29\"", "\"0001-01-01\"", "\"9999-12-31\""]).into(),
        _ => random
            .choice(&[
                "\"2024-02-29T10:00:00Z\"",
                "\"1969-12-31t23:59:59.123456789+02:00\"",
                "\"0001-01-01T00:00:00-23:59\"",
            ])
            .into(),
    }
}

/// A column of each field, and a derived one of each operation.
fn columns(random: &mut Random, fields: &[FieldTable]) -> ColumnsTable {
    let mut table = ColumnsTable { missing: random.number().max(-1.0), ..ColumnsTable::default() };
    let mut numbers = Vec::new();
    for (field, of) in fields.iter().enumerate() {
        match of.kind.as_str() {
            "text" => {}
            "category" if of.categories.len() > 10 => {
                table.indexes.push((table.width, field));
                table.width += 1;
            }
            "category" => {
                let first = table.width as i64;
                table.one_hot.push((field, vec![first, -1, first + 1]));
                table.width += 2;
            }
            _ => {
                table.numbers.push((table.width, field));
                numbers.push(field);
                table.width += 1;
            }
        }
    }
    for operation in ["+", "-", "*", "/", "min", "max"] {
        let (first, second) = (numbers[random.below(numbers.len())], numbers[random.below(numbers.len())]);
        let mut steps = vec![step("field", first, 0.0), step("field", second, 0.0), step(operation, 0, 0.0)];
        if let Some((category, _)) = table.one_hot.first() {
            steps.extend([step("category test", *category, 0.0), step("+", 0, 0.0)]);
        }
        let last = random.choice(&["abs", "negate", "is unknown"]);
        steps.extend([
            step("known if finite", 0, 0.0),
            step("constant", 0, 1e-30),
            step("*", 0, 0.0),
            step(last, 0, 0.0),
        ]);
        table.derived.push((table.width, steps));
        table.width += 1;
    }
    table
}

/// Draws so many trees, of depths up to 8.
pub fn draw_trees(random: &mut Random, count: usize, columns: usize) -> TreesTable {
    let mut table = TreesTable { base_score: 0.3, ..TreesTable::default() };
    for _ in 0..count {
        let depth = random.below(9);
        let start = table.default_left.len();
        grow(random, &mut table, (start, depth, columns));
        table.sizes.push(table.default_left.len() - start);
    }
    table
}

/// Appends a node and those below it; returns its number within the tree.
fn grow(random: &mut Random, table: &mut TreesTable, (start, depth, columns): (usize, usize, usize)) -> i32 {
    let at = table.default_left.len();
    let is_leaf = depth == 0 || random.chance(6);
    let value = if is_leaf { random.below(100) as f32 / 500.0 - 0.1 } else { random.number().max(-3e38) };
    table.left.extend((-1i32).to_ne_bytes());
    table.right.extend((-1i32).to_ne_bytes());
    table.column.extend((random.below(columns) as i32).to_ne_bytes());
    table.value.extend(value.to_ne_bytes());
    table.default_left.push(random.below(2) as u8);
    if !is_leaf {
        for children in [true, false] {
            let child = grow(random, table, (start, depth - 1, columns)).to_ne_bytes();
            let array = if children { &mut table.left } else { &mut table.right };
            array[4 * at..4 * at + 4].copy_from_slice(&child);
        }
    }
    (at - start) as i32
}

/// Draws a catalogue and blocks, whose conditions are those of nodes of the trees.
pub fn draw_reasons(random: &mut Random, trees: &TreesTable) -> ReasonsTable {
    let entries = 1 + random.below(12);
    let mut table = ReasonsTable {
        codes: (0..entries).map(|entry| format!("\"R{entry}\"").into_bytes()).collect(),
        is_used: (0..entries).map(|entry| entry == 0 || random.chance(2)).collect(),
        ..ReasonsTable::default()
    };
    for _ in 0..=random.below(12) {
        let conditions = random.below(9);
        for _ in 0..conditions {
            let node = random.below(trees.default_left.len());
            table.columns.extend_from_slice(&trees.column[4 * node..4 * node + 4]);
            table.thresholds.extend_from_slice(&trees.value[4 * node..4 * node + 4]);
            table.is_less.push(1 - trees.default_left[node]);
        }
        let targets: Vec<usize> = (0..entries).filter(|_| random.chance(3)).collect();
        for target in &targets {
            table.targets.extend((*target as i32).to_ne_bytes());
        }
        for _ in 0..targets.len() << conditions {
            table.values.extend((random.next() as i32).to_ne_bytes());
        }
        table.condition_counts.push(conditions);
        table.target_counts.push(targets.len());
    }
    table
}

/// Segments of a category, and a rule for each operation of conditions, some of them with a reason.
fn policy(random: &mut Random, columns: &ColumnsTable, reasons: usize) -> PolicyTable {
    let numbers: Vec<usize> = columns.numbers.iter().map(|(_, field)| *field).collect();
    let segments = columns.one_hot.first().map(|(category, _)| (*category, vec![0, 1, 0, 1]));
    let mut rules = Vec::new();
    for (label, operation) in ["<", "<=", ">", ">=", "==", "!=", "number test"].into_iter().enumerate() {
        let number = numbers[random.below(numbers.len())];
        let mut steps = vec![step("field", number, 0.0)];
        if operation == "number test" {
            steps.push(StepTable { holds: vec![1], values: vec![1.0, -9.0], ..step(operation, 0, 0.0) });
        } else {
            steps.extend([step("constant", 0, random.number().into()), step(operation, 0, 0.0)]);
        }
        if let Some((category, _)) = columns.one_hot.first() {
            let how = random.choice(&["and", "or"]);
            steps.extend([step("category test", *category, 0.0), step(how, 0, 0.0)]);
        }
        let reason = if random.chance(3) { NONE } else { random.below(reasons) as u8 };
        rules.push((steps, (label % 3) as u8, reason));
    }
    PolicyTable { thresholds: vec![(0.4, 0.6), (0.1, 0.2)], segments, rules }
}

fn step(operation: &str, field: usize, value: f64) -> StepTable {
    StepTable { operation: operation.into(), field, value, holds: vec![1, 0, 1, 1], values: Vec::new() }
}
