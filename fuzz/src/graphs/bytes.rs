//! The bytes that a random graph is made from. When they have run out, every choice is the first one.

pub(super) struct Bytes {
    rest: std::vec::IntoIter<u8>,
}

/// Bytes of a seed: enough for every choice of the largest graph.
const LENGTH: usize = 512;

impl Bytes {
    /// The bytes of a numbered seed, by SplitMix64, so that a number alone names a graph.
    pub(super) fn of_seed(seed: u64) -> Bytes {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(LENGTH);
        while bytes.len() < LENGTH {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend((word ^ (word >> 31)).to_le_bytes());
        }
        Bytes { rest: bytes.into_iter() }
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.rest.next().unwrap_or(0)) % bound.max(1)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True in one of so many cases.
    pub(super) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == cases - 1
    }
}
