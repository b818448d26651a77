//! Files and folders of the host that stand in one folder do not use each other in a circle: each folder can be read from the
//! bottom up. Uses between a module and the modules inside of it do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;
use system_tests::repository;

/// A module's path from the crate's root.
type Module = Vec<String>;

/// The texts of the host's files by module, without those that are there for tests only.
fn modules() -> Result<BTreeMap<Module, String>> {
    const TEST_ONLY: &str = "#[cfg(test)]\nmod ";
    let mut modules = BTreeMap::new();
    collect(&repository().join("host/src"), &Vec::new(), &mut modules)?;
    let mut for_tests: Vec<Module> = Vec::new();
    for (module, text) in &modules {
        let names = text.split(TEST_ONLY).skip(1).filter_map(|rest| rest.split_once(';'));
        for_tests.extend(names.map(|(name, _)| module.iter().cloned().chain([name.to_owned()]).collect()));
    }
    modules.retain(|module, _| !for_tests.iter().any(|test| module.starts_with(test)));
    for text in modules.values_mut() {
        text.truncate(text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()));
    }
    Ok(modules)
}

fn collect(folder: &Path, module: &Module, modules: &mut BTreeMap<Module, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let inner = || module.iter().cloned().chain([stem.clone()]).collect::<Module>();
        if path.is_dir() {
            collect(&path, &inner(), modules)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let is_root = ["mod", "lib", "main"].contains(&stem.as_str());
            modules.entry(if is_root { module.clone() } else { inner() }).or_default().push_str(&text);
        }
    }
    Ok(())
}

/// The paths that begin with `crate::` or `super::` in a file, with the groups of `use` taken apart.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                take_apart(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads a path, or a group of paths in braces, and returns what follows it.
fn take_apart<'a>(text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = take_apart(rest, &mut before.clone(), found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or_default(),
                None => return rest.strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    if name.is_empty() {
        found.push(before.clone());
        return rest.strip_prefix('*').unwrap_or(rest);
    }
    before.push(name.to_owned());
    match rest.strip_prefix("::") {
        Some(inner) if !inner.starts_with('<') => take_apart(inner, before, found),
        _ => {
            found.push(before.clone());
            let renamed = rest.trim_start().strip_prefix("as ");
            renamed.map_or(rest, |name| name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
        }
    }
}

/// The module that a path in a file leads to, as far as its names are modules.
fn target(file: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Module {
    let mut place = if path.first().is_some_and(|first| first == "crate") { Vec::new() } else { file.clone() };
    for name in path {
        match name.as_str() {
            "crate" => {}
            "super" => drop(place.pop()),
            name => {
                place.push(name.to_owned());
                if !modules.contains_key(&place) {
                    place.pop();
                    break;
                }
            }
        }
    }
    place
}

/// For each folder, who in it uses whom.
fn uses() -> Result<BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>> {
    let modules = modules()?;
    let mut uses: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (file, text) in &modules {
        for path in paths(text) {
            let target = target(file, &path, &modules);
            let common = file.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (file.get(common), target.get(common)) {
                let folder = uses.entry(file[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    Ok(uses)
}

/// Everything that one can get to.
fn reached<'a>(from: &'a str, uses: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        for used in uses.get(name).into_iter().flatten() {
            if reached.insert(used.as_str()) {
                next.push(used);
            }
        }
    }
    reached
}

#[test]
fn no_files_of_a_folder_form_a_circle() -> Result<()> {
    let mut circles = BTreeSet::new();
    for (folder, uses) in &uses()? {
        for name in uses.keys() {
            let in_circle: Vec<&str> =
                reached(name, uses).into_iter().filter(|other| reached(other, uses).contains(name.as_str())).collect();
            if !in_circle.is_empty() {
                circles.insert(format!("in host/src/{}: {in_circle:?}", folder.join("/")));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
    Ok(())
}
