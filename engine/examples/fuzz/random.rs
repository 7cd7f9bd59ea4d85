//! Numbers that look like chance, the same ones for the same seed.

/// A generator (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below this number; 0 if it is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    pub fn chance(&mut self, one_of: usize) -> bool {
        self.below(one_of) == 0
    }

    pub fn choice<'a, T: ?Sized>(&mut self, values: &[&'a T]) -> &'a T {
        values[self.below(values.len())]
    }

    /// A number of a matrix, which is finite or NaN.
    pub fn number(&mut self) -> f32 {
        const NUMBERS: [f32; 11] = [f32::NAN, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, -1e-45, f32::MAX, f32::MIN, 2.5];
        NUMBERS[self.below(NUMBERS.len())]
    }
}
