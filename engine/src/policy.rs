//! Decides: compares a PD with the thresholds of the application's segment, unless a rule holds.

use crate::decode::Decoder;
use crate::program::Program;
use crate::reasons::NONE;
use crate::tables::PolicyTable;

/// In place of a rule's index: no rule holds.
pub const NO_RULE: i16 = -1;
const LABELS: u8 = 3;

/// The policy of one bundle.
pub struct Policy {
    thresholds: Vec<(f64, f64)>,
    segments: Option<Segments>,
    rules: Vec<Rule>,
}

struct Rule {
    condition: Program,
    label: u8,
    /// The position of its reason in the catalogue, or `NONE`.
    reason: u8,
}

struct Segments {
    field: usize,
    /// For each code the index of its thresholds; the last one is for unknown.
    thresholds: Vec<usize>,
}

/// What the fields of an application say, before its PD is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The first rule that holds, or `NO_RULE`.
    pub rule: i16,
    /// The index of the thresholds of its segment.
    thresholds: usize,
}

impl Policy {
    /// Checks the table.
    pub fn new(table: &PolicyTable, decoder: &Decoder) -> Result<Self, String> {
        if table.thresholds.is_empty() || table.rules.len() > i16::MAX as usize {
            return Err("a policy has no thresholds, or too many rules".into());
        }
        let segments = match &table.segments {
            None => None,
            Some((field, thresholds)) => {
                let fits = decoder.codes(*field).is_some_and(|codes| codes < thresholds.len());
                if !fits || thresholds.iter().any(|index| *index >= table.thresholds.len()) {
                    return Err("the segments have no such field or thresholds".into());
                }
                Some(Segments { field: *field, thresholds: thresholds.clone() })
            }
        };
        let mut rules = Vec::with_capacity(table.rules.len());
        for (steps, label, reason) in &table.rules {
            if *label >= LABELS {
                return Err("a rule has no such label".into());
            }
            rules.push(Rule { condition: Program::new(steps, decoder)?, label: *label, reason: *reason });
        }
        Ok(Self { thresholds: table.thresholds.clone(), segments, rules })
    }

    /// Finds the rule that holds, and the thresholds; None if a code has no place in them.
    pub fn find(&self, values: &[f64], stack: &mut Vec<f64>) -> Option<Matched> {
        let thresholds = match &self.segments {
            None => 0,
            Some(segments) => {
                let code = values[segments.field];
                let position = if code < 0.0 { segments.thresholds.len() - 1 } else { code as usize };
                *segments.thresholds.get(position)?
            }
        };
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.condition.run(values, stack)? == 1.0 {
                return Some(Matched { rule: index as i16, thresholds });
            }
        }
        Some(Matched { rule: NO_RULE, thresholds })
    }

    /// Returns the label.
    pub fn decide(&self, matched: Matched, probability: f32) -> u8 {
        if let Ok(rule) = usize::try_from(matched.rule) {
            return self.rules[rule].label;
        }
        let (maybe_above, declined_above) = self.thresholds[matched.thresholds];
        let exact = f64::from(probability);
        u8::from(exact > maybe_above) + u8::from(exact > declined_above)
    }
}

impl Policy {
    /// Returns the position of the reason of the rule that holds, or `NONE`.
    pub fn reason(&self, matched: Matched) -> u8 {
        usize::try_from(matched.rule).map_or(NONE, |rule| self.rules[rule].reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::decoder;
    use crate::program::tests::step;
    use crate::tables::StepTable;

    fn table() -> PolicyTable {
        PolicyTable {
            thresholds: vec![(0.25, 0.5), (0.0, 1.0)],
            segments: Some((2, vec![0, 1, 0])),
            rules: vec![
                (vec![step("field", 1, 0.0), step("constant", 0, 7.0), step(">", 0, 0.0)], 2, 6),
                (vec![step("field", 1, 0.0), step("constant", 0, 5.0), step(">", 0, 0.0)], 0, NONE),
            ],
        }
    }

    fn decide(income: f64, code: f64, probability: f32) -> (i16, u8) {
        let policy = Policy::new(&table(), &decoder()).unwrap();
        let matched = policy.find(&[0.0, income, code], &mut Vec::new()).unwrap();
        (matched.rule, policy.decide(matched, probability))
    }

    #[test]
    fn a_pd_equal_to_a_threshold_has_the_milder_label() {
        let labels = [0.0, 0.25, 0.250_000_03, 0.5, 0.500_000_06, 1.0].map(|probability| decide(0.0, 0.0, probability));
        assert_eq!(labels.map(|(_, label)| label), [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_segment_has_thresholds_of_its_own_and_unknown_has_the_general_ones() {
        assert_eq!([0.0, 1.0, -1.0].map(|code| decide(0.0, code, 0.75)), [(-1, 2), (-1, 1), (-1, 2)]);
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let unknown = decide(f64::NAN, 0.0, 0.0);
        assert_eq!([decide(8.0, 0.0, 0.0), decide(6.0, 0.0, 1.0), decide(5.0, 0.0, 0.0)], [(0, 2), (1, 0), (-1, 0)]);
        assert_eq!(unknown, (-1, 0));
        let policy = Policy::new(&table(), &decoder()).unwrap();
        let reason = |income: f64| policy.reason(policy.find(&[0.0, income, 0.0], &mut Vec::new()).unwrap());
        assert_eq!([reason(8.0), reason(6.0), reason(5.0)], [6, NONE, NONE]);
    }

    #[test]
    fn tables_that_do_not_fit_are_errors() {
        let decoder = decoder();
        let rule = |operation: &str, label: u8| vec![(vec![step(operation, 1, 0.0)], label, NONE)];
        for table in [
            PolicyTable { thresholds: vec![], ..table() },
            PolicyTable { segments: Some((1, vec![0, 0, 0])), ..table() },
            PolicyTable { segments: Some((2, vec![0])), ..table() },
            PolicyTable { segments: Some((2, vec![0, 2, 0])), ..table() },
            PolicyTable { rules: rule("field", 3), ..table() },
            PolicyTable { rules: rule("sqrt", 1), ..table() },
        ] {
            assert!(Policy::new(&table, &decoder).is_err(), "{table:?}");
        }
        let steps: Vec<StepTable> = vec![step("constant", 0, 1.0)];
        assert!(Policy::new(&PolicyTable { rules: vec![(steps, 1, NONE)], ..table() }, &decoder).is_ok());
    }
}
