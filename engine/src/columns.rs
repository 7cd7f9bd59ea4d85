//! Makes a row of the model's matrix of the values of an application's fields.

use crate::decode::Decoder;
use crate::tables::{ColumnsTable, StepTable};

/// The columns of one bundle.
pub struct Columns {
    width: usize,
    missing: f32,
    numbers: Vec<(usize, usize)>,
    indexes: Vec<(usize, usize)>,
    one_hot: Vec<OneHot>,
    derived: Vec<(usize, Vec<Step>)>,
}

struct OneHot {
    field: usize,
    /// For each code the column; None if the model has none for it.
    targets: Vec<Option<usize>>,
}

/// A step of a program for a stack of numbers, in which 1 stands for true and 0 for false. The arithmetic is IEEE 754's,
/// so each result has the bits that numpy gives.
#[derive(Clone, Debug)]
enum Step {
    Field(usize),
    Constant(f64),
    /// Whether a category is one of several, by its code.
    CategoryTest(usize, Vec<bool>),
    Add,
    Subtract,
    Multiply,
    Divide,
    Minimum,
    Maximum,
    Negate,
    Absolute,
    IsUnknown,
    KnownIfFinite,
}

impl Columns {
    /// Checks the table.
    pub fn new(table: &ColumnsTable, decoder: &Decoder) -> Result<Self, String> {
        let check_column = |column: usize| {
            if column < table.width { Ok(column) } else { Err("a column does not exist".to_string()) }
        };
        let mut numbers = Vec::with_capacity(table.numbers.len());
        for &(column, field) in &table.numbers {
            if !decoder.is_number(field) {
                return Err("a column of numbers has no such field".into());
            }
            numbers.push((check_column(column)?, field));
        }
        let mut indexes = Vec::with_capacity(table.indexes.len());
        for &(column, field) in &table.indexes {
            if decoder.codes(field).is_none() {
                return Err("a column of indexes has no such category".into());
            }
            indexes.push((check_column(column)?, field));
        }
        let mut one_hot = Vec::with_capacity(table.one_hot.len());
        for (field, targets) in &table.one_hot {
            if decoder.codes(*field).is_none_or(|codes| codes > targets.len()) {
                return Err("a category has no such columns".into());
            }
            let targets = targets
                .iter()
                .map(|t| usize::try_from(*t).ok().map(check_column).transpose())
                .collect::<Result<_, _>>()?;
            one_hot.push(OneHot { field: *field, targets });
        }
        let mut derived = Vec::with_capacity(table.derived.len());
        for (column, steps) in &table.derived {
            derived.push((check_column(*column)?, program(steps, decoder)?));
        }
        Ok(Self { width: table.width, missing: table.missing, numbers, indexes, one_hot, derived })
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes a row, which is all zeros; None if a number does not fit into it.
    pub fn write(&self, values: &[f64], row: &mut [f32], stack: &mut Vec<f64>) -> Option<()> {
        for &(column, field) in &self.numbers {
            row[column] = self.round(values[field])?;
        }
        for &(column, field) in &self.indexes {
            let code = values[field];
            // Whatever stands for unknown numbers: each of them is the index of some category.
            row[column] = if code < 0.0 { f32::NAN } else { code as f32 };
        }
        for category in &self.one_hot {
            let code = values[category.field];
            if code >= 0.0
                && let Some(Some(column)) = category.targets.get(code as usize)
            {
                row[*column] = 1.0;
            }
        }
        for (column, steps) in &self.derived {
            row[*column] = self.round(run(steps, values, stack)?)?;
        }
        Some(())
    }

    #[inline]
    fn round(&self, number: f64) -> Option<f32> {
        let rounded = if number.is_nan() { self.missing } else { number as f32 };
        (!rounded.is_infinite()).then_some(rounded)
    }
}

fn run(steps: &[Step], values: &[f64], stack: &mut Vec<f64>) -> Option<f64> {
    stack.clear();
    for step in steps {
        let result = match step {
            Step::Field(field) => values[*field],
            Step::Constant(number) => *number,
            Step::CategoryTest(field, holds) => {
                let code = values[*field];
                let position = if code < 0.0 { holds.len() - 1 } else { code as usize };
                f64::from(u8::from(*holds.get(position)?))
            }
            Step::Negate => -stack.pop()?,
            Step::Absolute => stack.pop()?.abs(),
            Step::IsUnknown => f64::from(u8::from(stack.pop()?.is_nan())),
            Step::KnownIfFinite => {
                let number = stack.pop()?;
                if number.is_finite() { number } else { f64::NAN }
            }
            _ => {
                let (second, first) = (stack.pop()?, stack.pop()?);
                match step {
                    Step::Add => first + second,
                    Step::Subtract => first - second,
                    Step::Multiply => first * second,
                    Step::Divide => first / second,
                    // Of equal values, such as 0 and -0, and of two unknown ones the first counts.
                    Step::Minimum => {
                        if first <= second || first.is_nan() {
                            first
                        } else {
                            second
                        }
                    }
                    _ => {
                        if first >= second || first.is_nan() {
                            first
                        } else {
                            second
                        }
                    }
                }
            }
        };
        stack.push(result);
    }
    stack.pop()
}

fn program(steps: &[StepTable], decoder: &Decoder) -> Result<Vec<Step>, String> {
    let program = steps.iter().map(|step| parse(step, decoder)).collect::<Result<Vec<_>, _>>()?;
    let mut height = 0usize;
    for step in &program {
        let (taken, given) = match step {
            Step::Field(_) | Step::Constant(_) | Step::CategoryTest(..) => (0, 1),
            Step::Negate | Step::Absolute | Step::IsUnknown | Step::KnownIfFinite => (1, 1),
            _ => (2, 1),
        };
        height = height.checked_sub(taken).ok_or("a program takes more from its stack than there is")? + given;
    }
    if height == 1 { Ok(program) } else { Err("a program leaves more than one number".into()) }
}

fn parse(step: &StepTable, decoder: &Decoder) -> Result<Step, String> {
    Ok(match step.operation.as_str() {
        "field" if decoder.is_number(step.field) => Step::Field(step.field),
        "constant" => Step::Constant(step.value),
        "category test" if decoder.codes(step.field).is_some_and(|codes| codes < step.holds.len()) => {
            Step::CategoryTest(step.field, step.holds.iter().map(|holds| *holds != 0).collect())
        }
        "+" => Step::Add,
        "-" => Step::Subtract,
        "*" => Step::Multiply,
        "/" => Step::Divide,
        "min" => Step::Minimum,
        "max" => Step::Maximum,
        "negate" => Step::Negate,
        "abs" => Step::Absolute,
        "is unknown" => Step::IsUnknown,
        "known if finite" => Step::KnownIfFinite,
        other => {
            return Err(format!("the operation {other} is not known, or its field is of another kind"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::decoder;

    fn table(missing: f32, derived: Vec<StepTable>) -> ColumnsTable {
        ColumnsTable {
            width: 4,
            missing,
            numbers: vec![(2, 1)],
            indexes: vec![],
            one_hot: vec![(2, vec![3, -1])],
            derived: vec![(0, derived)],
        }
    }

    fn step(operation: &str, field: usize, value: f64) -> StepTable {
        StepTable { operation: operation.into(), field, value, holds: vec![1, 0, 1] }
    }

    fn write(steps: Vec<StepTable>, missing: f32, values: [f64; 5]) -> Option<Vec<f32>> {
        let columns = Columns::new(&table(missing, steps), &decoder()).unwrap();
        let mut row = vec![0.0; 4];
        columns.write(&values, &mut row, &mut Vec::new())?;
        Some(row)
    }

    #[test]
    fn a_row_has_numbers_categories_and_derived_columns() {
        let double = || {
            vec![step("field", 1, 0.0), step("constant", 0, 2.0), step("*", 0, 0.0), step("known if finite", 0, 0.0)]
        };
        assert_eq!(write(double(), 0.0, [0.0, 0.1, 0.0, 0.0, 0.0]), Some(vec![0.2, 0.0, 0.1, 1.0]));
        assert_eq!(write(double(), 0.0, [0.0, 0.1, 1.0, 0.0, 0.0]), Some(vec![0.2, 0.0, 0.1, 0.0]));
        assert_eq!(write(double(), -1.0, [0.0, f64::NAN, -1.0, 0.0, 0.0]), Some(vec![-1.0, 0.0, -1.0, 0.0]));
        assert!(write(double(), f32::NAN, [0.0, f64::NAN, -1.0, 0.0, 0.0]).unwrap()[0].is_nan());
        assert_eq!(write(double(), 0.0, [0.0, 3e38, 0.0, 0.0, 0.0]), None);
    }

    #[test]
    fn a_category_has_the_index_of_its_value_or_is_not_a_number() {
        let table = ColumnsTable { width: 2, missing: -1.0, indexes: vec![(1, 2)], ..ColumnsTable::default() };
        let columns = Columns::new(&table, &decoder()).unwrap();
        let write = |code: f64| {
            let mut row = vec![0.0; 2];
            columns.write(&[0.0, 0.0, code, 0.0, 0.0], &mut row, &mut Vec::new()).unwrap();
            row
        };
        assert_eq!([write(0.0), write(1.0)], [vec![0.0, 0.0], vec![0.0, 1.0]]);
        assert!(write(-1.0)[1].is_nan());
    }

    #[test]
    fn each_operation_is_numpys() {
        let run_binary = |operation: &str, first: f64, second: f64| {
            let steps = [step("constant", 0, first), step("constant", 0, second), step(operation, 0, 0.0)];
            run(&program(&steps, &decoder()).unwrap(), &[], &mut Vec::new()).unwrap()
        };
        assert_eq!(run_binary("-", 1.0, 3.0), -2.0);
        assert_eq!(run_binary("/", 1.0, 0.0), f64::INFINITY);
        assert_eq!(run_binary("min", 0.0, -0.0).to_bits(), 0);
        assert_eq!(run_binary("max", -0.0, 0.0).to_bits(), (-0.0f64).to_bits());
        assert!(run_binary("min", f64::NAN, 1.0).is_nan());
        assert!(run_binary("min", 1.0, f64::NAN).is_nan());
        let run_unary = |operation: &str, number: f64| {
            let steps = [step("constant", 0, number), step(operation, 0, 0.0)];
            run(&program(&steps, &decoder()).unwrap(), &[], &mut Vec::new()).unwrap()
        };
        assert_eq!(run_unary("negate", 0.0).to_bits(), (-0.0f64).to_bits());
        assert_eq!(run_unary("abs", -3.0), 3.0);
        assert_eq!((run_unary("is unknown", f64::NAN), run_unary("is unknown", 1.0)), (1.0, 0.0));
        assert!(run_unary("known if finite", f64::NEG_INFINITY).is_nan());
        assert_eq!(run_unary("known if finite", -0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn a_category_is_tested_by_its_code() {
        let steps = program(&[step("category test", 2, 0.0)], &decoder()).unwrap();
        let test = |code: f64| run(&steps, &[0.0, 0.0, code], &mut Vec::new());
        assert_eq!([test(0.0), test(1.0), test(-1.0)], [Some(1.0), Some(0.0), Some(1.0)]);
    }

    #[test]
    fn programs_that_do_not_fit_are_errors() {
        let decoder = decoder();
        for steps in [
            vec![],
            vec![step("+", 0, 0.0)],
            vec![step("constant", 0, 0.0), step("constant", 0, 0.0)],
            vec![step("sqrt", 0, 0.0)],
            vec![step("field", 0, 0.0)],
            vec![step("field", 2, 0.0)],
            vec![step("field", 9, 0.0)],
            vec![step("category test", 1, 0.0)],
        ] {
            assert!(program(&steps, &decoder).is_err(), "{steps:?}");
        }
    }

    #[test]
    fn columns_that_do_not_exist_are_errors() {
        let steps = || vec![step("constant", 0, 0.0)];
        let decoder = decoder();
        assert!(Columns::new(&ColumnsTable { width: 3, ..table(0.0, steps()) }, &decoder).is_err());
        assert!(Columns::new(&ColumnsTable { numbers: vec![(0, 2)], ..table(0.0, steps()) }, &decoder).is_err());
        assert!(Columns::new(&ColumnsTable { indexes: vec![(0, 1)], ..table(0.0, steps()) }, &decoder).is_err());
        assert!(Columns::new(&ColumnsTable { indexes: vec![(4, 2)], ..table(0.0, steps()) }, &decoder).is_err());
        assert!(Columns::new(&ColumnsTable { one_hot: vec![(2, vec![0])], ..table(0.0, steps()) }, &decoder).is_err());
        assert!(Columns::new(&ColumnsTable { one_hot: vec![(1, vec![0])], ..table(0.0, steps()) }, &decoder).is_err());
    }
}
