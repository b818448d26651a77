//! The stage's `config` table. Only `width` and `height` must be given.

use bulkhead_guest::InitError;
use serde::Deserialize;

use crate::kernel::Affine;

/// Upper bound on a side of the tensor; a larger value is taken for a typing error.
const MAX_SIDE: u32 = 1 << 14;

/// Upper bound on `max-pixels`: with eight bytes for each pixel, a picture's size must fit into 32-bit addresses.
const MAX_PIXELS: u64 = 1 << 27;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Width of the tensor, in pixels.
    pub width: u32,
    pub height: u32,
    /// Form of the client's input.
    #[serde(default)]
    pub input: Input,
    /// Name of the output tensor.
    #[serde(default = "default_output")]
    pub output: String,
    /// Method by which a picture of another size is brought to the tensor's size.
    #[serde(default)]
    pub resize: Fitting,
    #[serde(default)]
    pub filter: Filter,
    /// Pixel value of the padding of `resize = "fit"`, from 0 (the default) to 255.
    pub pad: Option<u8>,
    #[serde(default)]
    pub layout: Layout,
    #[serde(default)]
    pub channels: Channels,
    #[serde(default)]
    pub datatype: Numbers,
    /// A number of the tensor is (pixel value * `scale` - `mean`) / `std`. The scale is 1/255 unless given.
    pub scale: Option<f64>,
    /// One number, or one for each channel in the order of `channels`; 0 unless given.
    pub mean: Option<PerChannel>,
    /// One number, or one for each channel in the order of `channels`; 1 unless given.
    pub std: Option<PerChannel>,
    /// Pictures with more pixels are refused before they are decoded; 4096 x 4096 unless given. Decoding a picture may
    /// take up to 12 bytes for each pixel.
    #[serde(default = "default_max_pixels")]
    pub max_pixels: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// PNG or JPEG files: BYTES [pictures].
    #[default]
    Encoded,
    /// Frames: UINT8 [pictures, height, width, 3 for RGB or 1 for gray].
    Pixels,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fitting {
    /// Scales each side by itself: shows the whole picture, with other proportions.
    #[default]
    Stretch,
    /// Scales the shorter side to fit, and keeps the middle of the longer one.
    Crop,
    /// Scales the longer side to fit, and pads the shorter one equally on both sides.
    Fit,
}

/// All but `nearest` take every pixel into account when they make a picture smaller, as Pillow does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    Nearest,
    /// The mean of the area. Also called `area`.
    #[serde(alias = "area")]
    Box,
    #[default]
    Bilinear,
    /// Also called `bicubic`.
    #[serde(alias = "bicubic")]
    CatmullRom,
    Lanczos3,
}

/// The order of dimensions: pictures, channels, height, width.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    #[default]
    Rgb,
    Bgr,
    /// 0.299 red + 0.587 green + 0.114 blue.
    Gray,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    #[default]
    #[serde(alias = "FP32")]
    Fp32,
    /// Unchanged pixel values.
    #[serde(alias = "UINT8")]
    Uint8,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of numbers, one for each channel")]
pub enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

impl Channels {
    pub fn count(self) -> usize {
        if self == Channels::Gray { 1 } else { 3 }
    }
}

impl Config {
    /// The conversion of each channel's pixel values, in the order of `channels`; for gray only the first is used.
    pub fn check(&self) -> Result<[Affine; 3], InitError> {
        check_range("width", self.width, MAX_SIDE)?;
        check_range("height", self.height, MAX_SIDE)?;
        check_range("max-pixels", self.max_pixels, MAX_PIXELS)?;
        if self.pad.is_some() && !matches!(self.resize, Fitting::Fit) {
            return Err("config: pad does nothing without resize = \"fit\": leave out pad, or set resize".into());
        }
        let normalises = self.scale.is_some() || self.mean.is_some() || self.std.is_some();
        if self.datatype == Numbers::Uint8 && normalises {
            return Err("config: datatype = \"uint8\" gives pixel values as they are: leave out scale, mean and std, \
                        or set datatype = \"fp32\""
                .into());
        }
        self.normalisation()
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels are converted in f32; the nearest is meant")]
    fn normalisation(&self) -> Result<[Affine; 3], InitError> {
        let scale = self.scale.unwrap_or(1.0 / 255.0);
        let mean = self.per_channel("mean", self.mean.as_ref(), 0.0)?;
        let std = self.per_channel("std", self.std.as_ref(), 1.0)?;
        if std.contains(&0.0) {
            return Err(format!("config: std is {std:?}: it divides, so no part of it may be 0").into());
        }
        Ok(std::array::from_fn(|i| Affine { factor: (scale / std[i]) as f32, offset: (-mean[i] / std[i]) as f32 }))
    }

    fn per_channel(&self, key: &str, given: Option<&PerChannel>, default: f64) -> Result<[f64; 3], InitError> {
        match given {
            None => Ok([default; 3]),
            Some(PerChannel::All(value)) => Ok([*value; 3]),
            Some(PerChannel::Each(values)) if values.len() == self.channels.count() => {
                Ok(std::array::from_fn(|i| values.get(i).copied().unwrap_or(default)))
            }
            Some(PerChannel::Each(values)) => {
                let (got, wanted) = (values.len(), self.channels.count());
                Err(format!("config: {key} has {got} numbers: give one, or one for each of the {wanted} channels")
                    .into())
            }
        }
    }
}

fn check_range(key: &str, value: impl Into<u64>, most: impl Into<u64>) -> Result<(), InitError> {
    let (value, most) = (value.into(), most.into());
    let fits = (1..=most).contains(&value);
    if fits { Ok(()) } else { Err(format!("config: {key} is {value}: it must be 1 to {most}").into()) }
}

fn default_output() -> String {
    "tensor".into()
}

fn default_max_pixels() -> u64 {
    1 << 24
}
