//! Decides: compares a PD with the thresholds of the application's segment, unless a rule holds.

use std::collections::BTreeSet;

use crate::decode::Decoder;
use crate::program::Program;
use crate::reasons::NONE;
use crate::tables::PolicyTable;

/// In place of a rule's index: no rule holds.
pub const NO_RULE: i16 = -1;
const LABELS: u8 = 3;
/// Applications on which a rule is evaluated at once, by column: that takes much less time than one by one. With more of
/// them, small batches take longer, and rules are evaluated more often although others have decided.
const LANES: usize = 32;

/// The policy of one bundle.
pub struct Policy {
    thresholds: Vec<(f64, f64)>,
    segments: Option<Segments>,
    rules: Vec<Rule>,
    /// The fields that conditions read, in order.
    fields: Vec<usize>,
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

/// Applications on which the rules are not evaluated yet: the last ones that were added.
pub struct Pending {
    /// For each field the values of these applications; those of fields that no condition reads are 0.
    values: Vec<[f64; LANES]>,
    count: usize,
    stack: Vec<[f64; LANES]>,
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
        let fields: BTreeSet<usize> = rules.iter().flat_map(|rule| rule.condition.fields()).collect();
        Ok(Self { thresholds: table.thresholds.clone(), segments, rules, fields: fields.into_iter().collect() })
    }

    /// No application yet.
    pub fn pending(&self) -> Pending {
        let fields = self.fields.last().map_or(0, |last| last + 1);
        Pending { values: vec![[0.0; LANES]; fields], count: 0, stack: Vec::new() }
    }

    /// Adds an application; None, and nothing is added, if a code has no place in the thresholds.
    ///
    /// `matched` gets its thresholds, and from time to time the rules of those that were added. After the last one,
    /// `apply_rules` completes it.
    pub fn add(&self, values: &[f64], pending: &mut Pending, matched: &mut Vec<Matched>) -> Option<()> {
        let thresholds = match &self.segments {
            None => 0,
            Some(segments) => {
                let code = values[segments.field];
                let position = if code < 0.0 { segments.thresholds.len() - 1 } else { code as usize };
                *segments.thresholds.get(position)?
            }
        };
        matched.push(Matched { rule: NO_RULE, thresholds });
        for field in &self.fields {
            pending.values[*field][pending.count] = values[*field];
        }
        pending.count += 1;
        if pending.count == LANES {
            self.apply_rules(pending, matched);
        }
        Some(())
    }

    /// Finds for each pending application the first rule that holds.
    pub fn apply_rules(&self, pending: &mut Pending, matched: &mut [Matched]) {
        let start = matched.len() - pending.count;
        let matched = &mut matched[start..];
        let mut undecided = pending.count;
        for (index, rule) in self.rules.iter().enumerate() {
            if undecided == 0 {
                break;
            }
            let results = rule.condition.run(&pending.values, &mut pending.stack);
            if !results.iter().fold(false, |holds, result| holds | (*result == 1.0)) {
                continue; // most rules hold for few applications
            }
            for (matched, result) in matched.iter_mut().zip(results) {
                if *result == 1.0 && matched.rule == NO_RULE {
                    matched.rule = index as i16;
                    undecided -= 1;
                }
            }
        }
        pending.count = 0;
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
    /// Whether the reasons of rules are among so many entries of a catalogue.
    pub fn has_reasons_below(&self, entries: usize) -> bool {
        self.rules.iter().all(|rule| rule.reason == NONE || usize::from(rule.reason) < entries)
    }

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
        let matched = find(&policy, &[[0.0, income, code]])[0];
        (matched.rule, policy.decide(matched, probability))
    }

    fn find(policy: &Policy, applications: &[[f64; 3]]) -> Vec<Matched> {
        let (mut pending, mut matched) = (policy.pending(), Vec::new());
        for values in applications {
            policy.add(values, &mut pending, &mut matched).unwrap();
        }
        policy.apply_rules(&mut pending, &mut matched);
        matched
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
        let reason = |income: f64| policy.reason(find(&policy, &[[0.0, income, 0.0]])[0]);
        assert_eq!([reason(8.0), reason(6.0), reason(5.0)], [6, NONE, NONE]);
    }

    #[test]
    fn an_application_does_not_depend_on_the_others() {
        let policy = Policy::new(&table(), &decoder()).unwrap();
        let incomes = [8.0, 6.0, 5.0, f64::NAN, 7.0, f64::INFINITY, -0.0];
        for count in [0, 1, LANES - 1, LANES, LANES + 1, 2 * LANES, 5 * LANES + 3] {
            let applications: Vec<_> = (0..count).map(|n| [0.0, incomes[n % 7], (n % 3) as f64 - 1.0]).collect();
            let together = find(&policy, &applications);
            assert_eq!(together.len(), count);
            for (values, matched) in applications.into_iter().zip(together) {
                assert_eq!(find(&policy, &[values]), [matched]);
            }
        }
    }

    #[test]
    fn an_application_whose_code_has_no_thresholds_is_not_added() {
        let policy = Policy::new(&table(), &decoder()).unwrap();
        let (mut pending, mut matched) = (policy.pending(), Vec::new());
        assert!(policy.add(&[0.0, 8.0, 9.0], &mut pending, &mut matched).is_none());
        policy.add(&[0.0, 6.0, 1.0], &mut pending, &mut matched).unwrap();
        policy.apply_rules(&mut pending, &mut matched);
        assert_eq!(matched, [Matched { rule: 1, thresholds: 1 }]);
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
