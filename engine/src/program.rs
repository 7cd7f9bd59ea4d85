//! Programs for a stack of numbers: what derived columns and the conditions of rules are calculated with.

use crate::decode::Decoder;
use crate::tables::StepTable;

/// The program of an expression, whose stack always holds what its steps take.
#[derive(Debug)]
pub struct Program {
    steps: Vec<Step>,
    /// The greatest height of its stack.
    height: usize,
}

/// A step of a program, with 1 as true and 0 as false. The arithmetic is IEEE 754's, so each result has numpy's bits.
#[derive(Clone, Debug)]
enum Step {
    Field(usize),
    Constant(f64),
    /// Whether a category is one of several: for unknown, and then for each code.
    CategoryTest(usize, Vec<f64>),
    /// Whether a number is known and one of several; or known and none of them.
    NumberTest(Vec<f64>, bool),
    Unary(Unary),
    Binary(Binary),
}

#[derive(Clone, Copy, Debug)]
enum Unary {
    Negate,
    Absolute,
    IsUnknown,
    IsKnown,
    KnownIfFinite,
}

#[derive(Clone, Copy, Debug)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Minimum,
    Maximum,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Different,
    Both,
    Either,
}

impl Program {
    /// Checks the steps.
    pub fn new(steps: &[StepTable], decoder: &Decoder) -> Result<Self, String> {
        let steps = steps.iter().map(|step| parse(step, decoder)).collect::<Result<Vec<_>, _>>()?;
        let (mut height, mut height_max) = (0usize, 0);
        for step in &steps {
            let taken = match step {
                Step::Field(_) | Step::Constant(_) | Step::CategoryTest(..) => 0,
                Step::NumberTest(..) | Step::Unary(_) => 1,
                Step::Binary(_) => 2,
            };
            height = height.checked_sub(taken).ok_or("a program takes more from its stack than there is")? + 1;
            height_max = height_max.max(height);
        }
        if height != 1 {
            return Err("a program leaves more than one number".into());
        }
        Ok(Self { steps, height: height_max })
    }

    /// The fields that it reads, some of them more than once.
    pub fn fields(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().filter_map(|step| match step {
            Step::Field(field) | Step::CategoryTest(field, _) => Some(*field),
            _ => None,
        })
    }

    /// Runs the program on applications, one per lane, and returns its result for each of them.
    ///
    /// `values` has the numbers and codes of each field that it reads. Each step is done for all applications at once,
    /// which takes little longer than for one.
    pub fn run<'a, const LANES: usize>(
        &self,
        values: &[[f64; LANES]],
        stack: &'a mut Vec<[f64; LANES]>,
    ) -> &'a [f64; LANES] {
        stack.resize(self.height, [0.0; LANES]);
        let mut height = 0;
        for step in &self.steps {
            match step {
                Step::Field(field) => stack[height] = values[*field],
                Step::Constant(number) => stack[height] = [*number; LANES],
                Step::CategoryTest(field, holds) => {
                    for (result, code) in stack[height].iter_mut().zip(&values[*field]) {
                        *result = holds[(*code + 1.0) as u32 as usize];
                    }
                }
                Step::NumberTest(numbers, is_one) => {
                    height -= 1;
                    apply(&mut stack[height], |number| truth(!number.is_nan() && numbers.contains(&number) == *is_one));
                }
                Step::Unary(operation) => {
                    height -= 1;
                    operation.calculate(&mut stack[height]);
                }
                Step::Binary(operation) => {
                    height -= 2;
                    let (first, second) = stack[height..].split_at_mut(1);
                    operation.calculate(&mut first[0], &second[0]);
                }
            }
            height += 1;
        }
        &stack[0]
    }
}

impl Unary {
    fn calculate<const LANES: usize>(self, numbers: &mut [f64; LANES]) {
        match self {
            Self::Negate => apply(numbers, |number| -number),
            Self::Absolute => apply(numbers, f64::abs),
            Self::IsUnknown => apply(numbers, |number| truth(number.is_nan())),
            Self::IsKnown => apply(numbers, |number| truth(!number.is_nan())),
            Self::KnownIfFinite => apply(numbers, |number| choose(number.is_finite(), number, f64::NAN)),
        }
    }
}

