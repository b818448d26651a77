//! Levels of the log, and directives that set them.

/// The levels, each of which includes those before it.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Checks a level or directives, each of them `LEVEL` or `TARGET=LEVEL`, and returns them without spaces; else says what is
/// wanted. A misspelt level must not pass: the log's library takes it for a target, and turns off the lines of all others.
pub fn parse_directives(text: &str) -> Result<String, String> {
    let known = |level: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    let is_target = |target: &str| {
        !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte))
    };
    let fits = |directive: &&str| match directive.split_once('=') {
        None => known(directive),
        Some((target, level)) => is_target(target) && known(level),
    };
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    if directives.iter().all(fits) {
        return Ok(directives.join(","));
    }
    let levels = LEVELS.join(", ");
    Err(format!("a level or directives (levels: {levels}; a directive: TARGET=LEVEL, as in \"warn,bulkhead=debug\")"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_levels_that_exist_are_taken() {
        for (text, taken) in [
            ("info", "info"),
            ("WARN", "WARN"),
            ("warn,bulkhead=debug,plugin=info", "warn,bulkhead=debug,plugin=info"),
            (" warn, bulkhead::http=trace", "warn,bulkhead::http=trace"),
            ("off", "off"),
        ] {
            assert_eq!(parse_directives(text).as_deref(), Ok(taken));
        }
        for wrong in [
            "",
            " ",
            "warning",
            "verbose",
            "bulkhead",
            "info,",
            "bulkhead=",
            "bulkhead=loud",
            "=info",
            "=loud=",
            "a b=info",
        ] {
            let wanted = parse_directives(wrong).unwrap_err();
            assert!(wanted.contains("off, error, warn, info, debug, trace"), "{wrong}: {wanted}");
        }
    }
}
