//! Converts pictures into a network's input tensor: decodes PNG and JPEG or takes raw frames, resizes them, and normalises,
//! as the keys of [`Config`] say.

pub mod config;
mod decode;
pub mod kernel;
mod picture;
mod resize;

use bulkhead_guest::prelude::*;
use bulkhead_guest::{TensorBuilder, TensorError};
use fast_image_resize::Resizer;

pub use config::Config;
use config::{Channels, Input, Layout, Numbers};
use kernel::{Affine, Convert, Raw};
use picture::{Picture, Turn};
use resize::Target;

/// Name of the input.
const IMAGE: &str = "image";

/// Upper bound on the memory to reserve. Memory is scanned after every call, so reserving more than this costs more than it
/// saves.
const MOST_RESERVED: usize = 2 << 20;

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
        // One frame of the tensor's size, and one piece of the tensor.
        let frame = width as usize * height as usize * 4;
        bulkhead_guest::reserve_memory((frame + size_of::<[[f32; 3]; PIECE]>()).min(MOST_RESERVED));
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
                    // One frame at a time, so that each uses the memory of the previous one.
                    let pixels = image.raw(i as u64 * size..(i as u64 + 1) * size)?;
                    Ok((Picture { width, height, channels, pixels }, Turn::default()))
                })
            }
        }
    }

    /// Writes each picture to its position in the tensor.
    fn fill<C: Convert>(
        &self,
        count: usize,
        convert: [C; 3],
        picture: impl Fn(usize) -> Result<(Picture, Turn), Failure>,
    ) -> Result<Tensor, Failure> {
        let shape = self.shape(i64::try_from(count).unwrap_or(i64::MAX)).map(i64::cast_unsigned);
        let mut tensor = Pieces::new(TensorBuilder::new(&shape).map_err(|error| self.too_many(count, &error))?);
        let mut resizer = Resizer::new();
        for i in 0..count {
            let (stored, turn) = picture(i)?;
            // Conversion to gray comes first, because resizing one channel is cheaper than resizing three.
            let stored = if self.config.channels == Channels::Gray { stored.into_gray() } else { stored };
            self.write(&self.target.bring(stored, turn, &mut resizer)?, convert, &mut tensor)?;
        }
        Ok(tensor.builder.finish()?)
    }

    fn decode(&self, file: &[u8], i: usize, count: usize) -> Result<(Picture, Turn), Failure> {
        let wrong = |text| Failure::invalid_input(format!("\"{IMAGE}\": picture {} of {count} {text}", i + 1));
        decode::decode(file, self.config.max_pixels).map_err(wrong)
    }

    /// The number of frames, and the width, height and channels of each.
    fn check_frames(&self, shape: &[u64]) -> Result<(usize, u32, u32, usize), Failure> {
        let wrong = |text: String| Err(Failure::invalid_input(format!("\"{IMAGE}\" has shape {shape:?}: {text}")));
        let &[count, height, width, channels @ (1 | 3)] = shape else {
            return wrong("wanted are frames [pictures, height, width, 3 for RGB or 1 for gray]".into());
        };
        let most = self.config.max_pixels;
        if height == 0 || width == 0 || height.saturating_mul(width) > most {
            return wrong(format!("each frame must have 1 to {most} pixels"));
        }
        let sizes = (usize::try_from(count), u32::try_from(width), u32::try_from(height));
        let (Ok(count), Ok(width), Ok(height)) = sizes else {
            return wrong("its sizes must be below 4,294,967,296".into());
        };
        Ok((count, width, height, if channels == 3 { 3 } else { 1 }))
    }

    fn write<C: Convert>(
        &self,
        picture: &Picture,
        [first, second, third]: [C; 3],
        tensor: &mut Pieces<C::Number>,
    ) -> Result<(), TensorError> {
        let pixels = &picture.pixels;
        match (picture.channels, self.config.layout, self.config.channels) {
            (1, _, Channels::Gray) => tensor.write::<1, 1>(pixels, |values, out| kernel::to_plane(values, first, out)),
            (1, Layout::Nchw, _) => [first, second, third].into_iter().try_for_each(|convert| {
                tensor.write::<1, 1>(pixels, |values, out| kernel::to_plane(values, convert, out))
            }),
            (1, Layout::Nhwc, _) => tensor.write::<1, 3>(pixels, |values, out| {
                kernel::gray_to_interleaved(values, [first, second, third], out);
            }),
            (_, Layout::Nchw, Channels::Bgr) => {
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 2>(rgb, first, out))?;
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 1>(rgb, second, out))?;
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 0>(rgb, third, out))
            }
            (_, Layout::Nchw, _) => {
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 0>(rgb, first, out))?;
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 1>(rgb, second, out))?;
                tensor.write::<3, 1>(pixels, |rgb, out| kernel::rgb_to_plane::<_, 2>(rgb, third, out))
            }
            (_, Layout::Nhwc, Channels::Bgr) => tensor.write::<3, 3>(pixels, |rgb, out| {
                kernel::rgb_to_interleaved::<_, true>(rgb, [first, second, third], out);
            }),
            (_, Layout::Nhwc, _) => tensor.write::<3, 3>(pixels, |rgb, out| {
                kernel::rgb_to_interleaved::<_, false>(rgb, [first, second, third], out);
            }),
        }
    }

    fn shape(&self, count: i64) -> [i64; 4] {
        let (width, height) = (i64::from(self.config.width), i64::from(self.config.height));
        let channels = if self.config.channels == Channels::Gray { 1 } else { 3 };
        match self.config.layout {
            Layout::Nchw => [count, channels, height, width],
            Layout::Nhwc => [count, height, width, channels],
        }
    }

    fn too_many(&self, count: usize, error: &TensorError) -> Failure {
        Failure::invalid_input(format!("\"{IMAGE}\": {count} pictures are too many, send fewer at once: {error}"))
    }
}

/// The encoded files; a single file is copied only once.
fn read_files(image: &Tensor) -> Result<Vec<Vec<u8>>, Failure> {
    match image.shape() {
        [1] => Ok(vec![image.byte_string()?]),
        _ => Ok(image.byte_strings()?),
    }
}

/// Number of pixels that are converted at once: few enough that the result stays in the processor's first-level cache.
const PIECE: usize = 4096;

/// The tensor, and a buffer for one piece of it.
struct Pieces<N> {
    builder: TensorBuilder<N>,
    piece: Vec<N>,
}

impl<N: Element + Default> Pieces<N> {
    fn new(builder: TensorBuilder<N>) -> Pieces<N> {
        Pieces { builder, piece: vec![N::default(); 3 * PIECE] }
    }

    /// Converts pixels of `FROM` values each to `TO` numbers each.
    fn write<const FROM: usize, const TO: usize>(
        &mut self,
        pixels: &[u8],
        convert: impl Fn(&[u8], &mut [N]),
    ) -> Result<(), TensorError> {
        for values in pixels.chunks(PIECE * FROM) {
            let numbers = &mut self.piece[..values.len() / FROM * TO];
            convert(values, numbers);
            self.builder.extend(numbers)?;
        }
        Ok(())
    }
}

bulkhead_guest::plugin!(ImageToTensor);

#[cfg(test)]
mod tests;
