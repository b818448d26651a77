//! A fast reader of JSON floats as f32, eight digits at a time (SIMD within a register). It reads most numbers that clients
//! send; a number with an exponent, with too many digits, or too near the midpoint of two f32 is left to `fast-float2`.

/// Powers of ten.
const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Powers of ten as f64, each of which is exact.
const EXACT: [f64; MOST + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];

/// Largest number of digits with which every value is less than 2^64.
const MOST: usize = 19;

/// Reads the number that a text begins with, and returns it with its length in bytes. `None` if it is not a JSON number or
/// has no fast path; a text that ends soon after its number has none either.
#[inline]
pub(super) fn read(text: &[u8]) -> Option<(f32, usize)> {
    let negative = text.first() == Some(&b'-');
    let begin = usize::from(negative);
    let (mut value, whole) = whole(text.get(begin..)?)?;
    let (mut at, mut behind) = (begin + whole, 0);
    if text.get(at) == Some(&b'.') {
        (value, behind) = fraction(value, text.get(at + 1..)?)?;
        at += 1 + behind;
    }
    if whole + behind > MOST || matches!(text.get(at), Some(b'e' | b'E')) {
        return None;
    }
    // `EXACT` has `MOST + 1` values, and `behind` was found to be at most `MOST`.
    let magnitude = nearest(value as f64 / EXACT[behind])?;
    // The sign is set without a branch, which would be mispredicted for every other number.
    let sign = u32::from(negative) << 31;
    Some((f32::from_bits(magnitude.to_bits() | sign), at))
}

/// The value of the digits before the point, and their number, which is 1 for most floats.
#[inline]
fn whole(text: &[u8]) -> Option<(u64, usize)> {
    if let [digit @ b'0'..=b'9', b'.', ..] = text {
        return Some((u64::from(digit - b'0'), 1));
    }
    let eight = Eight::at_begin(text)?;
    // The text has at least the eight characters of `eight`.
    let digits = eight.digits().filter(|digits| *digits == 1 || *digits > 1 && text[0] != b'0')?;
    Some((eight.value(digits), digits))
}

/// `value` with the digits behind the point appended, and their number.
#[inline]
fn fraction(mut value: u64, text: &[u8]) -> Option<(u64, usize)> {
    let mut behind = 0;
    // A fraction of 24 digits or more is too long, and is not read to its end.
    for part in text.first_chunk::<24>()?.as_chunks::<8>().0 {
        let eight = Eight::of(*part);
        let Some(digits) = eight.digits() else {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight.all());
            behind += 8;
            continue;
        };
        behind += digits;
        // At most seven, because `digits` is `None` for eight; `POWERS` has eight values.
        return (behind > 0).then(|| (value.wrapping_mul(POWERS[digits]).wrapping_add(eight.value(digits)), behind));
    }
    None
}

/// The nearest f32 of a number whose f64 approximation is `value`; `None` if the approximation is too near the midpoint of
/// two f32 to decide. `value` is at most three units in the last place off, from two roundings: of up to 19 digits to f64,
/// and of the division. No number of 19 digits is outside the range of f32.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the rounding to the nearest f32 is meant")]
fn nearest(value: f64) -> Option<f32> {
    const MIDDLE: u64 = 1 << 28;
    // The bits of the f64's fraction that f32 does not have.
    let rest = value.to_bits() & (2 * MIDDLE - 1);
    (rest.abs_diff(MIDDLE) > 4).then_some(value as f32)
}

/// Eight characters, the first in the lowest byte, each XORed with `0`, so that a digit becomes its value.
#[derive(Clone, Copy)]
struct Eight(u64);

impl Eight {
    fn at_begin(text: &[u8]) -> Option<Eight> {
        text.first_chunk().copied().map(Eight::of)
    }

    #[inline]
    fn of(text: [u8; 8]) -> Eight {
        Eight(u64::from_le_bytes(text) ^ u64::from_le_bytes([b'0'; 8]))
    }

