//! Turns pictures into the tensor that a network wants: decodes PNG and JPEG or takes raw frames, brings them to one
//! size, and normalises, all by the keys of [`Config`].

pub mod config;
mod decode;
pub mod kernel;
mod picture;
mod resize;

use bulkhead_guest::prelude::*;
use fast_image_resize::Resizer;

pub use config::Config;
use config::{Channels, Input, Layout, Numbers};
use kernel::{Affine, Convert, Raw};
use picture::{Picture, Turn};
use resize::Target;

/// The name of the input.
const IMAGE: &str = "image";

pub struct ImageToTensor {
    config: Config,
    target: Target,
    normalisation: [Affine; 3],
}

impl Plugin for ImageToTensor {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        let normalisation = config.check()?;
        let Config { width, height, resize, filter, pad, .. } = config;
        let target = Target { width, height, fitting: resize, filter, pad: pad.unwrap_or(0) };
        Ok(ImageToTensor { config, target, normalisation })
    }

    fn signature(&self) -> Signature {
        let signature = match self.config.input {
            Input::Encoded => Signature::new().input(IMAGE, Datatype::Bytes, [-1]),
            Input::Pixels => Signature::new().input(IMAGE, Datatype::Uint8, [-1; 4]),
        };
        let datatype = match self.config.datatype {
            Numbers::Fp32 => Datatype::Fp32,
            Numbers::Uint8 => Datatype::Uint8,
        };
        signature.output(&self.config.output, datatype, self.shape(-1))
    }

    fn process(&self, inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let image = inputs.get(IMAGE)?;
        let tensor = match self.config.datatype {
            Numbers::Fp32 => self.convert(image, self.normalisation),
            Numbers::Uint8 => self.convert(image, [Raw; 3]),
        }?;
        Ok(Outputs::new().with(&self.config.output, tensor))
    }
}

impl ImageToTensor {
    fn convert<C: Convert>(&self, image: &Tensor, convert: [C; 3]) -> Result<Tensor, Failure> {
        match self.config.input {
            Input::Encoded => {
                let files = read_files(image)?;
                self.fill(files.len(), convert, |i| self.decode(&files[i], i, files.len()))
            }
            Input::Pixels => {
                let (count, width, height, channels) = self.check_frames(image.shape())?;
                let size = u64::from(width) * u64::from(height) * channels as u64;
                self.fill(count, convert, |i| {
                    // One at a time: each takes the place of the last in memory.
                    let pixels = image.raw(i as u64 * size..(i as u64 + 1) * size)?;
                    Ok((Picture { width, height, channels, pixels }, Turn::default()))
                })
            }
        }
    }

    /// Writes each of the pictures to its place in the tensor.
    fn fill<C: Convert>(
        &self,
        count: usize,
        convert: [C; 3],
        picture: impl Fn(usize) -> Result<(Picture, Turn), Failure>,
    ) -> Result<Tensor, Failure> {
        let size = self.config.width as usize * self.config.height as usize * self.config.channels.count();
        let fits = |numbers: &usize| *numbers <= isize::MAX as usize / size_of::<C::Number>();
        let numbers = size.checked_mul(count).filter(fits).ok_or_else(|| self.too_many(count))?;
        let mut tensor = vec![C::Number::default(); numbers];
        let mut resizer = Resizer::new();
        for (i, numbers) in tensor.chunks_exact_mut(size).enumerate() {
            let (stored, turn) = picture(i)?;
            // Gray first: resizing one channel is cheaper than resizing three.
            let stored = if self.config.channels == Channels::Gray { stored.into_gray() } else { stored };
            self.write(&self.target.bring(stored, turn, &mut resizer)?, convert, numbers);
        }
        let shape = self.shape(count as i64).map(|side| side as u64);
        Ok(Tensor::new(&shape, &tensor)?)
    }

    fn decode(&self, file: &[u8], i: usize, count: usize) -> Result<(Picture, Turn), Failure> {
        let wrong = |text| Failure::invalid_input(format!("\"{IMAGE}\": picture {} of {count} {text}", i + 1));
        decode::decode(file, self.config.max_pixels).map_err(wrong)
    }

    /// How many frames there are, and the width, height and channels of each.
    fn check_frames(&self, shape: &[u64]) -> Result<(usize, u32, u32, usize), Failure> {
        let wrong = |text: String| Err(Failure::invalid_input(format!("\"{IMAGE}\" has shape {shape:?}: {text}")));
        let &[count, height, width, channels @ (1 | 3)] = shape else {
            return wrong("wanted are frames [pictures, height, width, 3 for RGB or 1 for gray]".into());
        };
        let most = self.config.max_pixels;
        if height == 0 || width == 0 || height.saturating_mul(width) > most {
            return wrong(format!("each frame must have 1 to {most} pixels"));
        }
        // A product within bounds has factors within bounds.
        Ok((count as usize, width as u32, height as u32, channels as usize))
    }

    fn write<C: Convert>(&self, picture: &Picture, convert: [C; 3], numbers: &mut [C::Number]) {
        let pixels = &picture.pixels;
        match (picture.channels, self.config.layout, self.config.channels) {
            (1, _, Channels::Gray) => kernel::to_plane(pixels, convert[0], numbers),
            (1, Layout::Nchw, _) => {
                for (convert, plane) in convert.into_iter().zip(planes(numbers)) {
                    kernel::to_plane(pixels, convert, plane);
                }
            }
            (1, Layout::Nhwc, _) => kernel::gray_to_interleaved(pixels, convert, numbers),
            (_, Layout::Nchw, Channels::Bgr) => {
                let ([blue, green, red], [b, g, r]) = (planes(numbers), convert);
                kernel::rgb_to_planes(pixels, [r, g, b], [red, green, blue]);
            }
            (_, Layout::Nchw, _) => kernel::rgb_to_planes(pixels, convert, planes(numbers)),
            (_, Layout::Nhwc, Channels::Bgr) => kernel::rgb_to_interleaved::<_, true>(pixels, convert, numbers),
            (_, Layout::Nhwc, _) => kernel::rgb_to_interleaved::<_, false>(pixels, convert, numbers),
        }
    }

    fn shape(&self, count: i64) -> [i64; 4] {
        let (width, height) = (i64::from(self.config.width), i64::from(self.config.height));
        let channels = self.config.channels.count() as i64;
        match self.config.layout {
            Layout::Nchw => [count, channels, height, width],
            Layout::Nhwc => [count, height, width, channels],
        }
    }

    fn too_many(&self, count: usize) -> Failure {
        let shape = self.shape(count as i64);
        Failure::invalid_input(format!("\"{IMAGE}\": {count} pictures make a tensor of {shape:?}: send fewer at once"))
    }
}

/// The encoded files, each copied once where there is only one.
fn read_files(image: &Tensor) -> Result<Vec<Vec<u8>>, Failure> {
    match image.shape() {
        [1] => Ok(vec![image.byte_string()?]),
        _ => Ok(image.byte_strings()?),
    }
}

/// The three planes of one picture.
fn planes<T>(numbers: &mut [T]) -> [&mut [T]; 3] {
    let size = numbers.len() / 3;
    let (first, rest) = numbers.split_at_mut(size);
    let (second, third) = rest.split_at_mut(size);
    [first, second, third]
}

bulkhead_guest::plugin!(ImageToTensor);

#[cfg(test)]
mod tests;
