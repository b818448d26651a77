"""Compare what Bulkhead serves with what Magika itself answers, for real files of this machine.

    python compare.py [--url http://127.0.0.1:8000] [--model file-type]

Run it with a Python that has the packages of requirements.txt. Each file goes to the server as a raw body; label, MIME
type, group, description and score of the reply must be those of `Magika().identify_bytes`. The files are Python's own,
those of this environment's packages, those of this repository, some that Python's standard library writes, and the
edge cases of Magika's feature extraction.
"""

import argparse
import bz2
import configparser
import csv
import difflib
import email.message
import gzip
import importlib.util
import io
import json
import lzma
import marshal
import os
import pickle
import plistlib
import pydoc
import random
import sqlite3
import struct
import sys
import sysconfig
import tarfile
import urllib.error
import urllib.request
import wave
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from pathlib import Path

from magika import Magika

REPOSITORY = Path(__file__).resolve().parents[2]

MIN_FILES = 60
MIN_TYPES = 20

# Of each folder and file name extension so many, up to so large.
FILES_PER_EXTENSION = 2
MAX_EXTENSIONS = 40
MAX_FILE_BYTES = 8 << 20

# tract and ONNX Runtime add up in different orders.
SCORE_TOLERANCE = 1e-3
TEXTS = ("label", "mime_type", "group", "description")
SECONDS_TO_REPLY = 60


def main():
    arguments = parse_arguments()
    model = f"{arguments.url.rstrip('/')}/v2/models/{arguments.model}"
    check_is_served(model)
    magika = Magika()
    files = real_files() + written_files() + edge_cases()
    types = set()
    differences = []
    for name, content in files:
        wanted = reference(magika, content)
        types.add(wanted["label"])
        differences += compare(name, wanted, ask(f"{model}/infer", content))
    report(magika, len(files), types, differences)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where Bulkhead listens [%(default)s]")
    parser.add_argument("--model", default="file-type", help="what the model is called there [%(default)s]")
    return parser.parse_args()


# --- asking and comparing ---------------------------------------------------------------------------------------------


def reference(magika, content):
    prediction = magika.identify_bytes(content).prediction
    texts = {name: str(getattr(prediction.output, name)) for name in TEXTS}
    return {**texts, "score": prediction.score}


