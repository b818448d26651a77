//! Decodes PNG and JPEG files from clients into pixels. The sizes in a header are checked before anything is allocated for
//! them.
//!
//! Alpha is dropped and not blended, so the colours under it stay. Sixteen bits are rounded to eight, palettes are
//! resolved, CMYK becomes RGB, and colour profiles are ignored. Of an animation only the first picture is used.
//!
//! Error texts are for the client, and continue "picture 1 of 4 …".

use std::io::{Cursor, ErrorKind};

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, Limits};

use crate::picture::{Picture, Turn};

/// Most bytes that a PNG can have for a pixel: four channels of 16 bits.
const MAX_PIXEL_BYTES: u64 = 8;

/// The stored picture, and the turn that brings it upright.
pub(crate) fn decode(encoded: &[u8], max_pixels: u64) -> Result<(Picture, Turn), String> {
    match image::guess_format(encoded) {
        Ok(ImageFormat::Png) => decode_png(encoded, max_pixels).map_err(|error| error.text("PNG", max_pixels)),
        Ok(ImageFormat::Jpeg) => decode_jpeg(encoded, max_pixels).map_err(|error| error.text("JPEG", max_pixels)),
        Ok(other) => Err(format!("is {other:?}, which is not read here: send PNG or JPEG")),
        Err(_) if encoded.is_empty() => Err("is empty: send the bytes of a PNG or JPEG file".into()),
        Err(_) => Err(format!("is neither PNG nor JPEG: it starts with {}", first_bytes(encoded))),
    }
}

enum DecodeError {
    TooLarge { width: u32, height: u32 },
    Truncated,
    Broken(ImageError),
}

impl From<ImageError> for DecodeError {
    fn from(error: ImageError) -> DecodeError {
        match error {
            ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => DecodeError::Truncated,
            error => DecodeError::Broken(error),
        }
    }
}

impl DecodeError {
    fn text(self, format: &str, max_pixels: u64) -> String {
        match self {
            DecodeError::TooLarge { width, height } => format!(
                "has {width} x {height} = {} pixels: at most {max_pixels} are allowed. Make it smaller before sending",
                u64::from(width) * u64::from(height)
            ),
            DecodeError::Truncated => format!("is a {format} that is cut off: its end is missing. Send the whole file"),
            DecodeError::Broken(ImageError::Limits(_)) => {
                format!(
                    "is a {format} that takes more memory to decode than its pixels do: save it anew, without metadata"
                )
            }
            DecodeError::Broken(ImageError::Decoding(error)) => match std::error::Error::source(&error) {
                Some(cause) => format!("is a {format} that cannot be decoded: {cause}"),
                None => format!("is a {format} that cannot be decoded"),
            },
            DecodeError::Broken(error) => format!("is a {format} that cannot be decoded: {error}"),
        }
    }
}

fn decode_png(encoded: &[u8], max_pixels: u64) -> Result<(Picture, Turn), DecodeError> {
    // The decoder's constructor allocates whole rows, so the header is read here first.
    let (width, height) = png_sides(encoded).ok_or(DecodeError::Truncated)?;
    check_sides(width, height, max_pixels)?;
    read(PngDecoder::with_limits(Cursor::new(encoded), limits(max_pixels))?)
}

fn decode_jpeg(encoded: &[u8], max_pixels: u64) -> Result<(Picture, Turn), DecodeError> {
    // For missing data the decoder returns gray without an error.
    if !has_jpeg_end(encoded) {
        return Err(DecodeError::Truncated);
    }
    let mut decoder = JpegDecoder::new(Cursor::new(encoded))?;
    let (width, height) = decoder.dimensions();
    check_sides(width, height, max_pixels)?;
    decoder.set_limits(limits(max_pixels))?;
    read(decoder)
}

