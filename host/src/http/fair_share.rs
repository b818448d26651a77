//! What one party may hold of something that there is a bounded number of, and that everybody needs.

/// Three times what is free then: a party alone has three quarters of all, and the more hold as much, the less each of them
/// may. So there is always something left for whoever comes next.
pub fn of_free(free: usize) -> usize {
    free.saturating_mul(3)
}
