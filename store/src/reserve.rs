//! The reserve: a file that keeps room on the disk for changes that take rights away, so that a key can be revoked when the
//! disk is full. It is given up in steps, so that other writers can take no more than the rest of a step.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const FILE: &str = "reserve";
const BYTES: u64 = 4 << 20;
/// More than a change of a few documents needs: its pages in the database and in the write-ahead log.
const STEP: u64 = 512 << 10;
const BLOCK: usize = 64 << 10;

pub(crate) struct Reserve {
    path: PathBuf,
    length: u64,
}

impl Reserve {
    /// The reserve of a data folder, made as large as the disk allows. A reserve that cannot be made
    /// is treated as an empty one.
    pub(crate) fn open(folder: &Path) -> Reserve {
        let path = folder.join(FILE);
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut reserve = Reserve { path, length };
        reserve.refill();
        reserve
    }

    /// Frees one step of the room. Returns false if nothing is left.
    pub(crate) fn give(&mut self) -> bool {
        let less = self.length.saturating_sub(STEP);
        let shrink = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(less)?;
            // Some file systems free the room only when this is on the disk.
            file.sync_all()
        };
        let given = self.length > 0 && shrink().is_ok();
        if given {
            self.length = less;
        }
        given
    }

    /// Takes room again, until the reserve is whole or the disk is full.
    pub(crate) fn refill(&mut self) {
        if self.length < BYTES {
            // A failure leaves a smaller reserve, which is tried again after the next change.
            let _ = self.grow();
        }
    }

    /// Appends random bytes, because a file system may store zeros without using room for them.
    fn grow(&mut self) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.length = file.metadata()?.len();
        let mut block = vec![0; BLOCK];
        while self.length < BYTES {
            getrandom::fill(&mut block).map_err(io::Error::other)?;
            let wanted = block.len().min(usize::try_from(BYTES - self.length).unwrap_or(usize::MAX));
            let written = file.write(&block[..wanted])?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.length += written as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_given_up_in_steps_and_made_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let on_disk = || fs::metadata(folder.path().join(FILE)).unwrap().len();
        let mut reserve = Reserve::open(folder.path());
        assert_eq!(on_disk(), BYTES);
        for given in 1..=BYTES / STEP {
            assert!(reserve.give());
            assert_eq!(on_disk(), BYTES - given * STEP);
        }
        assert!(!reserve.give());
        reserve.refill();
        assert_eq!(on_disk(), BYTES);
        assert!(reserve.give());
        assert_eq!(Reserve::open(folder.path()).length, BYTES, "a start makes it whole");
    }

    #[test]
    fn without_a_reserve_there_is_nothing_to_give() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut reserve = Reserve::open(&folder.path().join("missing"));
        assert!(!reserve.give());
        reserve.refill();
        assert!(!reserve.give());
    }
}