fn read(mut decoder: impl ImageDecoder) -> Result<(Picture, Turn), DecodeError> {
    let (width, height) = decoder.dimensions();
    let (color, turn) = (decoder.color_type(), decoder.orientation()?.into());
    let too_large = DecodeError::TooLarge { width, height };
    let mut samples = vec![0; usize::try_from(decoder.total_bytes()).map_err(|_| too_large)?];
    decoder.read_image(&mut samples)?;
    let channels = if color.has_color() { 3 } else { 1 };
    let pixels = drop_alpha(to_eight_bits(samples, color), color);
    Ok((Picture { width, height, channels, pixels }, turn))
}

fn check_sides(width: u32, height: u32, max_pixels: u64) -> Result<(), DecodeError> {
    let fits = u64::from(width) * u64::from(height) <= max_pixels;
    if fits { Ok(()) } else { Err(DecodeError::TooLarge { width, height }) }
}

fn limits(max_pixels: u64) -> Limits {
    let mut limits = Limits::no_limits();
    let most = u32::try_from(max_pixels).unwrap_or(u32::MAX);
    (limits.max_image_width, limits.max_image_height) = (Some(most), Some(most));
    limits.max_alloc = Some(max_pixels.saturating_mul(MAX_PIXEL_BYTES));
    limits
}

/// Width and height from the first chunk: eight bytes of signature, four of length, four of name, then the sides.
fn png_sides(encoded: &[u8]) -> Option<(u32, u32)> {
    let (width, rest) = encoded.get(16..)?.split_first_chunk()?;
    let height = rest.first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}

/// True if an end marker follows the first scan. End markers before it belong to thumbnails, and the data of a scan never
/// contains the two bytes of the marker.
fn has_jpeg_end(encoded: &[u8]) -> bool {
    const END: [u8; 2] = [0xff, 0xd9];
    let scan = jpeg_scan(encoded).unwrap_or_default();
    scan.ends_with(&END) || scan.windows(2).any(|pair| pair == END)
}

/// The rest of the file from the first scan on. Each segment before it has a marker and a length of two bytes.
fn jpeg_scan(encoded: &[u8]) -> Option<&[u8]> {
    const SCAN: u8 = 0xda;
    let mut rest = encoded.get(2..)?;
    loop {
        let marker = rest.iter().position(|byte| *byte == 0xff)?;
        let name = marker + rest[marker..].iter().position(|byte| *byte != 0xff)?;
        if rest[name] == SCAN {
            return rest.get(name..);
        }
        // A zero byte means data and not a marker; the other values are markers without a length.
        if matches!(rest[name], 0 | 1 | 0xd0..=0xd8) {
            rest = &rest[name..];
            continue;
        }
        let length = rest.get(name + 1..name + 3)?;
        rest = rest.get(name + 1 + usize::from(u16::from_be_bytes([length[0], length[1]]))..)?;
    }
}

/// Rounds samples to eight bits. Samples of 16 bits are in native byte order.
fn to_eight_bits(samples: Vec<u8>, color: ColorType) -> Vec<u8> {
    if color.bytes_per_pixel() == color.channel_count() {
        return samples;
    }
    let wide = samples.as_chunks::<2>().0.iter().map(|bytes| u32::from(u16::from_ne_bytes(*bytes)));
    #[expect(clippy::cast_possible_truncation, reason = "a sample is at most 65,535, and becomes at most 255")]
    let narrow = |sample: u32| ((sample * 255 + 32_767) / 65_535) as u8;
    wide.map(narrow).collect()
}

fn drop_alpha(samples: Vec<u8>, color: ColorType) -> Vec<u8> {
    match color.channel_count() {
        2 => samples.as_chunks::<2>().0.iter().map(|[gray, _]| *gray).collect(),
        4 => {
            let mut rgb = vec![0; samples.len() / 4 * 3];
            for (rgb, [red, green, blue, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks().0) {
                *rgb = [*red, *green, *blue];
            }
            rgb
        }
        _ => samples,
    }
}

fn first_bytes(encoded: &[u8]) -> String {
    let shown: Vec<String> = encoded.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests;
