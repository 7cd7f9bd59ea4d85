//! Damages the tables of trees, reasons and policies, and opens them: they are rejected, or do their work.

use std::fmt::Debug;

use scorer_engine::policy::Policy;
use scorer_engine::reasons::{Explainer, NONE};
use scorer_engine::tables::{PolicyTable, ReasonsTable, StepTable, TreesTable};
use scorer_engine::trees::Forest;
use scorer_engine::without_panic;

use crate::bundles::{Bundle, draw_reasons, draw_trees};
use crate::random::Random;

/// Columns of the drawn trees.
const COLUMNS: usize = 4;
/// Rows that they predict, more than the engine explains at once.
const ROWS: usize = 80;
/// Applications that a policy decides, sometimes more than it decides at once.
const APPLICATIONS_MAX: usize = 40;

const OPERATIONS: [&str; 24] = [
    "field",
    "constant",
    "category test",
    "number test",
    "+",
    "-",
    "*",
    "/",
    "min",
    "max",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    "and",
    "or",
    "negate",
    "abs",
    "is unknown",
    "is known",
    "known if finite",
    "sqrt",
];

/// Opens a damaged table and tries it: whether it was valid. The error is a table on which the engine panics.
pub fn open_damaged(random: &mut Random, bundle: &Bundle) -> Result<bool, String> {
    match random.below(3) {
        0 => open_trees(random),
        1 => open_reasons(random),
        _ => open_policy(random, bundle),
    }
}

fn open(table: &impl Debug, attempt: impl FnOnce() -> Result<(), String>) -> Result<bool, String> {
    without_panic(attempt).map(|opened| opened.is_ok()).map_err(|_| format!("{table:?}"))
}

fn open_trees(random: &mut Random) -> Result<bool, String> {
    let table = mutate_trees(random);
    let matrix = draw_matrix(random);
    open(&table, || {
        assert_eq!(Forest::new(&table, COLUMNS)?.predict(&matrix).len(), ROWS);
        Ok(())
    })
}

/// A row has the same reasons alone.
fn open_reasons(random: &mut Random) -> Result<bool, String> {
    let table = mutate_reasons(random);
    let matrix = draw_matrix(random);
    let labels: Vec<u8> = (0..ROWS).map(|_| random.below(3) as u8).collect();
    let entries = table.codes.len();
    let leading: Vec<u8> =
        (0..ROWS).map(|_| if random.chance(2) { NONE } else { random.below(entries) as u8 }).collect();
    open(&table, || {
        let explainer = Explainer::new(&table, COLUMNS)?;
        let together = explainer.explain(&matrix, &labels, &leading);
        assert_eq!(together.len(), ROWS);
        for (row, reasons) in together.into_iter().enumerate() {
            let values = &matrix[row * COLUMNS..(row + 1) * COLUMNS];
            assert_eq!(explainer.explain(values, &labels[row..=row], &leading[row..=row]), [reasons]);
            let mut text = Vec::new();
            explainer.write(&mut text, reasons);
            assert_eq!(text.is_empty(), labels[row] == 0);
        }
        Ok(())
    })
}

/// An application has the same rule and thresholds alone.
fn open_policy(random: &mut Random, bundle: &Bundle) -> Result<bool, String> {
    let table = mutate_policy(random, &bundle.policy);
    let mut reading = bundle.decoder.reading();
    let mut applications: Vec<Vec<f64>> = Vec::new();
    for _ in 0..random.below(APPLICATIONS_MAX) {
        if bundle.decoder.read(&bundle.write_application(random), &mut reading).is_some() {
            applications.push(reading.values.clone());
        }
    }
    let probability = random.number();
    open(&table, || {
        let policy = Policy::new(&table, &bundle.decoder)?;
        let find = |applications: &[Vec<f64>]| {
            let (mut pending, mut matched) = (policy.pending(), Vec::new());
            for values in applications {
                policy.add(values, &mut pending, &mut matched).expect("each code has thresholds");
            }
            policy.apply_rules(&mut pending, &mut matched);
            matched
        };
        let together = find(&applications);
        assert_eq!(together.len(), applications.len());
        for (application, matched) in applications.chunks(1).zip(together) {
            assert_eq!(find(application), [matched]);
            assert!(policy.decide(matched, probability) < 3);
        }
        Ok(())
    })
}

