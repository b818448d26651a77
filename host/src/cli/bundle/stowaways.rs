//! Files in a bundle's folder that no bundle needs: secrets, sources, and what builds leave. Everything in the folder is
//! signed, and goes to every host.

use bulkhead_bundle::Files;

const SOURCES: [&str; 12] = ["rs", "py", "c", "cc", "cpp", "h", "go", "js", "ts", "wit", "lock", "ipynb"];
const BUILDS: [&str; 4] = ["target", "node_modules", "__pycache__", ".venv"];
const PROJECTS: [&str; 4] = ["Cargo.toml", "pyproject.toml", "package.json", "Makefile"];

/// A kind of such files: what is said of one, and which paths belong to it.
type Kind = (&'static str, fn(&str) -> bool);

/// One line for each kind of such files that are in the bundle, with the first file and the number of them.
pub(super) fn warnings(files: &Files) -> Vec<String> {
    let kinds: [Kind; 3] = [
        ("may hold secrets", is_secret),
        ("is what a build leaves", is_of_a_build),
        ("is a source", |path| !is_of_a_build(path) && is_source(path)),
    ];
    let warning = |(what, belongs): Kind| {
        let mut found = files.iter().map(|(path, _)| path).filter(|path| belongs(path));
        let first = found.next()?;
        let others = match found.count() {
            0 => String::new(),
            1 => " (and 1 file more)".to_owned(),
            count => format!(" (and {count} files more)"),
        };
        Some(format!("\"{first}\" {what}{others}; it is signed, and goes to every host: move it out of the folder"))
    };
    kinds.into_iter().filter_map(warning).collect()
}

fn is_secret(path: &str) -> bool {
    let name = file_name(path);
    name == ".env" || name.starts_with(".env.") || name == ".netrc" || name == ".npmrc" || name == ".pypirc"
}

fn is_of_a_build(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|folder| BUILDS.contains(&folder))
}

fn is_source(path: &str) -> bool {
    let name = file_name(path);
    PROJECTS.contains(&name) || name.rsplit_once('.').is_some_and(|(_, ending)| SOURCES.contains(&ending))
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
