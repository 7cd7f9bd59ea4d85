//! Chooses the reasons of decisions: sums tables of contributions in fixed point, and takes the largest.
//!
//! A block has the contributions of a part of a tree for each pattern of its conditions that hold. All numbers are
//! integers, so that sums have the bits of the reference.

use crate::tables::ReasonsTable;

/// Reasons of one decision.
pub const REASONS_MAX: usize = 4;
/// In place of an entry of the catalogue: no reason.
pub const NONE: u8 = 255;
/// The reasons of one decision: positions in the catalogue, then `NONE`.
pub type Reasons = [u8; REASONS_MAX];

/// Rows that are processed together, so that a block's table is loaded once for them.
const LANES: usize = 64;
/// A pattern of conditions is one byte.
const CONDITIONS_MAX: usize = 8;
/// Each target has a condition.
const TARGETS_MAX: usize = CONDITIONS_MAX;

/// The catalogue and the tables of one bundle.
pub struct Explainer {
    columns: usize,
    codes: Vec<Vec<u8>>,
    is_used: Vec<bool>,
    conditions: Vec<Condition>,
    targets: Vec<usize>,
    values: Vec<i32>,
    blocks: Vec<Block>,
}

/// A comparison of a column; an unknown value satisfies none.
#[derive(Clone, Copy)]
struct Condition {
    column: usize,
    threshold: f32,
    is_less: bool,
}

/// Ranges of one block: of its conditions and targets; and where its values start.
struct Block {
    conditions: std::ops::Range<usize>,
    targets: std::ops::Range<usize>,
    values: usize,
}

impl Explainer {
    /// Checks the table.
    pub fn new(table: &ReasonsTable, columns: usize) -> Result<Self, String> {
        let integers =
            |bytes: &[u8]| -> Vec<i32> { bytes.as_chunks().0.iter().map(|b| i32::from_ne_bytes(*b)).collect() };
        let position = |number: &i32, end: usize| {
            usize::try_from(*number).ok().filter(|p| *p < end).ok_or("a column or a reason does not exist")
        };
        if table.codes.len() >= usize::from(NONE) || table.codes.len() != table.is_used.len() {
            return Err("there are too many reasons".into());
        }
        if !table.is_used.contains(&true) {
            return Err("the model uses no reason".into());
        }
        let thresholds = table.thresholds.as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b));
        let mut conditions = Vec::new();
        for ((column, threshold), is_less) in integers(&table.columns).iter().zip(thresholds).zip(&table.is_less) {
            let column = position(column, columns)?;
            conditions.push(Condition { column, threshold, is_less: *is_less != 0 });
        }
        let targets = integers(&table.targets)
            .iter()
            .map(|target| position(target, table.codes.len()))
            .collect::<Result<Vec<_>, _>>()?;
        let values = integers(&table.values);
        let mut blocks = Vec::with_capacity(table.condition_counts.len());
        let (mut condition, mut target, mut value) = (0usize, 0usize, 0usize);
        for (&conditions, &targets) in table.condition_counts.iter().zip(&table.target_counts) {
            if conditions > CONDITIONS_MAX || targets > TARGETS_MAX {
                return Err("a block has too many conditions or targets".into());
            }
            blocks.push(Block {
                conditions: condition..condition + conditions,
                targets: target..target + targets,
                values: value,
            });
            condition += conditions;
            target += targets;
            value += targets << conditions;
        }
        let lengths = (table.columns.len() / 4, table.thresholds.len() / 4, table.is_less.len());
        if lengths != (condition, condition, condition) || (targets.len(), values.len()) != (target, value) {
            return Err("the arrays of reasons do not fit together".into());
        }
        if blocks.iter().any(|block: &Block| !targets[block.targets.clone()].is_sorted_by(|a, b| a < b)) {
            return Err("the targets of a block are not in ascending order".into());
        }
        Ok(Self {
            columns,
            codes: table.codes.clone(),
            is_used: table.is_used.clone(),
            conditions,
            targets,
            values,
            blocks,
        })
    }

    /// The number of entries of the catalogue.
    pub fn entries(&self) -> usize {
        self.codes.len()
    }

    /// Returns the reasons of each row of a matrix for which there is a label other than 0, APPROVED.
    ///
    /// `leading` has for each row the entry that comes first, or `NONE`.
    pub fn explain(&self, matrix: &[f32], labels: &[u8], leading: &[u8]) -> Vec<Reasons> {
        let mut reasons = vec![[NONE; REASONS_MAX]; labels.len()];
        let rows: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] != 0).collect();
        let mut values = vec![[0.0; LANES]; self.columns];
        let mut sums = vec![[0i64; LANES]; self.codes.len()];
        for part in rows.chunks(LANES) {
            for (lane, row) in part.iter().enumerate() {
                let row = &matrix[row * self.columns..(row + 1) * self.columns];
                for (column, number) in values.iter_mut().zip(row) {
                    column[lane] = *number;
                }
            }
            sums.fill([0; LANES]);
            for block in &self.blocks {
                self.add(block, &self.patterns(block, &values), &mut sums);
            }
            for (lane, row) in part.iter().enumerate() {
                reasons[*row] = self.largest(sums.iter().map(|sums| sums[lane]), leading[*row]);
            }
        }
        reasons
    }

    /// Returns which of a block's conditions hold, of each row.
    fn patterns(&self, block: &Block, values: &[[f32; LANES]]) -> [u32; LANES] {
        let mut patterns = [0u32; LANES];
        for (bit, condition) in self.conditions[block.conditions.clone()].iter().enumerate() {
            let (column, threshold) = (&values[condition.column], condition.threshold);
            if condition.is_less {
                for (pattern, number) in patterns.iter_mut().zip(column) {
                    *pattern |= u32::from(*number < threshold) << bit;
                }
            } else {
                for (pattern, number) in patterns.iter_mut().zip(column) {
                    *pattern |= u32::from(*number >= threshold) << bit;
                }
            }
        }
        patterns
    }

    /// Adds the contributions of a block to the sums of its targets.
    fn add(&self, block: &Block, patterns: &[u32; LANES], sums: &mut [[i64; LANES]]) {
        let targets = &self.targets[block.targets.clone()];
        let length = targets.len() << block.conditions.len();
        let values = &self.values[block.values..block.values + length];
        match targets.len() {
            0 => {}
            1 => add_together::<1>(targets, values, patterns, sums),
            2 => add_together::<2>(targets, values, patterns, sums),
            3 => add_together::<3>(targets, values, patterns, sums),
            4 => add_together::<4>(targets, values, patterns, sums),
            5 => add_together::<5>(targets, values, patterns, sums),
            6 => add_together::<6>(targets, values, patterns, sums),
            7 => add_together::<7>(targets, values, patterns, sums),
            8 => add_together::<8>(targets, values, patterns, sums),
            count => unreachable!("{count} targets, which `new` does not accept"),
        }
    }

    /// The leading entry, then those with the largest positive sums; of equal ones the earlier entry comes first.
    ///
    /// Without both, the entry with the largest sum.
    fn largest(&self, sums: impl Iterator<Item = i64>, leading: u8) -> Reasons {
        let mut reasons = [NONE; REASONS_MAX];
        let mut largest = [0i64; REASONS_MAX];
        if leading != NONE {
            (reasons[0], largest[0]) = (leading, i64::MAX);
        }
        let mut best = (i64::MIN, NONE);
        for (entry, (sum, &is_used)) in sums.zip(&self.is_used).enumerate() {
            if !is_used || entry == usize::from(leading) {
                continue;
            }
            if sum > best.0 {
                best = (sum, entry as u8);
            }
            if sum <= largest[REASONS_MAX - 1] {
                continue;
            }
            let place = largest.iter().position(|other| sum > *other).unwrap_or(REASONS_MAX - 1);
            reasons[place..].rotate_right(1);
            largest[place..].rotate_right(1);
            (reasons[place], largest[place]) = (entry as u8, sum);
        }
        if reasons[0] == NONE {
            reasons[0] = best.1;
        }
        reasons
    }

    /// Appends the text of reasons, which follows the PD; nothing if there are none.
    pub fn write(&self, target: &mut Vec<u8>, reasons: Reasons) {
        for (number, entry) in reasons.into_iter().take_while(|entry| *entry != NONE).enumerate() {
            target.extend_from_slice(if number == 0 { b",\"reasons\":[" } else { b"," });
            target.extend_from_slice(&self.codes[usize::from(entry)]);
        }
        if reasons[0] != NONE {
            target.push(b']');
        }
    }
}

