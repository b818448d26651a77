"""Asks Bulkhead and the package arabic-name-romanizer the same, and compares.

    python compare.py [--url URL] [--model MODEL] [--names N]

The package's network is asked as it is here: the most probable letter each time (a beam of one), by ONNX Runtime. The
names are those of the package's own dictionary, each word by itself and some in pairs.
"""

import argparse
import http.client
import json
import sqlite3
import sys
import urllib.parse
from pathlib import Path

import arabic_name_romanizer
from arabic_name_romanizer.inference import OnnxModel

RESOURCES = Path(arabic_name_romanizer.__file__).parent / "resources"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="romanize")
    parser.add_argument("--names", type=int, default=200, help="names to ask for [default: 200]")
    options = parser.parse_args()
    judge = OnnxModel(RESOURCES, beam_width=1)
    host = http.client.HTTPConnection(urllib.parse.urlsplit(options.url).netloc)
    asked, wrong = 0, []
    for name, country, role in questions(options.names):
        words = name.split()
        expected = judge.transliterate_units(words, country, 1, [role] * len(words))
        expected = " ".join(hypotheses[0][0] for hypotheses in expected)
        pieces = ask(host, options.model, name, country, role)
        asked += 1
        if "".join(pieces).strip() != expected:
            wrong.append(f"{name}: {''.join(pieces)!r}, and the package says {expected!r}")
    print("\n".join(wrong + [f"{asked - len(wrong)} of {asked} names: the same letters as arabic-name-romanizer 0.2.0"]))
    sys.exit(bool(wrong))


def questions(count):
    with sqlite3.connect(f"file:{RESOURCES / 'names.sqlite3'}?mode=ro", uri=True) as index:
        rows = index.execute(QUERY, (count,)).fetchall()
    names = [row[0] for row in rows]
    countries = (None, "EG", "MA", "SA")
    roles = (None, "given", "surname")
    for at, name in enumerate(names):
        yield name, countries[at % len(countries)], roles[at % len(roles)]
    for first, second in zip(names[::10], names[5::10]):
        yield f"{first} {second}", None, None


def ask(host, model, name, country, role):
    """The pieces of the answer, as they came."""
    request = {"name": name}
    request |= {key: value for key, value in (("country", country), ("role", role)) if value}
    host.request("POST", f"/v2/models/{model}/generate_stream", json.dumps(request))
    response = host.getresponse()
    if response.status != 200:
        sys.exit(f"{name}: {response.status} {response.read().decode()}")
    events = [json.loads(line[6:]) for line in response.read().decode().splitlines() if line.startswith("data: ")]
    if any("error" in event for event in events):
        sys.exit(f"{name}: {events[-1]}")
    return [event["text"] for event in events]


# The names that most people have.
QUERY = """
    SELECT arabic_key FROM units WHERE instr(arabic_key, ' ') = 0
    GROUP BY arabic_key ORDER BY sum(count) DESC, arabic_key LIMIT ?
"""

if __name__ == "__main__":
    main()
