//! Programs for a stack of numbers: what derived columns and the conditions of rules are calculated with.

use crate::decode::Decoder;
use crate::tables::StepTable;

/// The program of an expression, whose stack always holds what its steps take.
#[derive(Debug)]
pub struct Program(Vec<Step>);

/// A step of a program, with 1 as true and 0 as false. The arithmetic is IEEE 754's, so each result has numpy's bits.
#[derive(Clone, Debug)]
enum Step {
    Field(usize),
    Constant(f64),
    /// Whether a category is one of several, by its code.
    CategoryTest(usize, Vec<bool>),
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
        let program = steps.iter().map(|step| parse(step, decoder)).collect::<Result<Vec<_>, _>>()?;
        let mut height = 0usize;
        for step in &program {
            let taken = match step {
                Step::Field(_) | Step::Constant(_) | Step::CategoryTest(..) => 0,
                Step::NumberTest(..) | Step::Unary(_) => 1,
                Step::Binary(_) => 2,
            };
            height = height.checked_sub(taken).ok_or("a program takes more from its stack than there is")? + 1;
        }
        if height == 1 { Ok(Self(program)) } else { Err("a program leaves more than one number".into()) }
    }

    /// Runs the program on the values of an application's fields; None if a code has no place in a test.
    pub fn run(&self, values: &[f64], stack: &mut Vec<f64>) -> Option<f64> {
        stack.clear();
        for step in &self.0 {
            let result = match step {
                Step::Field(field) => values[*field],
                Step::Constant(number) => *number,
                Step::CategoryTest(field, holds) => {
                    let code = values[*field];
                    let position = if code < 0.0 { holds.len() - 1 } else { code as usize };
                    truth(*holds.get(position)?)
                }
                Step::NumberTest(numbers, is_one) => {
                    let number = stack.pop()?;
                    truth(!number.is_nan() && numbers.contains(&number) == *is_one)
                }
                Step::Unary(operation) => operation.calculate(stack.pop()?),
                Step::Binary(operation) => {
                    let (second, first) = (stack.pop()?, stack.pop()?);
                    operation.calculate(first, second)
                }
            };
            stack.push(result);
        }
        stack.pop()
    }
}

impl Unary {
    fn calculate(self, number: f64) -> f64 {
        match self {
            Self::Negate => -number,
            Self::Absolute => number.abs(),
            Self::IsUnknown => truth(number.is_nan()),
            Self::IsKnown => truth(!number.is_nan()),
            Self::KnownIfFinite => {
                if number.is_finite() {
                    number
                } else {
                    f64::NAN
                }
            }
        }
    }
}

impl Binary {
    /// A comparison with an unknown number does not hold, not even that it is different.
    fn calculate(self, first: f64, second: f64) -> f64 {
        match self {
            Self::Add => first + second,
            Self::Subtract => first - second,
            Self::Multiply => first * second,
            Self::Divide => first / second,
            // Of equal values, such as 0 and -0, and of two unknown ones the first counts.
            Self::Minimum => choose(first <= second || first.is_nan(), first, second),
            Self::Maximum => choose(first >= second || first.is_nan(), first, second),
            Self::Less => truth(first < second),
            Self::LessOrEqual => truth(first <= second),
            Self::Greater => truth(first > second),
            Self::GreaterOrEqual => truth(first >= second),
            Self::Equal => truth(first == second),
            Self::Different => truth(first != second && !first.is_nan() && !second.is_nan()),
            Self::Both => truth(first == 1.0 && second == 1.0),
            Self::Either => truth(first == 1.0 || second == 1.0),
        }
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn choose(is_first: bool, first: f64, second: f64) -> f64 {
    if is_first { first } else { second }
}

fn parse(step: &StepTable, decoder: &Decoder) -> Result<Step, String> {
    Ok(match step.operation.as_str() {
        "field" if decoder.is_number(step.field) => Step::Field(step.field),
        "constant" => Step::Constant(step.value),
        "category test" if decoder.codes(step.field).is_some_and(|codes| codes < step.holds.len()) => {
            Step::CategoryTest(step.field, step.holds.iter().map(|holds| *holds != 0).collect())
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

    fn run(steps: &[StepTable], values: &[f64]) -> Option<f64> {
        Program::new(steps, &decoder()).unwrap().run(values, &mut Vec::new())
    }

    #[test]
    fn each_operation_is_numpys() {
        let run_binary = |operation: &str, first: f64, second: f64| {
            let steps = [step("constant", 0, first), step("constant", 0, second), step(operation, 0, 0.0)];
            run(&steps, &[]).unwrap()
        };
        assert_eq!(run_binary("-", 1.0, 3.0), -2.0);
        assert_eq!(run_binary("/", 1.0, 0.0), f64::INFINITY);
        assert_eq!(run_binary("min", 0.0, -0.0).to_bits(), 0);
        assert_eq!(run_binary("max", -0.0, 0.0).to_bits(), (-0.0f64).to_bits());
        assert!(run_binary("min", f64::NAN, 1.0).is_nan());
        assert!(run_binary("min", 1.0, f64::NAN).is_nan());
        let run_unary = |operation: &str, number: f64| {
            let steps = [step("constant", 0, number), step(operation, 0, 0.0)];
            run(&steps, &[]).unwrap()
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
            vec![step("constant", 0, 0.0), step("number test", 0, 0.0)],
        ] {
            assert!(Program::new(&steps, &decoder).is_err(), "{steps:?}");
        }
    }

    #[test]
    fn comparisons_with_unknown_numbers_do_not_hold() {
        let compare = |operation: &str, first: f64, second: f64| {
            run(&[step("constant", 0, first), step("constant", 0, second), step(operation, 0, 0.0)], &[]).unwrap()
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
            run(&[step("constant", 0, number), test], &[]).unwrap()
        };
        assert_eq!([test(-0.0, 1), test(2.0, 1), test(1.0, 1), test(f64::NAN, 1)], [1.0, 1.0, 0.0, 0.0]);
        assert_eq!([test(-0.0, 0), test(2.0, 0), test(1.0, 0), test(f64::NAN, 0)], [0.0, 0.0, 1.0, 0.0]);
    }
}
