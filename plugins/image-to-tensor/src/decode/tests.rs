use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::*;

const MAX_PIXELS: u64 = 10_000;

fn png(width: u32, height: u32, color: ExtendedColorType, samples: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    PngEncoder::new(&mut encoded).write_image(samples, width, height, color).unwrap();
    encoded
}

/// A picture of one colour, which lossy compression preserves.
fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let samples = [200, 100, 50].repeat((width * height) as usize);
    let mut encoded = Vec::new();
    JpegEncoder::new_with_quality(&mut encoded, 95).encode(&samples, width, height, ExtendedColorType::Rgb8).unwrap();
    encoded
}

fn decoded(encoded: &[u8]) -> Picture {
    decode(encoded, MAX_PIXELS).unwrap().0
}

fn refused(encoded: &[u8], wanted: &str) {
    let error = decode(encoded, MAX_PIXELS).err().unwrap();
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn decodes_each_kind_of_png() {
    use ExtendedColorType::{L8, La8, La16, Rgb8, Rgb16, Rgba8};
    let wide = |values: &[u16]| values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<u8>>();
    for (color, samples, channels, wanted) in [
        (L8, vec![7, 8], 1, &[7, 8][..]),
        (La8, vec![7, 0, 8, 255], 1, &[7, 8]),
        (Rgb8, vec![1, 2, 3, 4, 5, 6], 3, &[1, 2, 3, 4, 5, 6]),
        (Rgba8, vec![1, 2, 3, 0, 4, 5, 6, 255], 3, &[1, 2, 3, 4, 5, 6]),
        (Rgb16, wide(&[0, 65_535, 257, 129, 128, 32_896]), 3, &[0, 255, 1, 1, 0, 128]),
        (La16, wide(&[65_535, 0, 514, 9]), 1, &[255, 2]),
    ] {
        let picture = decoded(&png(2, 1, color, &samples));
        assert_eq!((picture.width, picture.height, picture.channels), (2, 1, channels), "{color:?}");
        assert_eq!(picture.pixels, wanted, "{color:?}");
    }
}

#[test]
fn decodes_jpeg() {
    let picture = decoded(&jpeg(20, 10));
    assert_eq!((picture.width, picture.height, picture.channels), (20, 10, 3));
    for (got, wanted) in picture.pixels.iter().zip([200u8, 100, 50].iter().cycle()) {
        assert!(got.abs_diff(*wanted) < 4, "{got} is not {wanted}");
    }
}

#[test]
fn finds_the_orientation_that_a_camera_wrote() {
    // A segment with a single tag: 274, of type short, count 1, value 6.
    let tag = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut encoded = jpeg(8, 8);
    encoded.splice(2..2, tag.iter().copied());
    let (_, turn) = decode(&encoded, MAX_PIXELS).unwrap();
    assert_eq!(turn, Turn { transpose: true, mirror_x: true, mirror_y: false });
    assert_eq!(decode(&jpeg(8, 8), MAX_PIXELS).unwrap().1, Turn::default());
}

#[test]
fn refuses_a_picture_whose_header_announces_too_much() {
    let mut lying = png(2, 2, ExtendedColorType::L8, &[0; 4]);
    lying[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    refused(&lying, "has 60000 x 60000 = 3600000000 pixels: at most 10000 are allowed");

    let mut lying = jpeg(8, 8);
    let frame = lying.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    lying[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    refused(&lying, "has 60000 x 60000 = 3600000000 pixels: at most 10000 are allowed");

    refused(&png(101, 100, ExtendedColorType::L8, &[0; 10_100]), "has 101 x 100 = 10100 pixels");
    decoded(&png(100, 100, ExtendedColorType::L8, &[0; 10_000]));
}

#[test]
fn survives_a_header_that_announces_more_rows_than_follow() {
    let mut lying = jpeg(8, 8);
    let frame = lying.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    lying[frame + 5..frame + 7].copy_from_slice(&[0, 80]);
    // The decoder fills the missing rows with gray: a picture results, and no access is out of bounds.
    assert_eq!(decoded(&lying).height, 80);
    let mut lying = png(2, 2, ExtendedColorType::L8, &[0; 4]);
    lying[20..24].copy_from_slice(&[0, 0, 0, 80]);
    let sum = crc(b"", &lying[12..29]);
    lying[29..33].copy_from_slice(&sum.to_be_bytes());
    refused(&lying, "is a PNG that");
    lying[32] ^= 1;
    refused(&lying, "is a PNG that cannot be decoded: ");
}

#[test]
fn refuses_what_is_cut_off_anywhere() {
    for (format, whole) in [("PNG", png(9, 9, ExtendedColorType::Rgb8, &[77; 243])), ("JPEG", jpeg(9, 9))] {
        // A PNG without its last chunk of 12 bytes still has all its pixels.
        let end = if format == "PNG" { whole.len() - 16 } else { whole.len() };
        for length in 8..end {
            refused(&whole[..length], &format!("is a {format} that is cut off: its end is missing"));
        }
    }
}

#[test]
fn survives_every_flipped_byte() {
    for whole in [png(9, 9, ExtendedColorType::Rgba8, &[77; 324]), jpeg(9, 9)] {
        for at in 0..whole.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= mask;
                // The result must be a picture of the stated dimensions or an error, and not a panic.
                if let Ok((picture, _)) = decode(&damaged, MAX_PIXELS) {
                    assert_eq!(picture.pixels.len(), picture.row_bytes() * picture.height as usize);
                }
            }
        }
    }
}

#[test]
fn ignores_the_end_of_a_thumbnail() {
    let mut encoded = jpeg(9, 9);
    encoded.splice(2..2, *b"\xff\xe2\x00\x06\xff\xd9\xff\xd9");
    decoded(&encoded);
    refused(&encoded[..encoded.len() - 2], "cut off: its end is missing");
    // Data after the end does no harm.
    encoded.extend(b"\0\0trailer");
    decoded(&encoded);
}

#[test]
fn names_what_it_got_instead() {
    refused(b"", "is empty: send the bytes of a PNG or JPEG file");
    refused(b"GIF89a......", "is Gif, which is not read here: send PNG or JPEG");
    refused(b"RIFF....WEBPVP8 ", "is WebP, which is not read here: send PNG or JPEG");
    refused(b"{\"a\": 1}xx", "is neither PNG nor JPEG: it starts with 7b 22 61 22 3a 20 31 7d");
}

#[test]
fn refuses_a_compressed_profile_that_unfolds_to_too_much() {
    // A chunk before the pixels: a name, the compression method, and a megabyte of zeros, deflated.
    let mut profile = b"p\0\0".to_vec();
    profile.extend(zeros());
    let whole = png(2, 2, ExtendedColorType::L8, &[0; 4]);
    let mut bomb = whole[..33].to_vec();
    bomb.extend(u32::try_from(profile.len()).unwrap().to_be_bytes());
    bomb.extend(b"iCCP");
    bomb.extend(&profile);
    bomb.extend(crc(b"iCCP", &profile).to_be_bytes());
    bomb.extend(&whole[33..]);
    // The profile is skipped, and the picture is still valid.
    match decode(&bomb, MAX_PIXELS) {
        Ok((picture, _)) => assert_eq!(picture.pixels, [0; 4]),
        Err(error) => assert!(error.contains("more memory"), "{error}"),
    }
}

/// A megabyte of zeros as a zlib stream, taken from the rows of a PNG.
fn zeros() -> Vec<u8> {
    let encoded = png(1000, 1000, ExtendedColorType::L8, &vec![0; 1_000_000]);
    let start = encoded.windows(4).position(|name| name == b"IDAT").unwrap();
    let length = u32::from_be_bytes(encoded[start - 4..start].try_into().unwrap());
    encoded[start + 4..start + 4 + length as usize].to_vec()
}

fn crc(name: &[u8], data: &[u8]) -> u32 {
    let bits = |crc: u32| (0..8).fold(crc, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
    !name.iter().chain(data).fold(!0, |crc, byte| bits(crc ^ u32::from(*byte)))
}
