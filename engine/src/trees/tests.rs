//! Trees that are drawn, compared with a plain reading of them.

use super::*;

/// Miri interprets the code, so it runs fewer trees.
const SLOW: bool = cfg!(miri);

/// Numbers that look like chance.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn number(&mut self) -> f32 {
        [f32::NAN, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, -1e-45, 3e38, -3e38, 2.5][self.next(11)]
    }
}

/// One tree as XGBoost has it.
#[derive(Default)]
struct Plain {
    left: Vec<i32>,
    right: Vec<i32>,
    column: Vec<i32>,
    value: Vec<f32>,
    default_left: Vec<u8>,
}

impl Plain {
    fn draw(random: &mut Random, depth: usize, columns: usize) -> Self {
        let mut tree = Self::default();
        tree.grow(random, depth, columns);
        tree
    }

    fn grow(&mut self, random: &mut Random, depth: usize, columns: usize) -> i32 {
        let at = self.left.len();
        self.left.push(-1);
        self.right.push(-1);
        self.column.push(random.next(columns) as i32);
        self.value.push(random.next(1000) as f32 / 7.0 - 50.0);
        self.default_left.push(random.next(2) as u8);
        if depth > 0 && random.next(8) > 0 {
            self.value[at] = random.number().max(-3e38);
            self.left[at] = self.grow(random, depth - 1, columns);
            self.right[at] = self.grow(random, depth - 1, columns);
        }
        at as i32
    }

    fn leaf(&self, row: &[f32]) -> f32 {
        let mut at = 0;
        while self.left[at] >= 0 {
            let number = row[self.column[at] as usize];
            let is_left = if number.is_nan() { self.default_left[at] != 0 } else { number < self.value[at] };
            at = if is_left { self.left[at] } else { self.right[at] } as usize;
        }
        self.value[at]
    }
}

fn table(trees: &[Plain]) -> TreesTable {
    let integers = |of: fn(&Plain) -> &Vec<i32>| trees.iter().flat_map(of).flat_map(|i| i.to_ne_bytes()).collect();
    TreesTable {
        sizes: trees.iter().map(|tree| tree.left.len()).collect(),
        left: integers(|tree| &tree.left),
        right: integers(|tree| &tree.right),
        column: integers(|tree| &tree.column),
        value: trees.iter().flat_map(|tree| &tree.value).flat_map(|number| number.to_ne_bytes()).collect(),
        default_left: trees.iter().flat_map(|tree| tree.default_left.clone()).collect(),
        base_score: 0.3,
    }
}

#[test]
fn trees_of_any_depth_give_the_sum_of_their_leaves_in_order() {
    let mut random = Random(1);
    for depth in if SLOW { 5..9 } else { 0..12 } {
        let columns = 1 + random.next(9);
        let trees: Vec<Plain> = (0..20).map(|_| Plain::draw(&mut random, depth, columns)).collect();
        let forest = Forest::new(&table(&trees), columns).unwrap();
        for rows in if SLOW { &[17][..] } else { &[0, 1, 15, 16, 17, 600] } {
            let rows = *rows;
            let matrix: Vec<f32> = (0..rows * columns).map(|_| random.number()).collect();
            let expected: Vec<f32> = matrix
                .chunks(columns)
                .map(|row| sigmoid(trees.iter().fold(forest.base_margin, |sum, tree| sum + tree.leaf(row))))
                .collect();
            assert_eq!(forest.predict(&matrix), expected, "depth {depth}, {rows} rows");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_processor() {
    let mut random = Random(2);
    let count = if SLOW { 20 } else { 300 };
    let trees: Vec<Plain> = (0..count).map(|number| Plain::draw(&mut random, number % 9, 6)).collect();
    let forest = Forest::new(&table(&trees), 6).unwrap();
    let matrix: Vec<f32> = (0..64 * 6).map(|_| random.number()).collect();
    let mut blocks = Vec::new();
    forest.transpose(&matrix, &mut blocks);
    let (mut first, mut second) = (vec![[0.0; LANES]; 4], vec![[0.0; LANES]; 4]);
    forest.add_leaves(&blocks, &mut first);
    forest.add_leaves_anywhere(&blocks, &mut second);
    assert_eq!(first, second);
}

#[test]
fn a_margin_that_is_not_a_number_has_no_probability() {
    assert!(sigmoid(f32::NAN).is_nan());
    assert_eq!((sigmoid(0.0), sigmoid(200.0)), (0.5, 1.0));
    assert!(sigmoid(-200.0) > 0.0);
}

fn leaf() -> Plain {
    Plain { left: vec![-1], right: vec![-1], column: vec![0], value: vec![0.5], default_left: vec![0] }
}

#[test]
fn a_base_score_is_a_millionth_away_from_0_and_1() {
    // XGBoost 3.2 limits it when it makes a margin of it. Once the engine did not, so such a model was not its own.
    let margin = |base_score| Forest::new(&TreesTable { base_score, ..table(&[leaf()]) }, 1).unwrap().base_margin;
    assert_eq!([1e-38, 9e-7, 1e-6].map(margin), [-13.81551; 3]);
    assert_eq!([0.999_999, 0.999_999_9, 0.999_999_94].map(margin), [13.74516; 3]);
    assert_eq!([1.1e-6, 0.5].map(margin), [-13.7202, 0.0]);
}

#[test]
fn trees_that_do_not_end_are_errors() {
    let node = |left: i32, right: i32| Plain {
        left: vec![left, -1, -1],
        right: vec![right, -1, -1],
        column: vec![0; 3],
        value: vec![0.5; 3],
        default_left: vec![0; 3],
    };
    assert!(Forest::new(&table(&[leaf(), node(1, 2)]), 1).is_ok());
    for children in [(0, 1), (1, 3), (1, -1), (0, 0)] {
        assert!(Forest::new(&table(&[node(children.0, children.1)]), 1).is_err(), "{children:?}");
    }
    assert!(Forest::new(&table(&[Plain { value: vec![f32::INFINITY], ..leaf() }]), 1).is_err());
    assert!(Forest::new(&table(&[Plain { column: vec![1; 3], ..node(1, 2) }]), 1).is_err());
    assert!(Forest::new(&TreesTable { base_score: 1.0, ..table(&[leaf()]) }, 1).is_err());
    assert!(Forest::new(&TreesTable { sizes: vec![2], ..table(&[leaf()]) }, 1).is_err());
    assert!(Forest::new(&table(&[leaf()]), 0).is_err());
}
