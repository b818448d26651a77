//! The shape of nested JSON lists, found without reading their values, because a tensor's shape must be known before its
//! values are read.

use crate::codec::json::scanner::value_length;

/// Upper bound on nested lists; no tensor has more dimensions.
const MAX_LEVELS: usize = 32;

/// The sizes of nested JSON lists, outermost first; empty for a single value. Text that is not valid JSON is not detected
/// here: the reader of the values reports it. The errors are in TensorFlow Serving's words.
pub(super) fn shape(json: &str) -> Result<Vec<u64>, String> {
    let mut scanner = ShapeScanner::default();
    let mut rest = json.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'[' => {
                scanner.open()?;
                after
            }
            b']' => {
                scanner.close()?;
                after
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' => after,
            _ => {
                scanner.value()?;
                &rest[value_length(rest).unwrap_or(rest.len())..]
            }
        };
    }
    Ok(scanner.sizes.into_iter().flatten().collect())
}

#[derive(Default)]
struct ShapeScanner {
    /// Number of values in each open list so far.
    open: Vec<u64>,
    /// Size of the lists at each level, from the first list that was closed.
    sizes: Vec<Option<u64>>,
    /// The level at which the values are, from the first value.
    values: Option<usize>,
}

impl ShapeScanner {
    fn open(&mut self) -> Result<(), String> {
        let level = self.open.len();
        if let Some(values) = self.values.filter(|values| level >= *values) {
            return Err(format!("Encountered list at unexpected level: {level} expected < {values}"));
        }
        if level == MAX_LEVELS {
            return Err(format!("lists are nested deeper than {MAX_LEVELS} levels"));
        }
        self.count();
        self.open.push(0);
        if self.sizes.len() == level {
            self.sizes.push(None);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(size) = self.open.pop() else { return Ok(()) };
        // `open` has added a size for the level of every list.
        let level = self.open.len();
        match self.sizes[level].replace(size) {
            Some(expected) if expected != size => {
                Err(format!("Encountered list at unexpected size: {size} at level: {level} expected size: {expected}"))
            }
            _ => Ok(()),
        }
    }

    fn value(&mut self) -> Result<(), String> {
        let level = self.open.len();
        // The first value must be at the deepest level so far, because only lists may stand beside an empty list.
        let expected = *self.values.get_or_insert(level.max(self.sizes.len()));
        if expected != level {
            return Err(format!("a value was found at level {level} of the lists, and expected at level {expected}"));
        }
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        if let Some(list) = self.open.last_mut() {
            *list += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_shape_of_their_nesting() {
        for (json, wanted) in [
            ("7", &[][..]),
            ("\"a, [b\"", &[]),
            ("[]", &[0]),
            ("[[],[]]", &[2, 0]),
            ("[1, 2.5e3, -1]", &[3]),
            ("[[1,2],[3,4],[5,6]]", &[3, 2]),
            (r#"["a]","\"[",{"b64":"]]"}]"#, &[3]),
            ("[ [ [ true ] ] ]", &[1, 1, 1]),
        ] {
            assert_eq!(shape(json).unwrap(), wanted, "{json}");
        }
    }

    #[test]
    fn ragged_and_deep_lists_are_refused() {
        for (json, wanted) in [
            ("[[1,2],[3]]", "unexpected size: 1 at level: 1 expected size: 2"),
            ("[1,[2]]", "unexpected level: 1"),
            ("[[1],2]", "found at level 1"),
            ("[[],[1]]", "unexpected size: 1"),
            ("[[],1]", "found at level 1"),
            (&"[".repeat(100), "deeper than 32"),
        ] {
            let error = shape(json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
