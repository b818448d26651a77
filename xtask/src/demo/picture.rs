//! A picture of a digit that was not used for training.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A held-out picture; its file is named `NN-is-D.png`.
pub(super) struct Picture {
    pub path: PathBuf,
    pub digit: String,
}

pub(super) fn a_picture(folder: &Path) -> Result<Picture> {
    let mut pictures: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pictures.sort();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let path = pictures
        .get(usize::try_from(now).unwrap_or_default() % pictures.len().max(1))
        .context("no held-out pictures")?
        .clone();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let digit = stem.rsplit('-').next().unwrap_or_default().to_owned();
    Ok(Picture { path, digit })
}

/// Draws the picture as 8 by 8 cells of two characters each, because a character is about twice as high as wide.
pub(super) fn show(picture: &Picture) -> Result<()> {
    let decoder = png::Decoder::new(BufReader::new(std::fs::File::open(&picture.path)?));
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("picture too large")?];
    let frame = reader.next_frame(&mut pixels)?;
    let cell = (frame.width as usize / 8).max(1);
    println!();
    for y in (cell / 2..frame.height as usize).step_by(cell) {
        let shade = |x: usize| [" ", "░", "▒", "▓", "█"][pixels[y * frame.width as usize + x] as usize * 4 / 255];
        let row: String = (cell / 2..frame.width as usize).step_by(cell).map(|x| shade(x).repeat(2)).collect();
        println!("    {row}");
    }
    Ok(())
}
