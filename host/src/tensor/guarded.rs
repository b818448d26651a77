//! Shared bytes that count against a bound until the last clone or slice of them is dropped.

/// The owner of shared bytes, with a guard that is dropped together with the last slice of them.
pub struct Guarded<B, G> {
    pub bytes: B,
    pub _guard: G,
}

impl<B: AsRef<[u8]>, G> AsRef<[u8]> for Guarded<B, G> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}
