//! Compatibility with the OpenSSF's `model_signing` program in both directions: this crate accepts its signatures, and it
//! accepts those of this crate.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test says what it misses by failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bulkhead_bundle::{Bounds, Compression, Curve, Files, KeyError, PublicKey, Refused, SigningKey, sign, verify};
use tempfile::TempDir;

const CURVES: [Curve; 2] = [Curve::P256, Curve::P384];

fn program() -> PathBuf {
    let path = std::env::var_os("BULKHEAD_MODEL_SIGNING").map(PathBuf::from);
    path.unwrap_or_else(|| panic!("BULKHEAD_MODEL_SIGNING is not set: run the tests with `cargo xtask test`"))
}

/// A folder with an unsigned bundle, and a new key.
struct Place {
    folder: TempDir,
    key: SigningKey,
}

impl Place {
    fn new(curve: Curve) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), key: SigningKey::generate(curve).unwrap() };
        std::fs::write(place.path("key.pem"), &*place.key.to_pem().unwrap()).unwrap();
        std::fs::write(place.path("key.pub"), place.key.public_key().to_pem()).unwrap();
        // Paths whose byte order differs from their order by parts, and in UTF-16.
        let beyond_ascii =
            [("\u{6807}\u{7b7e}/\u{732b}.txt", "\u{732b}\n"), ("\u{20bb7}.onnx", "z"), ("\u{ffdc}", "w")];
        let ascii = [("bundle.toml", "x"), ("a/labels.txt", "zero\n"), ("a-b/empty", ""), ("a b@2.wasm", "y")];
        for (path, content) in ascii.into_iter().chain(beyond_ascii) {
            let file = place.bundle().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    /// Runs `model_signing sign key` or `model_signing verify key`.
    fn tool(&self, command: &str, option: &str, key: &str) -> Output {
        let mut tool = Command::new(program());
        tool.args([command, "key"]).arg(self.bundle()).arg(option).arg(self.path(key));
        tool.arg("--signature").arg(self.bundle().join("bundle.sig")).output().unwrap()
    }

    fn tool_signs(&self, key: &str) {
        let output = self.tool("sign", "--private_key", key);
        assert!(output.status.success(), "{output:?}");
    }

    fn tool_verifies(&self) -> Result<(), String> {
        let output = self.tool("verify", "--public_key", "key.pub");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }

    fn we_sign(&self) {
        let signature = sign(&self.files(), "acme/sample", &self.key).unwrap();
        std::fs::write(self.bundle().join("bundle.sig"), signature).unwrap();
    }

    fn we_verify(&self) -> Result<(), Refused> {
        let verified = verify(self.files(), &Bounds::default(), |_| Some(self.key.public_key().clone()))?;
        assert_eq!(verified.key(), self.key.public_key().hint());
        Ok(())
    }

    fn files(&self) -> Files {
        read(&self.bundle())
    }

    fn change_a_byte(&self) {
        std::fs::write(self.bundle().join("a/labels.txt"), "zerO\n").unwrap();
    }

    /// Makes a key file with Python's `cryptography` package, in the form that `script` gives.
    fn make_key(&self, script: &str) {
        let script = format!(
            "from cryptography.hazmat.primitives.asymmetric import ec, rsa\n\
             from cryptography.hazmat.primitives.serialization import *\n\
             pem, none = Encoding.PEM, NoEncryption()\n\
             open('key.pem', 'wb').write({script})"
        );
        let python = program().with_file_name("python");
        let status =
            Command::new(python).args(["-W", "ignore", "-c", &script]).current_dir(self.folder.path()).status();
        assert!(status.unwrap().success(), "{script}");
    }

    fn key_file(&self) -> Result<SigningKey, KeyError> {
        SigningKey::from_pem(&std::fs::read_to_string(self.path("key.pem")).unwrap())
    }
}

fn read(folder: &Path) -> Files {
    Files::read_folder(folder, &Bounds::default()).unwrap()
}

