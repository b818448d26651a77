//! Parsing and formatting of sizes, times and counts in the units that people write.

use std::str::FromStr;
use std::time::Duration;

/// A size in bytes, such as `64 MiB`, `10MB` or `4096`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    bytesize::ByteSize::from_str(text).map(|size| size.as_u64()).map_err(|_| "a size such as \"64 MiB\"".into())
}

/// A time such as `250ms`, `10s` or `1m 30s`, from one millisecond to one day.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a time such as \"250ms\" or \"1m 30s\", of one day at most".to_string();
    let duration = humantime::parse_duration(text).map_err(|_| wanted())?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(86_400);
    if allowed.contains(&duration) { Ok(duration) } else { Err(wanted()) }
}

/// A count such as `10 G`, `2.5M` or `1000`; the suffixes are powers of a thousand.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let wanted = || "a count such as \"10 G\", \"500 M\" or 1000".to_string();
    let text = text.trim();
    let (number, factor) = match text.chars().last() {
        Some('k') => (&text[..text.len() - 1], 1e3),
        Some('M') => (&text[..text.len() - 1], 1e6),
        Some('G') => (&text[..text.len() - 1], 1e9),
        Some('T') => (&text[..text.len() - 1], 1e12),
        _ => (text, 1.0),
    };
    let number: f64 = number.trim().replace('_', "").parse().map_err(|_| wanted())?;
    let count = number * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "used within 0 to 9e18; only a fraction is lost"
    )]
    let whole = count as u64;
    // NaN is in no range.
    if (0.0..9e18).contains(&count) { Ok(whole) } else { Err(wanted()) }
}

/// Shortens a text from outside the host to 2 KiB, and appends its full length, so that a message can repeat it.
pub fn clip(mut text: String) -> String {
    const MOST: usize = 2048;
    if text.len() > MOST {
        let length = text.len();
        text.truncate(text.floor_char_boundary(MOST));
        text.shrink_to_fit();
        text.push_str(&format!("… ({length} bytes)"));
    }
    text
}

pub fn format_bytes(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

pub fn format_count(count: u64) -> String {
    let scaled = |unit: f64, suffix| format!("{} {suffix}", (count as f64 / unit * 100.0).round() / 100.0);
    match count {
        0..1_000_000 => count.to_string(),
        1_000_000..1_000_000_000 => scaled(1e6, "M"),
        _ => scaled(1e9, "G"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_count("2.5 G"), Ok(2_500_000_000));
        assert_eq!(parse_count("10_000"), Ok(10_000));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "G", "-1", "1e400", "nan", "ten"] {
            assert!(parse_count(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0s", "2days", "10", "-1s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn clips_between_characters() {
        assert_eq!(clip("short".into()), "short");
        let clipped = clip("ü".repeat(5000));
        assert!(clipped.len() < 2100 && clipped.ends_with("ü… (10000 bytes)"), "{clipped}");
    }

    #[test]
    fn formats_what_people_read() {
        assert_eq!(format_count(10_000_000_000), "10 G");
        assert_eq!(format_count(1_234_567), "1.23 M");
        assert_eq!(format_bytes(64 << 20), "64.0 MiB");
    }
}
