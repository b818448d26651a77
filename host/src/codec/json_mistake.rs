//! The parser's messages about values that it did not expect, in the words of clients: it names types as its own language
//! does, and counts lines that nobody sees.

use std::borrow::Cow;

/// The problem without its line and column, which the parser counts from the beginning of the value and not of the body.
pub fn in_plain_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    let mismatch = ["invalid type: ", "invalid value: "].iter().find_map(|kind| problem.strip_prefix(kind));
    match mismatch.and_then(|mismatch| mismatch.rsplit_once(", expected ")) {
        Some((given, wanted)) => format!("it is {}, and must be {}", given_value(given), wanted_value(wanted)),
        None => problem.replace("EOF while parsing", "the text ends within"),
    }
}

fn given_value(given: &str) -> Cow<'_, str> {
    let quoted = ["integer", "floating point", "boolean"].iter().find_map(|kind| given.strip_prefix(kind));
    match (given, quoted) {
        ("sequence", _) => "a list".into(),
        ("map", _) => "an object".into(),
        ("unit value", _) => "null".into(),
        (_, Some(value)) => value.trim().trim_matches('`').into(),
        _ => given.strip_prefix("string ").map_or(given.into(), |text| format!("the text {text}").into()),
    }
}

fn wanted_value(wanted: &str) -> &str {
    match wanted {
        "a string" | "a borrowed string" | "string or map" => "a text",
        "i64" => "a whole number",
        "u64" | "u32" | "usize" => "a whole number from 0",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;

    use super::*;

    fn said<T: DeserializeOwned>(json: &str) -> String {
        in_plain_words(&serde_json::from_str::<T>(json).err().unwrap())
    }

    #[test]
    fn values_of_another_type_are_named_as_clients_know_them() {
        assert_eq!(said::<String>("7"), "it is 7, and must be a text");
        assert_eq!(said::<String>("[1]"), "it is a list, and must be a text");
        assert_eq!(said::<i64>("\"a, expected b\""), "it is the text \"a, expected b\", and must be a whole number");
        assert_eq!(said::<u64>("-4"), "it is -4, and must be a whole number from 0");
        assert_eq!(said::<u64>("1.5"), "it is 1.5, and must be a whole number from 0");
        assert_eq!(said::<bool>("null"), "it is null, and must be true or false");
        assert_eq!(said::<Vec<i64>>("{}"), "it is an object, and must be a list");
        assert_eq!(said::<BTreeMap<String, i64>>("true"), "it is true, and must be an object");
        assert_eq!(said::<Vec<i64>>("[1"), "the text ends within a list");
    }
}
