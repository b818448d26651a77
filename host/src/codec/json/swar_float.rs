//! The digits of most floats that clients send, eight characters at a time. Whatever has an exponent, more digits than fit,
//! or lies too near the middle of two neighbours is left to the library.

/// Powers of ten.
const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// The same as doubles, which they are without rounding.
const EXACT: [f64; MOST + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];

/// Digits of which any number is less than 2^64.
const MOST: usize = 19;

/// The number that a text begins with, and how long it is, if it is one in JSON and is easily read.
#[inline]
pub fn read(text: &[u8]) -> Option<(f32, usize)> {
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
    let magnitude = nearest(value as f64 / EXACT[behind])?;
    // A branch here is guessed wrong for every other number.
    let sign = u32::from(negative) << 31;
    Some((f32::from_bits(magnitude.to_bits() | sign), at))
}

/// What stands before the point, and how many digits that is. Most have one.
#[inline]
fn whole(text: &[u8]) -> Option<(u64, usize)> {
    if let [digit @ b'0'..=b'9', b'.', ..] = text {
        return Some((u64::from(digit - b'0'), 1));
    }
    let eight = Eight::at_begin(text)?;
    let digits = eight.digits().filter(|digits| *digits == 1 || *digits > 1 && text[0] != b'0')?;
    Some((eight.value(digits), digits))
}

/// `value` with the digits behind the point, and how many these are.
#[inline]
fn fraction(mut value: u64, text: &[u8]) -> Option<(u64, usize)> {
    let mut behind = 0;
    // One more than this is too long, and is not read to its end.
    for part in text.first_chunk::<24>()?.as_chunks::<8>().0 {
        let eight = Eight::of(*part);
        let Some(digits) = eight.digits() else {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight.all());
            behind += 8;
            continue;
        };
        behind += digits;
        return (behind > 0).then(|| (value.wrapping_mul(POWERS[digits]).wrapping_add(eight.value(digits)), behind));
    }
    None
}

/// What a number is as an f32, if it is at most three units of f64's last place away from `value`: so much come of two
/// roundings, that of up to 19 digits and that of the division. No number of 19 digits is too small or too large for f32.
#[inline]
fn nearest(value: f64) -> Option<f32> {
    const MIDDLE: u64 = 1 << 28;
    // What f32 has no place for.
    let rest = value.to_bits() & (2 * MIDDLE - 1);
    (rest.abs_diff(MIDDLE) > 4).then_some(value as f32)
}

/// Eight characters, the first in the lowest byte; digits are their values.
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

    /// How many digits it begins with; none says that there are only digits.
    #[inline]
    fn digits(self) -> Option<usize> {
        const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
        // In each byte that is above 9 the highest bit is set by now, or by the addition.
        let sums = (self.0 & !HIGHEST) + u64::from_le_bytes([0x80 - 10; 8]);
        let others = (self.0 | sums) & HIGHEST;
        (others != 0).then(|| others.trailing_zeros() as usize / 8)
    }

    /// Of as many digits as it begins with: seven at most.
    #[inline]
    fn value(self, digits: usize) -> u64 {
        // With zeros before them.
        Eight((self.0 << 8) << (56 - 8 * digits)).all()
    }

    /// Of all of its digits: neighbours become numbers of two digits, then all four of these are added at once.
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

    /// A text as it stands in an array.
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
            let (bits, digits, behind) = (random(), random() % 18, random() % 18);
            let float = f32::from_bits(bits as u32);
            let small = (bits >> 11) as f64 / (1u64 << 40) as f64 - 4096.0;
            let decimal = format!("{}", bits % 10u64.pow(digits as u32 + 1));
            let point = decimal.len() - (behind as usize).min(decimal.len() - 1);
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
    fn the_middle_of_two_neighbours_is_left_to_the_library() {
        // One, its neighbour, and what lies between them.
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
    fn what_is_no_number_or_not_easy_is_left_too() {
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
        assert_eq!(read(b"1.5"), None, "at the end of a text it is not looked at");
        assert_eq!(read(b"1.5]                         "), Some((1.5, 3)));
        assert_eq!(read(b"255,\xff\xff\xff\xff\xff"), Some((255.0, 3)));
        assert_eq!(read(b"2:/5.0000                    "), Some((2.0, 1)), "neighbours of digits");
    }
}
