//! Hashes of records with several fields.

use bulkhead_digest::{Digest, DigestBuilder};

/// The hash of a record: SHA-256 over the domain and then each field, each preceded by its length in 8 bytes, big-endian.
/// With the lengths and the domain, no two records and no two kinds of record have the same encoding. `docs/state.md`
/// documents the encoding, so that other programs can verify an audit log.
pub(crate) fn record_hash(domain: &str, fields: &[&[u8]]) -> Digest {
    let mut builder = DigestBuilder::default();
    for field in std::iter::once(&domain.as_bytes()).chain(fields) {
        builder.update((field.len() as u64).to_be_bytes());
        builder.update(field);
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_hash() {
        let hashes = [
            record_hash("a", &[b"bc", b"d"]),
            record_hash("a", &[b"b", b"cd"]),
            record_hash("a", &[b"bcd"]),
            record_hash("ab", &[b"c", b"d"]),
            record_hash("a", &[b"bc", b"d", b""]),
        ];
        for (i, one) in hashes.iter().enumerate() {
            assert!(hashes[..i].iter().all(|other| other != one), "{i}");
        }
    }
}