    /// Number of digits before the first other character; `None` if all eight are digits.
    #[inline]
    fn digits(self) -> Option<usize> {
        const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
        // A byte above 9 has its highest bit set, either already or by this addition.
        let sums = (self.0 & !HIGHEST) + u64::from_le_bytes([0x80 - 10; 8]);
        let others = (self.0 | sums) & HIGHEST;
        (others != 0).then(|| others.trailing_zeros() as usize / 8)
    }

    /// Value of the first `digits` digits, seven at most.
    #[inline]
    fn value(self, digits: usize) -> u64 {
        // The shifts move the digits to the end, and zeros before them.
        Eight((self.0 << 8) << (56 - 8 * digits)).all()
    }

    /// Value of all eight digits: neighbours become four numbers of two digits, which two multiplications then add up.
    #[inline]
    fn all(self) -> u64 {
        const EVERY_FOURTH: u64 = 0x0000_00ff_0000_00ff;
        let twos = (self.0 * 10).wrapping_add(self.0 >> 8);
        let first_and_third = (twos & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
        let second_and_fourth = (twos >> 16 & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
        first_and_third.wrapping_add(second_and_fourth) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a number that another element of an array follows.
    fn read_one(number: &str) -> Option<(f32, usize)> {
        read(format!("{number}, 0.12345678901234567890").as_bytes())
    }

    #[test]
    fn reads_what_the_library_reads() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut easy = 0;
        for _ in 0..200_000 {
            let (bits, digits, behind) = (random(), (random() % 16) as u32, (random() % 16) as u8);
            let float = f32::from_bits((bits & 0xffff_ffff) as u32);
            let small = (bits >> 11) as f64 / (1u64 << 40) as f64 - 4096.0;
            let decimal = format!("{}", bits % 10u64.pow(digits + 1));
            let point = decimal.len() - usize::from(behind).min(decimal.len() - 1);
            let cut = format!("{}.{}", &decimal[..point], &decimal[point..]);
            for text in [float.to_string(), f64::from(float).to_string(), small.to_string(), decimal, cut] {
                if let Some((value, length)) = read_one(&text) {
                    assert_eq!(length, text.len(), "{text}");
                    assert_eq!(value.to_bits(), text.parse::<f32>().unwrap().to_bits(), "{text}");
                    easy += 1;
                }
            }
        }
        assert!(easy > 400_000, "{easy}");
    }

    #[test]
    fn numbers_near_a_midpoint_are_left_to_the_library() {
        // One, its neighbour in f32, and numbers at their midpoint.
        for (text, wanted) in [
            ("1.0", Some(1.0)),
            ("1.00000011920928955", Some(1.0000001)),
            ("1.0000000596046447", None),
            ("1.00000005960464477", None),
            ("1.000000059604645", None),
            ("-0.0", Some(-0.0f32)),
            ("0.000000000000000001", Some(1e-18)),
            ("9999999.999999999999", Some(1e7)),
        ] {
            let read = read_one(text).map(|(value, _)| value.to_bits());
            assert_eq!(read, wanted.map(f32::to_bits), "{text}");
        }
    }

    #[test]
    fn texts_without_a_fast_path_are_left_to_the_library() {
        for text in [
            "",
            "-",
            ".5",
            "-.5",
            "1.",
            "01",
            "01.5",
            "00",
            "-01",
            "1e5",
            "1.5e5",
            "1.5E-5",
            "NaN",
            "+1",
            "12345678",
            "1.1234567890123456789",
            "12.123456789012345678",
            "1.123456789012345678901234567",
            "1.x",
            "x",
        ] {
            assert_eq!(read_one(text), None, "{text}");
        }
        assert_eq!(read(b"1.5"), None, "too near the end of the text");
        assert_eq!(read(b"1.5]                         "), Some((1.5, 3)));
        assert_eq!(read(b"255,\xff\xff\xff\xff\xff"), Some((255.0, 3)));
        assert_eq!(read(b"2:/5.0000                    "), Some((2.0, 1)), "neighbours of digits");
    }
}
