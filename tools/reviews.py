"Write tinybert/course/reviews.csv.gz, the labeled review sentences of the fine-tuning lesson (needs npm)."

import csv, gzip, io, json, re, subprocess, tarfile, tempfile
from hashlib import sha256
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "tinybert/course/reviews.csv.gz"
PACKAGE = "sentiment@5.0.2"  # its test data is UCI's "Sentiment Labelled Sentences" (Kotzias et al. 2015), CC BY 4.0
PACKAGE_SHA256 = "89302eb03d2005d03b214fe65814bb48adb7d3c42c8ca80bdee6a3ecb7e4480f"
SOURCES = "amazon", "imdb", "yelp"
TEST, VALIDATION = 100, 60  # sentences of each source and label; the rest is for training
REPAIRS = str.maketrans({"\x85": "…", "\x96": "–", "\x97": "—"})  # punctuation of Windows-1252, read as Latin-1


def fetch(folder: Path) -> bytes:
    "Return the package's archive, as the registry has it."
    command = ["npm", "pack", "--silent", PACKAGE]
    name = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    archive = (folder / name).read_bytes()
    if (found := sha256(archive).hexdigest()) != PACKAGE_SHA256:
        raise SystemExit(f"reviews: {PACKAGE} is not the archive that this course uses\n"
                         f"  SHA-256 expected {PACKAGE_SHA256}\n  SHA-256 found    {found}")
    return archive


def words(text: str) -> frozenset[str]:
    "Return the words of a sentence: two that share them all count as the same sentence."
    return frozenset(re.findall(r"[a-z0-9]+", text.lower()))


def sentences(archive: bytes) -> list[tuple[str, int, str]]:
    "Return source, label (1 is positive) and text of each sentence, repetitions left out."
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for source in SOURCES:
            for row in json.load(tar.extractfile(f"package/test/fixtures/{source}.json")):
                text = " ".join(row["text"].translate(REPAIRS).split())
                if text: found.setdefault(words(text), (source, row["class"], text))  # each file ends in an empty row
    return list(found.values())


def split(rows: list[tuple[str, int, str]]) -> list[tuple[str, str, int, str]]:
    "Put each sentence into a part, by a hash of its text: the same split on any machine."
    taken, parts = {}, []
    for source, label, text in sorted(rows, key=lambda row: sha256(row[2].encode()).digest()):
        count = taken[source, label] = taken.get((source, label), 0) + 1
        part = "test" if count <= TEST else "validation" if count <= TEST + VALIDATION else "train"
        parts.append((part, source, label, text))
    return parts


def pack(parts: list[tuple[str, str, int, str]]) -> bytes:
    "Return the table as a compressed file, the same bytes each time."
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("part", "source", "label", "text"), *parts])
    return gzip.compress(table.getvalue().encode(), mtime=0)


def load(part: str) -> list[dict[str, str]]:
    "Return the rows of a part: train, validation or test."
    with gzip.open(TARGET, "rt", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["part"] == part]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder: TARGET.write_bytes(pack(split(sentences(fetch(Path(folder))))))
    print(*(f"{part}: {len(load(part))}" for part in ("train", "validation", "test")), sep=", ")
