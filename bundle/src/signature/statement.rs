//! The payload of `bundle.sig`: every file with its digest. It is parsed only after a trusted key's signature of it was
//! verified.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::Refused;
use crate::path::{VERSION_CONTROL, check, shown};
use crate::{Bounds, Digest, SIGNATURE};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
const METHOD: &str = "files";
const ALGORITHM: &str = "sha256";

/// Unknown fields are ignored, as both standards require.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    /// Its structure depends on `predicate_type`.
    predicate: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Predicate {
    resources: Vec<Resource>,
    serialization: Serialization,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// The method by which the files were turned into resources.
#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    #[serde(default)]
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

impl Statement {
    /// A statement about files with these digests.
    pub(super) fn new(name: &str, digests: &BTreeMap<&str, Digest>) -> serde_json::Result<Statement> {
        let mut files: Vec<_> = digests.iter().collect();
        // The order that `model_signing` uses: by the parts of the path.
        files.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
        let together = Digest::of_all(files.iter().map(|(_, digest)| digest.as_bytes()));
        let resource = |(path, digest): &(&&str, &Digest)| Resource {
            name: (**path).to_owned(),
            algorithm: ALGORITHM.into(),
            digest: digest.hex(),
        };
        let predicate = Predicate {
            resources: files.iter().map(resource).collect(),
            serialization: Serialization {
                method: METHOD.into(),
                hash_type: ALGORITHM.into(),
                allow_symlinks: false,
                ignore_paths: ignorable().map(str::to_owned).collect(),
            },
        };
        let digest = BTreeMap::from([(ALGORITHM.to_owned(), together.hex())]);
        Ok(Statement {
            kind: STATEMENT_TYPE.into(),
            subject: vec![Subject { name: name.to_owned(), digest }],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: to_raw_value(&predicate)?,
        })
    }

    /// Parses the payload and returns the signed digest of each file.
    pub(super) fn read(payload: &[u8], bounds: &Bounds) -> Result<BTreeMap<String, Digest>, Refused> {
        let statement: Statement = serde_json::from_slice(payload).map_err(unreadable)?;
        if statement.kind != STATEMENT_TYPE {
            return Err(Refused::StatementType(shown(statement.kind.as_bytes())));
        }
        if statement.predicate_type != PREDICATE_TYPE {
            return Err(Refused::PredicateType(shown(statement.predicate_type.as_bytes())));
        }
        let predicate: Predicate = serde_json::from_str(statement.predicate.get()).map_err(unreadable)?;
        predicate.serialization.check()?;
        let said = statement.subject_digest()?;
        let digests = predicate.resources.iter().map(Resource::digest).collect::<Result<Vec<_>, _>>()?;
        let found = Digest::of_all(digests.iter().map(Digest::as_bytes));
        if said != found {
            return Err(Refused::SubjectDigest { said, found });
        }
        list(predicate.resources, digests, bounds)
    }

    fn subject_digest(&self) -> Result<Digest, Refused> {
        let [subject] = &self.subject[..] else {
            return Err(Refused::Subjects(self.subject.len()));
        };
        let what = || "the statement's subject".to_owned();
        if let Some(algorithm) = subject.digest.keys().find(|algorithm| *algorithm != ALGORITHM) {
            return Err(Refused::Algorithm { what: what(), algorithm: shown(algorithm.as_bytes()) });
        }
        let digest = subject.digest.get(ALGORITHM).and_then(|digest| Digest::from_hex(digest));
        digest.ok_or_else(|| Refused::DigestForm(what()))
    }
}

impl Serialization {
    fn check(&self) -> Result<(), Refused> {
        if self.method != METHOD {
            return Err(Refused::Method(shown(self.method.as_bytes())));
        }
        if self.hash_type != ALGORITHM {
            let algorithm = shown(self.hash_type.as_bytes());
            return Err(Refused::Algorithm { what: "all files".into(), algorithm });
        }
        match self.ignore_paths.iter().find(|path| !ignorable().any(|known| known == *path)) {
            Some(path) => Err(Refused::Ignores(shown(path.as_bytes()))),
            None => Ok(()),
        }
    }
}

impl Resource {
    fn digest(&self) -> Result<Digest, Refused> {
        let what = || format!("\"{}\"", shown(self.name.as_bytes()));
        if self.algorithm != ALGORITHM {
            return Err(Refused::Algorithm { what: what(), algorithm: shown(self.algorithm.as_bytes()) });
        }
        Digest::from_hex(&self.digest).ok_or_else(|| Refused::DigestForm(what()))
    }
}

/// Names that a signature may leave out: its own file, and names that a bundle cannot contain.
fn ignorable() -> impl Iterator<Item = &'static str> {
    VERSION_CONTROL.into_iter().chain([SIGNATURE])
}

fn list(resources: Vec<Resource>, digests: Vec<Digest>, bounds: &Bounds) -> Result<BTreeMap<String, Digest>, Refused> {
    let mut listed = BTreeMap::new();
    for (Resource { name, .. }, digest) in resources.into_iter().zip(digests) {
        check(&name, bounds).map_err(|reason| Refused::ResourcePath { path: shown(name.as_bytes()), reason })?;
        if name == SIGNATURE {
            return Err(Refused::ListsItself);
        }
        if listed.insert(name.clone(), digest).is_some() {
            return Err(Refused::ListedTwice(name));
        }
    }
    Ok(listed)
}

fn unreadable(error: serde_json::Error) -> Refused {
    Refused::Statement(shown(error.to_string().as_bytes()))
}