/// Adds the contributions of a block with N targets.
///
/// With N known, the compiler keeps the targets' sums and a pattern's contributions apart without a loop.
fn add_together<const N: usize>(targets: &[usize], values: &[i32], patterns: &[u32; LANES], sums: &mut [[i64; LANES]]) {
    let values = values.as_chunks::<N>().0;
    let targets: [usize; N] = std::array::from_fn(|position| targets[position]);
    let mut sums = sums.get_disjoint_mut(targets).expect("targets of a block differ");
    for (lane, pattern) in patterns.iter().enumerate() {
        let contributions = &values[*pattern as usize];
        for (sums, contribution) in sums.iter_mut().zip(contributions) {
            sums[lane] += i64::from(*contribution);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks: `column 0 < 1`, for entries 0 and 2; and `column 1 >= 5` with `column 0 < 3`, for entry 1.
    fn table() -> ReasonsTable {
        let integers = |numbers: &[i32]| numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        ReasonsTable {
            codes: ["A", "B", "C", "D"].map(|code| format!("\"{code}\"").into_bytes()).to_vec(),
            is_used: vec![true, true, true, false],
            condition_counts: vec![1, 2],
            columns: integers(&[0, 1, 0]),
            thresholds: [1.0f32, 5.0, 3.0].iter().flat_map(|n| n.to_ne_bytes()).collect(),
            is_less: vec![1, 0, 1],
            target_counts: vec![2, 1],
            targets: integers(&[0, 2, 1]),
            values: integers(&[-5, -7, 10, 10, -9, 20, -8, 10]),
        }
    }

    fn explain(matrix: &[f32]) -> Vec<Reasons> {
        Explainer::new(&table(), 2).unwrap().explain(matrix, &vec![1; matrix.len() / 2], &vec![NONE; matrix.len() / 2])
    }

    #[test]
    fn the_largest_comes_first_and_of_equal_ones_the_earlier() {
        assert_eq!(explain(&[0.0, 6.0]), [[0, 1, 2, NONE]]);
        assert_eq!(explain(&[4.0, 6.0]), [[1, NONE, NONE, NONE]]);
    }

    #[test]
    fn without_a_positive_one_the_largest_is_the_reason_but_never_one_that_the_model_does_not_use() {
        assert_eq!(explain(&[2.0, 4.0]), [[0, NONE, NONE, NONE]]);
    }

    #[test]
    fn a_leading_one_comes_first_and_only_once_even_if_the_model_does_not_use_it() {
        let explain = |row: &[f32], leading| Explainer::new(&table(), 2).unwrap().explain(row, &[2], &[leading]);
        assert_eq!(explain(&[0.0, 6.0], 3), [[3, 0, 1, 2]]);
        assert_eq!(explain(&[0.0, 6.0], 1), [[1, 0, 2, NONE]]);
        assert_eq!(explain(&[2.0, 4.0], 2), [[2, NONE, NONE, NONE]]);
    }

    #[test]
    fn an_unknown_value_satisfies_no_condition() {
        assert_eq!(explain(&[f32::NAN, f32::NAN]), [[0, NONE, NONE, NONE]]);
        assert_eq!(explain(&[f32::NAN, 5.0]), [[1, NONE, NONE, NONE]]);
    }

    #[test]
    fn a_row_does_not_depend_on_the_others_and_approved_ones_have_no_reason() {
        let explainer = Explainer::new(&table(), 2).unwrap();
        let rows: Vec<[f32; 2]> = (0..200).map(|n| [(n % 5) as f32, (n % 7) as f32]).collect();
        let labels: Vec<u8> = (0..200).map(|n| n % 3).collect();
        let together = explainer.explain(rows.as_flattened(), &labels, &[NONE; 200]);
        for ((row, label), reasons) in rows.iter().zip(labels).zip(together) {
            assert_eq!(explainer.explain(row, &[label], &[NONE]), [reasons]);
            assert_eq!(reasons == [NONE; REASONS_MAX], label == 0);
        }
    }

    #[test]
    fn at_most_four_are_kept() {
        let entries = 9;
        let table = ReasonsTable {
            codes: (0..entries).map(|n| format!("\"R{n}\"").into_bytes()).collect(),
            is_used: vec![true; entries],
            ..ReasonsTable::default()
        };
        let explainer = Explainer::new(&table, 1).unwrap();
        let sums = [1, 5, 2, 5, 9, 0, 5, 3, -4];
        assert_eq!(explainer.largest(sums.into_iter(), NONE), [4, 1, 3, 6]);
        assert_eq!(explainer.largest(sums.into_iter(), 8), [8, 4, 1, 3]);
        assert_eq!(explainer.largest(sums.into_iter(), 3), [3, 4, 1, 6]);
        let negative = sums.map(|sum| -sum - 10);
        assert_eq!(explainer.largest(negative.into_iter(), NONE), [8, NONE, NONE, NONE]);
        assert_eq!(explainer.largest(negative.into_iter(), 2), [2, NONE, NONE, NONE]);
    }

    #[test]
    fn the_leading_entry_may_be_one_that_the_model_does_not_use() {
        let explainer = Explainer::new(&table(), 2).unwrap();
        let reasons = explainer.explain(&[0.0, 6.0, 0.0, 6.0], &[1, 2], &[3, NONE]);
        assert_eq!(reasons, [[3, 0, 1, 2], [0, 1, 2, NONE]]);
    }

    #[test]
    fn reasons_are_written_as_json() {
        let explainer = Explainer::new(&table(), 2).unwrap();
        let mut text = Vec::new();
        explainer.write(&mut text, [2, 0, NONE, NONE]);
        explainer.write(&mut text, [NONE; REASONS_MAX]);
        assert_eq!(text, br#","reasons":["C","A"]"#);
    }

    #[test]
    fn tables_that_do_not_fit_together_are_errors() {
        assert!(Explainer::new(&table(), 1).is_err());
        for broken in [
            ReasonsTable { is_used: vec![false; 4], ..table() },
            ReasonsTable { is_used: vec![true; 3], ..table() },
            ReasonsTable { values: vec![0; 4], ..table() },
            ReasonsTable { thresholds: vec![0; 4], ..table() },
            ReasonsTable { condition_counts: vec![1, 9], ..table() },
            ReasonsTable { target_counts: vec![2, 2], ..table() },
            ReasonsTable { targets: table().targets[4..8].repeat(3), ..table() },
            ReasonsTable { condition_counts: vec![0], target_counts: vec![9], ..ReasonsTable::default() },
            ReasonsTable { codes: vec![Vec::new(); 2], is_used: vec![true; 2], ..table() },
        ] {
            assert!(Explainer::new(&broken, 2).is_err());
        }
    }
}
