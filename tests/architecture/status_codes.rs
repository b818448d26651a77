//! What `docs/status-codes.md` tells people is the table that the host answers by.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use system_tests::repository;

/// `(S::NOT_FOUND, "unknown_model", None)` in the code.
fn in_code() -> Result<BTreeSet<(String, String)>> {
    let source = fs::read_to_string(repository().join("host/src/error/table.rs"))?;
    let rows = source.split("(S::").skip(1).filter_map(|row| {
        let (status, rest) = row.split_once(", \"")?;
        let (code, _) = rest.split_once('"')?;
        Some((status.to_owned(), code.to_owned()))
    });
    Ok(rows.collect())
}

/// ``| 404 Not Found | `unknown_model` | …`` in the document.
fn in_document() -> Result<BTreeSet<(String, String)>> {
    let document = fs::read_to_string(repository().join("docs/status-codes.md"))?;
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (_, status) = cells.next()?.split_once(' ')?;
        let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((status.to_uppercase().replace(' ', "_"), code.to_owned()))
    });
    Ok(rows.collect())
}

#[test]
fn the_document_has_every_code_and_no_other() -> Result<()> {
    let (code, document) = (in_code()?, in_document()?);
    assert!(code.len() > 15, "{code:?}");
    let missing: Vec<_> = code.difference(&document).collect();
    let stale: Vec<_> = document.difference(&code).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in the document: {missing:?}; only in the document: {stale:?}"
    );
    Ok(())
}