#[test]
fn we_accept_what_the_tool_signs_and_refuse_it_changed() {
    for curve in CURVES {
        let place = Place::new(curve);
        place.tool_signs("key.pem");
        place.we_verify().unwrap();
        place.change_a_byte();
        let error = place.we_verify().unwrap_err().to_string();
        assert_eq!(error, "changed after the bundle was signed: \"a/labels.txt\"");
    }
}

#[test]
fn the_tool_accepts_what_we_sign_and_refuses_it_changed() {
    for curve in CURVES {
        let place = Place::new(curve);
        place.we_sign();
        place.tool_verifies().unwrap();
        place.change_a_byte();
        let error = place.tool_verifies().unwrap_err();
        assert!(error.contains("Hash mismatch for") && error.contains("a/labels.txt"), "{error}");
    }
}

/// A signature stays valid for the tool after the bundle was packed and unpacked.
#[test]
fn an_archive_carries_what_was_signed() {
    let place = Place::new(Curve::P256);
    place.we_sign();
    let mut archive = Vec::new();
    place.files().pack(&mut archive, Compression::Zstd).unwrap();
    std::fs::remove_dir_all(place.bundle()).unwrap();
    for (path, content) in Files::unpack(&archive[..], &Bounds::default()).unwrap().iter() {
        let file = place.bundle().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }
    place.tool_verifies().unwrap();
    place.we_verify().unwrap();
}

#[test]
fn a_signature_that_leaves_out_a_file_is_refused() {
    let place = Place::new(Curve::P256);
    let mut tool = Command::new(program());
    tool.args(["sign", "key"]).arg(place.bundle()).arg("--private_key").arg(place.path("key.pem"));
    tool.arg("--signature").arg(place.bundle().join("bundle.sig"));
    let output = tool.arg("--ignore-paths").arg(place.bundle().join("a/labels.txt")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.we_verify(), Err(Refused::Ignores("a/labels.txt".into())));
}

#[test]
fn keys_that_other_programs_write_are_read() {
    for (curve, name) in [(Curve::P256, "SECP256R1"), (Curve::P384, "SECP384R1")] {
        for format in ["TraditionalOpenSSL", "PKCS8"] {
            let mut place = Place::new(curve);
            place.make_key(&format!(
                "ec.generate_private_key(ec.{name}()).private_bytes(pem, PrivateFormat.{format}, none)"
            ));
            place.key = place.key_file().unwrap();
            assert_eq!(place.key.public_key().curve(), curve);
            place.tool_signs("key.pem");
            place.we_verify().unwrap();
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_the_reason() {
    let place = Place::new(Curve::P256);
    let private = |key: &str, format: &str, encryption: &str| {
        place.make_key(&format!("{key}.private_bytes(pem, PrivateFormat.{format}, {encryption})"));
        place.key_file().map(|key| key.public_key().clone()).unwrap_err()
    };
    let ec = |curve: &str| format!("ec.generate_private_key(ec.{curve}())");
    let rsa = "rsa.generate_private_key(65537, 2048)";
    let password = "BestAvailableEncryption(b'x')";
    for format in ["PKCS8", "TraditionalOpenSSL"] {
        assert!(matches!(private(&ec("SECP256R1"), format, password), KeyError::Encrypted));
        for key in [&ec("SECP521R1"), &ec("SECP256K1"), rsa] {
            assert!(matches!(private(key, format, "none"), KeyError::Unusable(_)), "{format} {key}");
        }
    }
    for key in [&ec("SECP521R1"), &ec("SECP256K1"), rsa] {
        place.make_key(&format!("{key}.public_key().public_bytes(pem, PublicFormat.SubjectPublicKeyInfo)"));
        let pem = std::fs::read_to_string(place.path("key.pem")).unwrap();
        assert!(matches!(PublicKey::from_pem(&pem), Err(KeyError::Unusable(_))), "{key}");
    }
}