fn draw_matrix(random: &mut Random) -> Vec<f32> {
    (0..ROWS * COLUMNS).map(|_| random.number()).collect()
}

fn mutate_trees(random: &mut Random) -> TreesTable {
    let mut table = draw_trees(random, 3, COLUMNS);
    for _ in 0..random.below(4) {
        let TreesTable { left, right, column, value, default_left, .. } = &mut table;
        mutate_byte(random, [left, right, column, value, default_left]);
    }
    match random.below(8) {
        0 => table.sizes[random.below(3)] = random.below(40),
        1 => table.left.truncate(random.below(40)),
        2 => table.base_score = f32::from_bits(random.next() as u32),
        _ => {}
    }
    table
}

fn mutate_reasons(random: &mut Random) -> ReasonsTable {
    let trees = draw_trees(random, 3, COLUMNS);
    let mut table = draw_reasons(random, &trees);
    for _ in 0..random.below(4) {
        let ReasonsTable { columns, thresholds, is_less, targets, values, .. } = &mut table;
        mutate_byte(random, [columns, thresholds, is_less, targets, values]);
    }
    match random.below(14) {
        0 => table.condition_counts[0] = random.below(70),
        1 => table.target_counts[0] = random.below(20),
        2 => table.condition_counts.push(random.below(9)),
        3 => table.values.truncate(random.below(40)),
        4 => table.codes.truncate(random.below(3)),
        5 => table.codes.resize(random.below(300), b"\"R\"".to_vec()),
        6 => table.is_used.fill(false),
        _ => {}
    }
    if random.chance(2) {
        table.is_used.resize(table.codes.len(), true);
    }
    table
}

fn mutate_byte<const ARRAYS: usize>(random: &mut Random, arrays: [&mut Vec<u8>; ARRAYS]) {
    let array = arrays.into_iter().nth(random.below(ARRAYS)).expect("one of them");
    if !array.is_empty() {
        let at = random.below(array.len());
        array[at] = random.byte();
    }
}

fn mutate_policy(random: &mut Random, policy: &PolicyTable) -> PolicyTable {
    let mut table = policy.clone();
    for _ in 0..random.below(4) {
        match random.below(10) {
            0 => table.thresholds.truncate(random.below(3)),
            1 => table.thresholds.push((random.number().into(), random.number().into())),
            2 => table.segments = Some((random.below(20), (0..random.below(6)).map(|_| random.below(3)).collect())),
            3 => table.rules.truncate(random.below(8)),
            _ if table.rules.is_empty() => {}
            4 => {
                let at = random.below(table.rules.len());
                table.rules[at].1 = random.byte() % 5;
            }
            _ => {
                let at = random.below(table.rules.len());
                mutate_steps(random, &mut table.rules[at].0);
            }
        }
    }
    table
}

fn mutate_steps(random: &mut Random, steps: &mut Vec<StepTable>) {
    if steps.is_empty() {
        return;
    }
    let at = random.below(steps.len());
    match random.below(7) {
        0 => drop(steps.remove(at)),
        1 => {
            let other = steps[random.below(steps.len())].clone();
            steps.insert(at, other);
        }
        2 => steps[at].operation = random.choice(&OPERATIONS).into(),
        3 => steps[at].field = random.below(20),
        4 => steps[at].holds.truncate(random.below(5)),
        5 => steps[at].holds = (0..random.below(300)).map(|_| random.byte()).collect(),
        _ => {
            steps[at].value = random.number().into();
            steps[at].values.push(random.number().into());
        }
    }
}
