"""Fetch the networks that romanize Arabic names, and what belongs to them, from the package on PyPI.

    python3 examples/romanize/fetch.py [FOLDER]

FOLDER is target/romanize of this repository unless given. Needs pip and nothing else. Every file must have the
digest that is written here; where all of them are there already, nothing is fetched.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from wheel import Wheel

# Name here, place in the wheel, SHA-256.
FILES = (
    (
        "encoder.onnx",
        "arabic_name_romanizer/resources/encoder.onnx",
        "f5d65df2189e5ec3929a3167d70de5f1f9eedd89dab964875039089581c5ec49",
    ),
    (
        "decoder.onnx",
        "arabic_name_romanizer/resources/decoder.onnx",
        "2365c42d362313c21748750eefebf3a61fd8045f73a98644176eca538200841a",
    ),
    (
        "vocab.json",
        "arabic_name_romanizer/resources/vocab.json",
        "edfa78c35a7e36b2df5b2d99268b1d96f877a9ab88b0206d8837360326428797",
    ),
    (
        "LICENSE",
        "arabic_name_romanizer-0.2.0.dist-info/licenses/LICENSE",
        "48b755d19874e34d68335ee651be1600855258ebebb661902a5fdbd01f10fe2a",
    ),
    (
        "THIRD_PARTY_NOTICES.md",
        "arabic_name_romanizer-0.2.0.dist-info/licenses/THIRD_PARTY_NOTICES.md",
        "933fd081b99e4233df49bc4be7399c4b7c9bfdd296a31b6346ec64c8191df20a",
    ),
)

ROMANIZER = Wheel(
    "arabic-name-romanizer==0.2.0",
    "f70b89614d9b5866dcf911d098c5e45d2b1f559461f238e8c5259b731fcf2a7e",
    FILES,
)

if __name__ == "__main__":
    ROMANIZER.fetch_for("romanize", __doc__)
