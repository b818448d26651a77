//! The shape of nested JSON lists, which is found while their values are read. All lists of one level have the same size,
//! and all values are at one level: other lists have no shape, and are refused.

use crate::tensor::MAX_DIMENSIONS;

/// The nesting of a JSON text up to the place where its reader is. Levels are counted from
/// 0, the outermost list.
#[derive(Default)]
pub(super) struct Nesting {
    /// Number of values in the innermost open list so far.
    inner: u64,
    /// Number of values in each other open list, outermost first. The first stands for the text, and has one value at most.
    outer: Vec<u64>,
    /// Size of the lists at each level, from the first list that was closed.
    sizes: Vec<Option<u64>>,
    /// The level at which the values are, from the first value.
    values: Option<usize>,
}

impl Nesting {
    /// The nesting of a text that begins inside of a list.
    pub(super) fn inside_list() -> Nesting {
        Nesting { outer: vec![1], sizes: vec![None], ..Nesting::default() }
    }

    /// Number of lists that are open.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.outer.len()
    }

    pub(super) fn open(&mut self) -> Result<(), String> {
        let level = self.depth();
        if self.values.is_some_and(|values| level >= values) {
            return Err(format!("a list was found at level {level} of the lists, where values were found before it"));
        }
        if level == MAX_DIMENSIONS {
            return Err(format!("lists are nested deeper than {MAX_DIMENSIONS} levels"));
        }
        self.outer.push(self.inner + 1);
        self.inner = 0;
        if self.sizes.len() == level {
            self.sizes.push(None);
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        let Some(outer) = self.outer.pop() else { return Ok(()) };
        let size = std::mem::replace(&mut self.inner, outer);
        // `open` has added a size for the level of every list.
        let level = self.depth();
        match self.sizes[level].replace(size) {
            Some(expected) if expected != size => Err(format!(
                "a list at level {level} of the lists has {size} elements, and one before it at the same level has \
                     {expected}: all must have one size, since they are the rows of a tensor"
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn value(&mut self) -> Result<(), String> {
        let level = self.depth();
        // The first value must be at the deepest level so far, because only lists may stand beside an empty list.
        let expected = *self.values.get_or_insert(level.max(self.sizes.len()));
        if expected != level {
            return Err(format!("a value was found at level {level} of the lists, and expected at level {expected}"));
        }
        self.count();
        Ok(())
    }

    /// Counts a value that follows another one in the same list.
    #[inline]
    pub(super) fn count(&mut self) {
        self.inner += 1;
    }

    /// The sizes of the lists, outermost first; empty for a single value.
    pub(super) fn into_shape(self) -> Vec<u64> {
        self.sizes.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::json::elements::parse_all_with_base64;
    use crate::tensor::Datatype;

    fn shape(datatype: Datatype, json: &str) -> Result<Vec<u64>, String> {
        parse_all_with_base64(datatype, json).map(|parsed| parsed.nesting)
    }

    #[test]
    fn lists_have_the_shape_of_their_nesting() {
        for (datatype, json, wanted) in [
            (Datatype::Int8, "7", &[][..]),
            (Datatype::Bytes, "\"a, [b\"", &[]),
            (Datatype::Int8, "[]", &[0]),
            (Datatype::Int8, "[[],[]]", &[2, 0]),
            (Datatype::Fp32, "[1, 2.5e3, -1]", &[3]),
            (Datatype::Int8, "[[1,2],[3,4],[5,6]]", &[3, 2]),
            (Datatype::Bytes, r#"["a]","\"[",{"b64":"YQ=="}]"#, &[3]),
            (Datatype::Bool, "[ [ [ true ] ] ]", &[1, 1, 1]),
        ] {
            assert_eq!(shape(datatype, json).unwrap(), wanted, "{json}");
        }
    }

    #[test]
    fn ragged_and_deep_lists_are_refused() {
        for (json, wanted) in [
            ("[[1,2],[3]]", "at level 1 of the lists has 1 elements, and one before it at the same level has 2"),
            ("[1,[2]]", "a list was found at level 1"),
            ("[[1],2]", "found at level 1"),
            ("[[],[1]]", "has 1 elements"),
            ("[[],1]", "found at level 1"),
            (&"[".repeat(100_000), "deeper than 32"),
        ] {
            let error = shape(Datatype::Int8, json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
