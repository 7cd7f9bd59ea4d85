//! Fuzzes the engine: `make fuzz-engine`. Whatever the records' bytes and the bundle's tables are, nothing panics.
//!
//! Inputs are mutated applications of several contracts. If the build is instrumented, those that reach new code are
//! mutated further.

mod bundles;
mod coverage;
mod mutations;
mod random;
mod tables;

use std::time::Instant;

use bundles::Bundle;
use coverage::Coverage;
use mutations::mutate;
use random::Random;
use scorer_engine::encode::Frame;
use scorer_engine::without_panic;
use tables::open_damaged;

/// Inputs of each bundle that are kept to be mutated.
const CORPUS_MAX: usize = 4_096;
/// Valid applications that are mutated first, more often than others.
const SEEDS: usize = 64;
/// Of these so many are also cut at each byte.
const CUT: usize = 8;
/// One of so many executions has a batch of several values.
const SINGLE: usize = 64;
const BATCH_MAX: usize = 20;
/// One of so many executions has a damaged table, which is checked when a bundle is opened.
const TABLES: usize = 256;
/// One of so many executions is looked at for new code, which takes as long as two executions.
const GUIDED: usize = 4;
/// Executions between two lines of progress.
const PROGRESS: u64 = 1_000_000;

struct Target {
    bundle: Bundle,
    corpus: Vec<Vec<u8>>,
}

impl Target {
    /// Keeps inputs, in the place of others if there are too many; never of the first applications.
    fn keep(&mut self, values: Vec<Vec<u8>>, random: &mut Random) {
        for value in values {
            if self.corpus.len() < CORPUS_MAX {
                self.corpus.push(value);
            } else {
                self.corpus[SEEDS + random.below(CORPUS_MAX - SEEDS)] = value;
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("EXECUTIONS [SEED]"));
    let executions = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or(1);
    let mut random = Random::new(seed);
    let mut targets: Vec<Target> = Bundle::all(&mut random)
        .into_iter()
        .map(|bundle| {
            let corpus = (0..SEEDS).map(|_| bundle.write_application(&mut random)).collect();
            Target { bundle, corpus }
        })
        .collect();
    let mut coverage = Coverage::new();
    let mut runs = Runs::default();
    for target in &targets {
        cut_each(target, &mut runs);
    }
    let started_at = Instant::now();
    println!("seed {seed}; {} places in the code are counted", coverage.places());
    while runs.executions < executions {
        let number = random.below(targets.len());
        let target = &mut targets[number];
        if random.chance(TABLES) {
            runs.open(&mut random, &target.bundle);
            continue;
        }
        let count = if random.chance(SINGLE) { 1 + random.below(BATCH_MAX) } else { 1 };
        let values: Vec<Vec<u8>> = (0..count).map(|_| mutate(&mut random, &target.corpus, SEEDS)).collect();
        let is_guided = random.chance(GUIDED);
        if is_guided {
            coverage.start();
        }
        runs.score(&target.bundle, &values);
        if is_guided && coverage.has_new() {
            target.keep(values, &mut random);
        }
        if runs.executions.is_multiple_of(PROGRESS) {
            report(&runs, &targets, &coverage, started_at);
        }
    }
    report(&runs, &targets, &coverage, started_at);
}

fn report(runs: &Runs, targets: &[Target], coverage: &Coverage, started_at: Instant) {
    println!(
        "{} executions in {:.0} s: {} values accepted, {} others, {} tables opened, {} rejected; {} places reached, {} inputs kept",
        runs.executions,
        started_at.elapsed().as_secs_f64(),
        runs.accepted,
        runs.left,
        runs.opened,
        runs.rejected,
        coverage.reached(),
        targets.iter().map(|target| target.corpus.len()).sum::<usize>(),
    );
}

/// Scores the first applications, cut at each byte.
fn cut_each(target: &Target, runs: &mut Runs) {
    for value in &target.corpus[..CUT] {
        for end in 0..=value.len() {
            runs.score(&target.bundle, &[value[..end].to_vec()]);
        }
    }
}

/// What was executed.
#[derive(Default)]
struct Runs {
    executions: u64,
    accepted: u64,
    left: u64,
    opened: u64,
    rejected: u64,
}

impl Runs {
    /// Scores a batch. A value has the same decision alone.
    fn score(&mut self, bundle: &Bundle, values: &[Vec<u8>]) {
        self.executions += 1;
        let Ok(decisions) = without_panic(|| score(bundle, values)) else {
            println!("A FINDING: the engine panics on this batch of {}:", bundle.name);
            values.iter().for_each(|value| println!("  b\"{}\"", value.escape_ascii()));
            std::process::exit(1);
        };
        self.accepted += decisions.len() as u64;
        self.left += (values.len() - decisions.len()) as u64;
        if values.len() > 1 {
            for (position, decision) in decisions {
                let alone = score(bundle, &values[position..=position]);
                assert_eq!(alone.len(), 1, "{:?}", values[position].escape_ascii().to_string());
                let is_same =
                    alone[0].1.strip_prefix(b"<0") == decision.strip_prefix(format!("<{position}").as_bytes());
                assert!(is_same, "{:?}", values[position].escape_ascii().to_string());
            }
        }
    }

    /// Opens damaged tables.
    fn open(&mut self, random: &mut Random, bundle: &Bundle) {
        self.executions += 1;
        match open_damaged(random, bundle) {
            Ok(true) => self.opened += 1,
            Ok(false) => self.rejected += 1,
            Err(table) => {
                println!("A FINDING: the engine panics on this table of {}: {table}", bundle.name);
                std::process::exit(1);
            }
        }
    }
}

/// Decodes, predicts, decides, explains and encodes: the decisions with their positions in the batch.
fn score(bundle: &Bundle, values: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
    let slices: Vec<Option<&[u8]>> = values.iter().map(|value| Some(&value[..])).collect();
    let decoded = bundle.engine.decode(&slices);
    assert_eq!(decoded.matrix.len(), decoded.positions.len() * bundle.width);
    assert!(decoded.matrix.iter().all(|number| !number.is_infinite()));
    let probabilities = bundle.engine.predict(&decoded).expect("the trees give probabilities");
    let labels = bundle.engine.decide(&decoded, &probabilities);
    let reasons = bundle.engine.explain(&decoded, &labels);
    assert_eq!(reasons.len(), labels.len());
    let partitions = vec![0; values.len()];
    let offsets: Vec<i64> = (0..values.len() as i64).collect();
    let frames = [Frame { partition: 0, start: b"<".to_vec(), to_offset: b">".to_vec() }];
    let decisions = bundle
        .engine
        .encode(
            &decoded,
            (&labels, &probabilities),
            (&partitions, &offsets),
            &frames,
            bundle.engine.write_reasons(&reasons),
        )
        .expect("the arguments fit together");
    let mut start = 0;
    let text = |(position, end): (&usize, &usize)| {
        let text = decisions.text[start..*end].to_vec();
        start = *end;
        // The second offset depends on the position.
        let length = text.iter().rposition(|byte| *byte == b'>').expect("the frame's text");
        (*position, text[..length].to_vec())
    };
    decoded.positions.iter().zip(&decisions.ends).map(text).collect()
}
