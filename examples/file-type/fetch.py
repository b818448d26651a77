"""Fetch Magika's model and what belongs to it, from the package that Google publishes on PyPI.

    python3 examples/file-type/fetch.py [FOLDER]

FOLDER is target/file-type of this repository unless given. Needs pip and nothing else. Every file must have the
digest that is written here; where all of them are there already, nothing is fetched.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from wheel import Wheel

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

# The same wheel wherever this runs: only data is taken from it. Other platforms' wheels carry the same model.
MAGIKA = Wheel(
    "magika==1.0.3",
    "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
    FILES,
    platform="manylinux_2_28_x86_64",
)

if __name__ == "__main__":
    MAGIKA.fetch_for("file-type", __doc__)
