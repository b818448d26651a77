//! Pixels in memory, and the rotations that cameras record instead of applying.

use image::metadata::Orientation;

use crate::kernel;

/// A picture of eight bits for each channel, row by row.
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    /// 3 for RGB, 1 for gray.
    pub channels: usize,
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture whose pixels all have one value.
    pub(crate) fn filled(width: u32, height: u32, channels: usize, value: u8) -> Picture {
        let pixels = vec![value; width as usize * height as usize * channels];
        Picture { width, height, channels, pixels }
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.width as usize * self.channels
    }

    pub(crate) fn into_gray(self) -> Picture {
        if self.channels == 1 {
            return self;
        }
        let mut gray = Picture::filled(self.width, self.height, 1, 0);
        kernel::rgb_to_gray(&self.pixels, &mut gray.pixels);
        gray
    }

    /// Copies a smaller picture into this one, with its upper left corner at `left`, `top`.
    pub(crate) fn paste(&mut self, smaller: &Picture, left: u32, top: u32) {
        let (row, indent) = (self.row_bytes(), left as usize * self.channels);
        let below = self.pixels.chunks_exact_mut(row).skip(top as usize);
        for (line, smaller) in below.zip(smaller.pixels.chunks_exact(smaller.row_bytes())) {
            line[indent..indent + smaller.len()].copy_from_slice(smaller);
        }
    }
}

/// Brings a stored picture upright: exchanges rows and columns if required, and then mirrors it if required.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Turn {
    pub transpose: bool,
    pub mirror_x: bool,
    pub mirror_y: bool,
}

impl Turn {
    /// Width and height of the upright picture from those of the stored one, or the reverse.
    pub(crate) fn sides<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    pub(crate) fn apply(self, stored: Picture) -> Picture {
        if self == Turn::default() {
            return stored;
        }
        let (width, height) = self.sides((stored.width, stored.height));
        let mut upright = Picture::filled(width, height, stored.channels, 0);
        let source = stored.pixels.chunks_exact(stored.channels);
        for (i, pixel) in (0..).zip(source) {
            let at = (i % stored.width, i / stored.width);
            let (x, y) = self.sides(at);
            let x = if self.mirror_x { width - 1 - x } else { x };
            let y = if self.mirror_y { height - 1 - y } else { y };
            let start = (y as usize * width as usize + x as usize) * stored.channels;
            upright.pixels[start..start + stored.channels].copy_from_slice(pixel);
        }
        upright
    }
}

impl From<Orientation> for Turn {
    fn from(orientation: Orientation) -> Turn {
        let (transpose, mirror_x, mirror_y) = match orientation {
            Orientation::NoTransforms => (false, false, false),
            Orientation::FlipHorizontal => (false, true, false),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipVertical => (false, false, true),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Rotate270FlipH => (true, true, true),
            Orientation::Rotate270 => (true, false, true),
        };
        Turn { transpose, mirror_x, mirror_y }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning of tag 274 in Exif 2.32: the sides of the scene that the first row and the first column show.
    #[test]
    fn turns_as_exif_says() {
        // The scene is "AB" over "CD" over "EF", stored in each of the eight ways.
        for (exif, width, stored) in [
            (1, 2, "ABCDEF"),
            (2, 2, "BADCFE"),
            (3, 2, "FEDCBA"),
            (4, 2, "EFCDAB"),
            (5, 3, "ACEBDF"),
            (6, 3, "BDFACE"),
            (7, 3, "FDBECA"),
            (8, 3, "ECAFDB"),
        ] {
            let turn = Turn::from(Orientation::from_exif(exif).unwrap());
            let pixels = stored.as_bytes().to_vec();
            let upright = turn.apply(Picture { width, height: 6 / width, channels: 1, pixels });
            assert_eq!((upright.width, upright.height), (2, 3), "orientation {exif}");
            assert_eq!(upright.pixels, b"ABCDEF", "orientation {exif}");
        }
    }

    #[test]
    fn pastes_into_the_middle() {
        let mut canvas = Picture::filled(4, 3, 1, 9);
        canvas.paste(&Picture { width: 2, height: 1, channels: 1, pixels: vec![1, 2] }, 1, 1);
        assert_eq!(canvas.pixels, [9, 9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 9]);
    }
}
