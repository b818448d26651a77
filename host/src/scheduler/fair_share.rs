//! Fair share of a bounded resource: a holder may have three times what is free (the dynamic-threshold rule of switch
//! buffers). No share has to be configured, and something is always left for the next holder.

/// Most that one holder may have while `free` units are free. A holder that is alone gets three quarters of the resource;
/// the more holders have as much, the less each of them may have.
pub(crate) fn of_free(free: usize) -> usize {
    free.saturating_mul(3)
}
