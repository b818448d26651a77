//! Seeds of the targets: a tensor of each datatype in the target's format, the cases of `tests/bad-input`, and the files in
//! `seeds/`. Add an input there when it broke an invariant.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead::numbers::to_usize;
use bulkhead::protocol::tfserving::rows::RequestLayout;
use bulkhead::tensor::{Datatype, Tensor};
use serde::Deserialize;

use crate::{Target, forms};

pub fn of(target: &Target) -> Result<Vec<Vec<u8>>> {
    let mut seeds = files(&folder("fuzz/seeds")?.join(target.name))?;
    for tensor in tensors() {
        seeds.extend(written(target, &tensor));
    }
    if let "json" | "binary" = target.name {
        seeds.extend(bad_input(target.name == "binary")?);
    }
    Ok(seeds)
}

/// Writes the seeds into a folder, from which libFuzzer reads them.
pub fn write(target: &Target, inputs: &Path) -> Result<()> {
    for (at, seed) in of(target)?.into_iter().enumerate() {
        let path = inputs.join(format!("seed-{at}"));
        fs::write(&path, seed).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A folder of the repository, found at run time because the program may have been built elsewhere.
fn folder(path: &str) -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run by `cargo xtask fuzz`, or as a test")?;
    Ok(Path::new(&package).with_file_name(path))
}

fn files(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths.into_iter().map(fs::read).collect::<Result<_, _>>()?)
}

/// Two tensors of each datatype: one with a few elements, and an empty one.
fn tensors() -> impl Iterator<Item = Tensor> {
    Datatype::ALL.into_iter().flat_map(|datatype| {
        let elements = match datatype.width() {
            Some(width) => [0, 1].into_iter().cycle().take(4 * to_usize(width)).collect(),
            None => b"\x02\0\0\0hi\0\0\0\0\x01\0\0\0\"\x02\0\0\0\xc3\xa4".to_vec(),
        };
        let tensor = |shape: &[u64], data: Vec<u8>| {
            Tensor::new(datatype, shape.to_vec(), data.into()).expect("four elements, or none")
        };
        [tensor(&[2, 2], elements), tensor(&[0], Vec::new())]
    })
}

fn written(target: &Target, tensor: &Tensor) -> Vec<Vec<u8>> {
    match target.name {
        "json" => forms::json(tensor).into_iter().collect(),
        "binary" => {
            let (json, rest) = forms::binary(tensor);
            vec![[json, rest].join(&0), [b"?a=1", &tensor.data()[..]].join(&0)]
        }
        "grpc" => {
            let contents = forms::contents(tensor);
            let listed = contents.map(|contents| forms::grpc(tensor, Some(contents)));
            listed.into_iter().chain([forms::grpc(tensor, None)]).collect()
        }
        "tensorflow-rest" => {
            let forms = [RequestLayout::Rows, RequestLayout::Columns].map(|form| forms::predict_rest(tensor, form));
            forms.into_iter().flatten().collect()
        }
        "tensorflow-grpc" => forms::predict_grpc(tensor).into_iter().collect(),
        "parts" => Vec::new(),
        _ => {
            let datatype = (0u8..).zip(Datatype::ALL).find(|(_, datatype)| *datatype == tensor.datatype());
            vec![[&[datatype.map_or(0, |(number, _)| number), 2], &tensor.data()[..]].concat()]
        }
    }
}

/// The fields of a `tests/bad-input` case that a decoder sees.
#[derive(Deserialize)]
struct Case {
    path: String,
    #[serde(default)]
    body: String,
    bytes: Option<Vec<u8>>,
    json_length: Option<String>,
}

fn bad_input(binary: bool) -> Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for file in files(&folder("tests/bad-input")?)? {
        let case: Case = toml::from_str(&String::from_utf8(file)?)?;
        if case.bytes.is_some() != binary || !case.path.ends_with("/infer") {
            continue;
        }
        let only_tensor = case.json_length.as_deref() == Some("0");
        let head = if only_tensor { "?".to_owned() } else { case.body };
        seeds.push(match case.bytes {
            Some(bytes) => [head.into_bytes(), bytes].join(&0),
            None => head.into_bytes(),
        });
    }
    Ok(seeds)
}