impl Binary {
    /// Puts the results in the place of the first numbers.
    ///
    /// A comparison with an unknown number does not hold, not even that it is different.
    fn calculate<const LANES: usize>(self, first: &mut [f64; LANES], second: &[f64; LANES]) {
        match self {
            Self::Add => combine(first, second, |a, b| a + b),
            Self::Subtract => combine(first, second, |a, b| a - b),
            Self::Multiply => combine(first, second, |a, b| a * b),
            Self::Divide => combine(first, second, |a, b| a / b),
            // Of equal values, such as 0 and -0, and of two unknown ones the first counts.
            Self::Minimum => combine(first, second, |a, b| choose(a <= b || a.is_nan(), a, b)),
            Self::Maximum => combine(first, second, |a, b| choose(a >= b || a.is_nan(), a, b)),
            Self::Less => combine(first, second, |a, b| truth(a < b)),
            Self::LessOrEqual => combine(first, second, |a, b| truth(a <= b)),
            Self::Greater => combine(first, second, |a, b| truth(a > b)),
            Self::GreaterOrEqual => combine(first, second, |a, b| truth(a >= b)),
            Self::Equal => combine(first, second, |a, b| truth(a == b)),
            Self::Different => combine(first, second, |a, b| truth(a != b && !a.is_nan() && !b.is_nan())),
            Self::Both => combine(first, second, |a, b| truth(a == 1.0 && b == 1.0)),
            Self::Either => combine(first, second, |a, b| truth(a == 1.0 || b == 1.0)),
        }
    }
}

fn apply<const LANES: usize>(numbers: &mut [f64; LANES], operation: impl Fn(f64) -> f64) {
    for number in numbers {
        *number = operation(*number);
    }
}

