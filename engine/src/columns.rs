//! Makes a row of the model's matrix of the values of an application's fields.

use crate::decode::Decoder;
use crate::program::Program;
use crate::tables::ColumnsTable;

/// The columns of one bundle.
pub struct Columns {
    width: usize,
    missing: f32,
    numbers: Vec<(usize, usize)>,
    indexes: Vec<(usize, usize)>,
    one_hot: Vec<OneHot>,
    derived: Vec<(usize, Program)>,
}

struct OneHot {
    field: usize,
    /// For each code the column; None if the model has none for it.
    targets: Vec<Option<usize>>,
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
            derived.push((check_column(*column)?, Program::new(steps, decoder)?));
        }
        Ok(Self { width: table.width, missing: table.missing, numbers, indexes, one_hot, derived })
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes a row, which is all zeros; None if a number does not fit into it.
    pub fn write(&self, values: &[f64], row: &mut [f32], stack: &mut Vec<[f64; 1]>) -> Option<()> {
        let mut fits = true;
        for &(column, field) in &self.numbers {
            row[column] = self.round(values[field]);
            fits &= !row[column].is_infinite();
        }
        for &(column, field) in &self.indexes {
            let code = values[field];
            // The replacement of unknown numbers is not used here: any number is the index of some category.
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
        for (column, program) in &self.derived {
            row[*column] = self.round(program.run(values.as_chunks().0, stack)[0]);
            fits &= !row[*column].is_infinite();
        }
        fits.then_some(())
    }

    #[inline]
    fn round(&self, number: f64) -> f32 {
        if number.is_nan() { self.missing } else { number as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::decoder;
    use crate::tables::StepTable;

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
        StepTable { operation: operation.into(), field, value, ..StepTable::default() }
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
