"The fine-tuning lesson's sentences and its stored results: whole, without leaks, in the package."

import json
import re
from collections import Counter
from fnmatch import fnmatch

import pytest
from conftest import ROOT

from tools import reviews, seeds

PARTS = {"train": 2012, "validation": 360, "test": 600}
ROWS = [row for part in PARTS for row in reviews.load(part)]


def test_the_parts_have_their_sizes_and_are_balanced():
    assert Counter(row["part"] for row in ROWS) == PARTS
    groups = Counter((row["part"], row["source"], row["label"]) for row in ROWS)
    assert all(groups[part, source, label] == size for part, size in (("test", 100), ("validation", 60))
               for source in reviews.SOURCES for label in "01")


def test_no_two_sentences_have_the_same_words():
    assert len({reviews.words(row["text"]) for row in ROWS}) == len(ROWS)


def test_the_split_depends_on_the_texts_alone():
    plain = [(row["source"], int(row["label"]), row["text"]) for row in ROWS]
    parts = {text: part for part, _, _, text in reviews.split(plain[::-1])}
    assert parts == {row["text"]: row["part"] for row in ROWS}


def test_sentences_are_clean_lines():
    for row in ROWS: assert row["text"] == " ".join(row["text"].split()) and not re.search(r"[\x00-\x1f\x7f-\x9f]", row["text"])


def test_another_archive_is_refused(tmp_path, monkeypatch):
    def pack(command, cwd, **options):
        (tmp_path / "sentiment.tgz").write_bytes(b"another")
        return type("Done", (), {"stdout": "sentiment.tgz\n"})
    monkeypatch.setattr(reviews.subprocess, "run", pack)
    with pytest.raises(SystemExit, match=reviews.PACKAGE_SHA256): reviews.fetch(tmp_path)


def test_the_package_has_the_data_with_its_source_and_license():
    line, = re.findall(r'(?m)^"tinybert.course" = .+', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = re.findall(r'"(\*[^"]+)"', line)
    for name in ("reviews.csv.gz", "reviews.txt", "fine_tuning.json"):
        assert (ROOT / "tinybert/course" / name).exists()
        assert any(fnmatch(name, pattern) for pattern in patterns)
    text = (ROOT / "tinybert/course/reviews.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text and "Kotzias" in text and reviews.PACKAGE.replace("@", " ") in text


def test_the_stored_results_are_those_of_the_scripts_settings():
    stored = json.loads(seeds.TARGET.read_text(encoding="utf-8"))
    assert stored.keys() == seeds.GROUPS.keys()
    for name, (settings, chosen) in seeds.GROUPS.items():
        assert [run["seed"] for run in stored[name]] == list(chosen)
        for run in stored[name]:
            assert 0.4 < run["validation"] < 1 and len(run.get("test", [])) == PARTS["test"] * settings["test"]
