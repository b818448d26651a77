//! Bytes that count against a bound for as long as anyone holds them.

/// The owner of shared bytes, with a guard that is dropped when the last slice of them is.
pub struct Guarded<B, G> {
    pub bytes: B,
    pub _guard: G,
}

impl<B: AsRef<[u8]>, G> AsRef<[u8]> for Guarded<B, G> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}