fn combine<const LANES: usize>(first: &mut [f64; LANES], second: &[f64; LANES], operation: impl Fn(f64, f64) -> f64) {
    for (a, b) in first.iter_mut().zip(second) {
        *a = operation(*a, *b);
    }
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn choose(is_first: bool, first: f64, second: f64) -> f64 {
    if is_first { first } else { second }
}

fn parse(step: &StepTable, decoder: &Decoder) -> Result<Step, String> {
    Ok(match step.operation.as_str() {
        "field" if decoder.is_number(step.field) => Step::Field(step.field),
        "constant" => Step::Constant(step.value),
        "category test" if decoder.codes(step.field).is_some_and(|codes| codes < step.holds.len()) => {
            let mut holds: Vec<f64> = step.holds.iter().map(|holds| truth(*holds != 0)).collect();
            holds.rotate_right(1); // the table has unknown at its end
            Step::CategoryTest(step.field, holds)
        }
        "number test" if step.holds.len() == 1 => Step::NumberTest(step.values.clone(), step.holds[0] != 0),
        "+" => Step::Binary(Binary::Add),
        "-" => Step::Binary(Binary::Subtract),
        "*" => Step::Binary(Binary::Multiply),
        "/" => Step::Binary(Binary::Divide),
        "min" => Step::Binary(Binary::Minimum),
        "max" => Step::Binary(Binary::Maximum),
        "<" => Step::Binary(Binary::Less),
        "<=" => Step::Binary(Binary::LessOrEqual),
        ">" => Step::Binary(Binary::Greater),
        ">=" => Step::Binary(Binary::GreaterOrEqual),
        "==" => Step::Binary(Binary::Equal),
        "!=" => Step::Binary(Binary::Different),
        "and" => Step::Binary(Binary::Both),
        "or" => Step::Binary(Binary::Either),
        "negate" => Step::Unary(Unary::Negate),
        "abs" => Step::Unary(Unary::Absolute),
        "is unknown" => Step::Unary(Unary::IsUnknown),
        "is known" => Step::Unary(Unary::IsKnown),
        "known if finite" => Step::Unary(Unary::KnownIfFinite),
        other => {
            return Err(format!("the operation {other} is not known, or its field is of another kind"));
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decode::tests::decoder;

    /// A step whose test of a category holds for the first value and for unknown.
    pub fn step(operation: &str, field: usize, value: f64) -> StepTable {
        StepTable { operation: operation.into(), field, value, holds: vec![1, 0, 1], values: vec![] }
    }

    fn run(steps: &[StepTable], values: &[f64]) -> f64 {
        Program::new(steps, &decoder()).unwrap().run::<1>(values.as_chunks().0, &mut Vec::new())[0]
    }

    #[test]
    fn each_operation_is_numpys() {
        let run_binary = |operation: &str, first: f64, second: f64| {
            let steps = [step("constant", 0, first), step("constant", 0, second), step(operation, 0, 0.0)];
            run(&steps, &[])
        };
        assert_eq!(run_binary("-", 1.0, 3.0), -2.0);
        assert_eq!(run_binary("/", 1.0, 0.0), f64::INFINITY);
        assert_eq!(run_binary("min", 0.0, -0.0).to_bits(), 0);
        assert_eq!(run_binary("max", -0.0, 0.0).to_bits(), (-0.0f64).to_bits());
        assert!(run_binary("min", f64::NAN, 1.0).is_nan());
        assert!(run_binary("min", 1.0, f64::NAN).is_nan());
        let run_unary = |operation: &str, number: f64| {
            let steps = [step("constant", 0, number), step(operation, 0, 0.0)];
            run(&steps, &[])
        };
        assert_eq!(run_unary("negate", 0.0).to_bits(), (-0.0f64).to_bits());
        assert_eq!(run_unary("abs", -3.0), 3.0);
        assert_eq!((run_unary("is unknown", f64::NAN), run_unary("is unknown", 1.0)), (1.0, 0.0));
        assert!(run_unary("known if finite", f64::NEG_INFINITY).is_nan());
        assert_eq!(run_unary("known if finite", -0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn a_category_is_tested_by_its_code() {
        let test = |code: f64| run(&[step("category test", 2, 0.0)], &[0.0, 0.0, code]);
        assert_eq!([test(0.0), test(1.0), test(-1.0)], [1.0, 0.0, 1.0]);
    }

    #[test]
    fn each_lane_has_the_result_that_it_has_alone() {
        let numbers = [f64::NAN, -0.0, 0.0, 1.0, -2.5, f64::INFINITY, f64::NEG_INFINITY, 1e-320];
        let operations =
            ["+", "-", "*", "/", "min", "max", "<", "<=", ">", ">=", "==", "!=", "and", "or", "abs", "known if finite"];
        for operation in operations {
            let mut steps = vec![step("field", 1, 0.0), step(operation, 0, 0.0), step("category test", 2, 0.0)];
            if !["abs", "known if finite"].contains(&operation) {
                steps.insert(1, step("field", 3, 0.0));
            }
            steps.push(step("-", 0, 0.0));
            let program = Program::new(&steps, &decoder()).unwrap();
            for second in numbers {
                let codes = [0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0];
                let mut stack = vec![[7.0; 8]; 9];
                let together = *program.run(&[[0.0; 8], numbers, codes, [second; 8]], &mut stack);
                for ((first, code), result) in numbers.into_iter().zip(codes).zip(together) {
                    let alone = run(&steps, &[0.0, first, code, second]);
                    assert!((alone.is_nan() && result.is_nan()) || alone.to_bits() == result.to_bits(), "{operation}");
                }
            }
        }
    }

    #[test]
    fn the_fields_of_a_program_are_those_that_it_reads() {
        let steps = [step("field", 1, 0.0), step("constant", 0, 2.0), step("<", 0, 0.0), step("category test", 2, 0.0)];
        let program = Program::new(&[&steps[..], &[step("and", 0, 0.0)]].concat(), &decoder()).unwrap();
        assert_eq!(program.fields().collect::<Vec<_>>(), [1, 2]);
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
            vec![step("constant", 0, 0.0), step("number test", 0, 0.0)],
        ] {
            assert!(Program::new(&steps, &decoder).is_err(), "{steps:?}");
        }
    }

    #[test]
    fn comparisons_with_unknown_numbers_do_not_hold() {
        let compare = |operation: &str, first: f64, second: f64| {
            run(&[step("constant", 0, first), step("constant", 0, second), step(operation, 0, 0.0)], &[])
        };
        for (operation, less, equal, greater) in [
            ("<", 1.0, 0.0, 0.0),
            ("<=", 1.0, 1.0, 0.0),
            (">", 0.0, 0.0, 1.0),
            (">=", 0.0, 1.0, 1.0),
            ("==", 0.0, 1.0, 0.0),
            ("!=", 1.0, 0.0, 1.0),
        ] {
            let results = [compare(operation, 1.0, 2.0), compare(operation, 0.0, -0.0), compare(operation, 2.0, 1.0)];
            assert_eq!(results, [less, equal, greater], "{operation}");
            assert_eq!([compare(operation, f64::NAN, 1.0), compare(operation, 1.0, f64::NAN)], [0.0, 0.0]);
        }
        assert_eq!([compare("and", 1.0, 1.0), compare("and", 1.0, 0.0), compare("or", 0.0, 1.0)], [1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_number_is_among_others_or_not_unless_it_is_unknown() {
        let test = |number: f64, is_one: u8| {
            let test = StepTable {
                operation: "number test".into(),
                holds: vec![is_one],
                values: vec![0.0, 2.0],
                ..StepTable::default()
            };
            run(&[step("constant", 0, number), test], &[])
        };
        assert_eq!([test(-0.0, 1), test(2.0, 1), test(1.0, 1), test(f64::NAN, 1)], [1.0, 1.0, 0.0, 0.0]);
        assert_eq!([test(-0.0, 0), test(2.0, 0), test(1.0, 0), test(f64::NAN, 0)], [0.0, 0.0, 1.0, 0.0]);
    }
}
