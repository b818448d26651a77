//! Bounds of everything that comes from outside.

const MIB: u64 = 1 << 20;

/// Bounds of everything that comes from outside. What passes one of them is refused as soon as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of an archive as it travels.
    pub archive_bytes: u64,
    /// Of an archive when unpacked, its headers and padding included, and of all files of a folder together.
    pub unpacked_bytes: u64,
    /// How many files and folders there may be.
    pub files: usize,
    pub file_bytes: u64,
    /// Parts of a path: `assets/labels.txt` has two.
    pub depth: usize,
    pub path_bytes: usize,
    pub signature_bytes: u64,
}

impl Default for Bounds {
    /// Room for the models that one machine serves from memory: archives are held in it, so these are also what an
    /// upload may cost. The signature's bound is what a signature over as many files of the longest names needs.
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
