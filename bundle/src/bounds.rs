//! Bounds on bundles that come from outside.

const MIB: u64 = 1 << 20;

/// Bounds on bundles that come from outside. Input that exceeds one of them is refused as soon as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of an archive as it is transferred.
    pub archive_bytes: u64,
    /// Bytes of an unpacked archive, its headers and padding included; also of all files of a folder together.
    pub unpacked_bytes: u64,
    /// Number of files and folders.
    pub files: usize,
    pub file_bytes: u64,
    /// Number of parts of a path: `assets/labels.txt` has two.
    pub depth: usize,
    pub path_bytes: usize,
    pub signature_bytes: u64,
}

impl Default for Bounds {
    /// The sizes suffice for models that one machine serves from memory. Archives are held in memory, so these bounds also
    /// limit the memory of an upload. The bound on the signature suffices for the largest number of files with the longest
    /// paths.
    fn default() -> Bounds {
        Bounds {
            archive_bytes: 512 * MIB,
            unpacked_bytes: 1024 * MIB,
            files: 10_000,
            file_bytes: 1024 * MIB,
            depth: 16,
            path_bytes: 255,
            signature_bytes: 8 * MIB,
        }
    }
}