def check_is_served(model):
    try:
        urllib.request.urlopen(model, timeout=SECONDS_TO_REPLY).close()
    except urllib.error.HTTPError as error:
        sys.exit(f"{model} is not served: {error.code} {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"{model} cannot be reached: {error}. Is `bulkhead serve` running there?")


def ask(endpoint, content):
    """The reply's outputs by name, or {"error": why there are none}."""
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(endpoint, data=content, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_TO_REPLY) as reply:
            outputs = json.load(reply)["outputs"]
    except urllib.error.HTTPError as error:
        return {"error": f"{error.code} {error.read().decode(errors='replace')}"}
    except OSError as error:
        return {"error": f"no reply: {error}"}
    return {output["name"]: output["data"][0] for output in outputs if output["shape"] == [1]}


def compare(name, wanted, got):
    if "error" in got:
        return [f"{name}: {got['error']}"]
    differences = [
        f"{name}: {key} is {got.get(key)!r}, and magika says {wanted[key]!r} (score {wanted['score']:.4f})"
        for key in TEXTS
        if got.get(key) != wanted[key]
    ]
    score = got.get("score")
    if not isinstance(score, (int, float)) or not abs(score - wanted["score"]) <= SCORE_TOLERANCE:
        differences.append(f"{name}: score is {score}, and magika says {wanted['score']}")
    return differences


def report(magika, count, types, differences):
    version = magika.get_module_version()
    print(f"types: {', '.join(sorted(types))}")
    if differences:
        print("\n".join(differences))
        sys.exit(f"{len(differences)} differences to magika {version} in {count} files of {len(types)} types")
    if count < MIN_FILES or len(types) < MIN_TYPES:
        sys.exit(
            f"only {count} files of {len(types)} types were found, and {MIN_FILES} of {MIN_TYPES} are needed; "
            "take a Python with its standard library's sources"
        )
    print(f"{count} of {count} files of {len(types)} types: the same answer as magika {version}")


# --- files that are there ---------------------------------------------------------------------------------------------


def real_files():
    paths = sysconfig.get_paths()
    folders = {"python": paths["stdlib"], "packages": paths["purelib"], "repository": REPOSITORY}
    files = []
    for origin, folder in folders.items():
        for path in pick(Path(folder)):
            content = read(path)
            if content is not None:
                files.append((f"{origin}/{path.relative_to(folder)}", content))
    # Built plugins lie in a folder that is not searched: most of it is Cargo's.
    components = sorted((REPOSITORY / "target").glob("models/*/*.wasm"))
    files += [(str(path.relative_to(REPOSITORY)), path.read_bytes()) for path in components[:FILES_PER_EXTENSION]]
    return files


def pick(folder):
    """Some paths of each extension, from all over the folder; the same ones each time."""
    groups = {}
    for path in walk(folder):
        groups.setdefault(path.suffix.lower() or path.name, []).append(path)
    # Extensions of many files first: the others are often not extensions at all.
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MAX_EXTENSIONS]
    for _, paths in sorted(largest):
        paths.sort()
        step = max(1, len(paths) // FILES_PER_EXTENSION)
        yield from paths[step // 2 :: step][:FILES_PER_EXTENSION]


def walk(folder):
    for place, folders, names in os.walk(folder):
        hidden_or_built = {name for name in folders if name.startswith(".") or name in ("site-packages", "target")}
        folders[:] = sorted(set(folders) - hidden_or_built)
        for path in (Path(place, name) for name in names):
            if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
                yield path


def read(path):
    """None where this user may not read it."""
    try:
        return path.read_bytes()
    except OSError:
        return None


# --- files that the standard library writes ---------------------------------------------------------------------------


def written_files():
    text = Path(__file__).read_bytes()
    rows = [{"name": f"number {n}", "square": n * n, "root": n**0.5} for n in range(50)]
    writers = [
        ("text.txt.gz", gzip.compress(text, mtime=0)),
        ("text.txt.bz2", bz2.compress(text)),
        ("text.txt.xz", lzma.compress(text)),
        ("text.zlib", zlib.compress(text)),
        ("files.zip", zipped(text)),
        ("files.tar", tarred(text)),
        ("rows.json", json.dumps(rows, indent=2).encode()),
        ("rows.csv", as_csv(rows)),
        ("rows.pickle", pickle.dumps(rows)),
        ("rows.plist", plistlib.dumps(rows)),
        ("rows.bplist", plistlib.dumps(rows, fmt=plistlib.FMT_BINARY)),
        ("rows.sqlite", as_sqlite(rows)),
        ("rows.xml", as_xml(rows)),
        ("settings.ini", as_ini(rows)),
        ("mail.eml", mail(text)),
        ("change.diff", change(text)),
        ("module.html", pydoc.HTMLDoc().document(wave).encode()),
        ("module.pyc", compiled(text)),
        ("tone.wav", tone()),
        ("picture.png", png()),
        ("picture.bmp", bmp()),
    ]
    return [(f"written/{name}", content) for name, content in writers]


def zipped(text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text.txt", text)
        archive.writestr("copy.txt", text)
    return buffer.getvalue()


def tarred(text):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("text.txt")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


def as_csv(rows):
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def as_sqlite(rows):
    connection = sqlite3.connect(":memory:")
    connection.execute("create table numbers (name text, square integer, root real)")
    connection.executemany("insert into numbers values (:name, :square, :root)", rows)
    connection.commit()
    return connection.serialize()


def as_xml(rows):
    root = ElementTree.Element("numbers")
    for row in rows:
        ElementTree.SubElement(root, "number", {key: str(value) for key, value in row.items()})
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def as_ini(rows):
    settings = configparser.ConfigParser()
    settings.read_dict({row["name"]: row for row in rows[:5]})
    buffer = io.StringIO()
    settings.write(buffer)
    return buffer.getvalue().encode()


def mail(text):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "The file"
    message["Date"] = "Mon, 05 Jan 2026 10:00:00 +0000"
    message.set_content("Here it is.\n")
    message.add_attachment(text, maintype="application", subtype="octet-stream", filename="text.txt")
    return message.as_bytes()


def change(text):
    before = text.decode().splitlines(keepends=True)
    after = [line.replace("import", "IMPORT") for line in before]
    return "".join(difflib.unified_diff(before, after, "a/text.py", "b/text.py")).encode()


def compiled(text):
    code = compile(text, "text.py", "exec")
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def tone():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"".join(struct.pack("<h", (n * 977) % 20_000 - 10_000) for n in range(8000)))
    return buffer.getvalue()


def png():
    side = 64
    pixels = b"".join(b"\0" + bytes((x * y) % 256 for x in range(side)) for y in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def bmp():
    side = 64
    pixels = bytes((x * y + channel) % 256 for y in range(side) for x in range(side) for channel in range(3))
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    return header + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 2835, 2835, 0, 0) + pixels


# --- edge cases of the feature extraction -----------------------------------------------------------------------------


def edge_cases():
    source = Path(__file__).read_bytes()
    noise = random.Random(2026).randbytes
    spaces = b" \t\r\n\x0b\x0c"
    cases = [
        ("empty", b""),
        *((f"{size} bytes of text", source[3 : 3 + size]) for size in range(1, 11)),
        *((f"{size} bytes of noise", b"\xff" + noise(size - 1)) for size in (1, 7, 8, 9)),
        ("one kind of white space", b" " * 100),
        ("all kinds of white space", spaces * 2000),
        *((f"{size} bytes of source", source[:size]) for size in (1023, 1024, 1025, 2048, 4095, 4096, 4097)),
        *((f"{size} bytes of noise", noise(size)) for size in (1024, 2048, 4096, 8192)),
        ("white space before", spaces * 50 + source),
        ("white space after", source + spaces * 50),
        ("white space around a few bytes", spaces * 50 + b"1234567" + spaces * 50),
        ("seven bytes and white space after", b"1234567   "),
        ("white space around eight bytes", spaces + b"12345678" + spaces),
        ("a block of white space before", b" " * 4096 + source),
        ("a block of white space after", source + b"\n" * 4096),
        ("all but seven bytes of a block white space", b" " * 4089 + source),
        ("all but eight bytes of a block white space", b" " * 4088 + source),
        ("a block that ends within a character", b" " * 4095 + "\u00e9t\u00e9".encode() * 30),
        ("what only Unicode calls white space", b"\x1c\x1d\x85\xa0" * 5 + source),
        ("zeros", bytes(5000)),
        ("a byte order mark", b"\xef\xbb\xbf" + source),
        ("utf-16", source.decode().encode("utf-16")),
        ("five megabytes of table", as_csv([{"n": n, "square": n * n} for n in range(300_000)])[: 5 << 20]),
        ("five megabytes of noise", noise(5 << 20)),
    ]
    return [(f"edge case: {name}", content) for name, content in cases]


if __name__ == "__main__":
    main()
