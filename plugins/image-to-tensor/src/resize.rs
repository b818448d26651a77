//! Resizes pictures to the size of the tensor. A picture of that size is not copied or changed.

use bulkhead_guest::Failure;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use crate::config::{Filter, Fitting};
use crate::picture::{Picture, Turn};

/// The size that every picture is brought to, and the method.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub width: u32,
    pub height: u32,
    pub fitting: Fitting,
    pub filter: Filter,
    pub pad: u8,
}

/// The part of a picture that is kept, and the size that it is scaled to.
struct Plan {
    area: Area,
    sides: (u32, u32),
}

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Target {
    /// The stored picture, upright and in the size of the tensor.
    pub(crate) fn bring(&self, stored: Picture, turn: Turn, resizer: &mut Resizer) -> Result<Picture, Failure> {
        let sides = turn.sides((stored.width, stored.height));
        let plan = self.plan(sides);
        // Turning costs more for each pixel than resizing, so it comes last, when there are fewest pixels.
        let area = plan.area.before(turn, sides);
        let resized = self.resize(stored, area, turn.sides(plan.sides), resizer)?;
        Ok(self.pad(turn.apply(resized)))
    }

    fn plan(&self, (width, height): (u32, u32)) -> Plan {
        let wanted = (self.width, self.height);
        match self.fitting {
            Fitting::Stretch => Plan { area: Area::whole(width, height), sides: wanted },
            Fitting::Crop => Plan { area: Area::middle((width, height), wanted), sides: wanted },
            Fitting::Fit => Plan { area: Area::whole(width, height), sides: inside((width, height), wanted) },
        }
    }

    fn resize(
        &self,
        picture: Picture,
        area: Area,
        (width, height): (u32, u32),
        resizer: &mut Resizer,
    ) -> Result<Picture, Failure> {
        let fits = (picture.width, picture.height) == (width, height);
        if fits && area == Area::whole(width, height) {
            return Ok(picture);
        }
        let options = ResizeOptions::new()
            .resize_alg(algorithm(self.filter))
            .crop(area.left, area.top, area.width, area.height)
            .use_alpha(false);
        let mut resized = Picture::filled(width, height, picture.channels, 0);
        let done = match picture.channels {
            1 => resample::<U8>(&picture, &mut resized, resizer, &options),
            _ => resample::<U8x3>(&picture, &mut resized, resizer, &options),
        };
        done.map(|()| resized).map_err(|error| Failure::internal(format!("a picture cannot be resized: {error}")))
    }

    fn pad(&self, picture: Picture) -> Picture {
        if (picture.width, picture.height) == (self.width, self.height) {
            return picture;
        }
        let mut padded = Picture::filled(self.width, self.height, picture.channels, self.pad);
        padded.paste(&picture, (self.width - picture.width) / 2, (self.height - picture.height) / 2);
        padded
    }
}

impl Area {
    fn whole(width: u32, height: u32) -> Area {
        Area { left: 0.0, top: 0.0, width: f64::from(width), height: f64::from(height) }
    }

    /// The largest centred part with the proportions of `wanted`. It starts at a whole pixel of the result, so that a
    /// picture that is too long in one direction only is cut and not resampled.
    fn middle((width, height): (u32, u32), wanted: (u32, u32)) -> Area {
        let (w, h) = (f64::from(width), f64::from(height));
        let (wanted_w, wanted_h) = (f64::from(wanted.0), f64::from(wanted.1));
        let scale = (wanted_w / w).max(wanted_h / h);
        let (left, width) = middle(w, wanted_w, scale);
        let (top, height) = middle(h, wanted_h, scale);
        Area { left, top, width, height }
    }

    /// The same part in the picture before `turn`; `width` and `height` are those after it.
    fn before(self, turn: Turn, (width, height): (u32, u32)) -> Area {
        let left = if turn.mirror_x { f64::from(width) - self.left - self.width } else { self.left };
        let top = if turn.mirror_y { f64::from(height) - self.top - self.height } else { self.top };
        let ((left, top), (width, height)) = (turn.sides((left, top)), turn.sides((self.width, self.height)));
        Area { left, top, width, height }
    }
}

/// Start and length of the centred part of a side that becomes `wanted` after scaling.
fn middle(side: f64, wanted: f64, scale: f64) -> (f64, f64) {
    let length = exact(wanted / scale).min(side);
    let start = ((side * scale - wanted) / 2.0).round() / scale;
    (exact(start).clamp(0.0, side - length), length)
}

/// Rounds to a millionth of a pixel: sums and differences of such numbers are exact, so rounding never leads outside of the
/// picture.
fn exact(pixels: f64) -> f64 {
    const PARTS: f64 = 1048576.0;
    (pixels * PARTS).round() / PARTS
}

/// The largest size within `wanted` that has the proportions of the picture.
fn inside((width, height): (u32, u32), wanted: (u32, u32)) -> (u32, u32) {
    let (w, h) = (f64::from(width), f64::from(height));
    let scale = (f64::from(wanted.0) / w).min(f64::from(wanted.1) / h);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates, and is clamped"
    )]
    let scaled = |side: f64, most: u32| ((side * scale).round() as u32).clamp(1, most);
    (scaled(w, wanted.0), scaled(h, wanted.1))
}

fn algorithm(filter: Filter) -> ResizeAlg {
    match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Box => ResizeAlg::Convolution(FilterType::Box),
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::CatmullRom => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
    }
}

/// Generic over the pixel type, so that the component contains the code of two pixel types instead of thirteen.
fn resample<P: PixelTrait>(
    from: &Picture,
    to: &mut Picture,
    resizer: &mut Resizer,
    options: &ResizeOptions,
) -> Result<(), Box<dyn std::error::Error>> {
    let from = TypedImageRef::<P>::from_buffer(from.width, from.height, &from.pixels)?;
    let mut to = TypedImage::<P>::from_buffer(to.width, to.height, &mut to.pixels)?;
    Ok(resizer.resize_typed(&from, &mut to, options)?)
}

#[cfg(test)]
mod tests;
