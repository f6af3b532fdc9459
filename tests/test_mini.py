"The checkpoint inside the package: found by its name, without any request, by all three libraries."

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinybert import (AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer,
                      AutoModelForSequenceClassification, embed, pipeline, read_pooling)
from tinybert.checkpoint import BUNDLED, bundled

NAME = "tinybert-mini"
TEXTS = ["The president of the united states spoke.", "A kitten naps on the couch.", "Cool."]


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    "Forbid every connection, and hide the cache."
    def refuse(*args, **options): raise AssertionError("a connection was tried")
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)


def test_every_class_finds_it_by_its_name():
    assert AutoConfig.from_pretrained(NAME).model_type == "bert"
    model, tokenizer = AutoModel.from_pretrained(NAME), AutoTokenizer.from_pretrained(NAME)
    assert model.dtype == torch.float32 and not model.training
    assert model.pooler is None and model.config.vocab_size == len(tokenizer)
    assert model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).pooler_output is None
    assert AutoModelForSequenceClassification.from_pretrained(NAME, num_labels=3).config.num_labels == 3
    assert read_pooling(NAME) == {"pooling": "mean", "normalize": True, "max_length": 128}


@pytest.mark.parametrize("text, words", [("The president of the united [MASK].", {"states"}),
                                         ("They [MASK] not know what to do.", {"do", "did"})])
def test_it_fills_masks_sensibly(text, words):
    assert pipeline("fill-mask", model=NAME)(text)[0]["token_str"] in words


def test_similar_sentences_have_similar_vectors():
    model, tokenizer = AutoModel.from_pretrained(NAME), AutoTokenizer.from_pretrained(NAME)
    texts = ["The cat sleeps on the sofa.", "A kitten naps on the couch.",
             "Stocks fell sharply today.", "Share prices dropped this morning."]
    cosines = (lambda vectors: vectors @ vectors.T)(embed(model, tokenizer, texts, progress=False))
    assert cosines[0, 1] > cosines[0, 2:].max() and cosines[2, 3] > cosines[2, :2].max()


def test_transformers_and_sentence_transformers_load_the_same_folder():
    import transformers
    from sentence_transformers import SentenceTransformer
    folder = bundled(NAME)
    tokenizer, ours = AutoTokenizer.from_pretrained(NAME), AutoModelForMaskedLM.from_pretrained(NAME)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    assert theirs.dtype == torch.float32
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    other = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], other["input_ids"])
    with torch.no_grad():
        real = batch["attention_mask"].bool()
        torch.testing.assert_close(ours(**batch).logits[real], theirs(**batch).logits[real],
                                   atol=1e-4, rtol=1e-4)
    vectors = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, convert_to_tensor=True)
    own = embed(AutoModel.from_pretrained(NAME), tokenizer, TEXTS, progress=False,
                **read_pooling(NAME))
    torch.testing.assert_close(vectors.float(), own, atol=1e-5, rtol=1e-4)


def test_a_folder_of_that_name_comes_first():
    AutoModel.from_pretrained(NAME).save_pretrained(NAME)
    config = json.loads(Path(NAME, "config.json").read_text()) | {"id2label": {"0": "mine"}}
    Path(NAME, "config.json").write_text(json.dumps(config))
    assert AutoConfig.from_pretrained(NAME).id2label == {0: "mine"}


def test_its_files_are_small_and_come_with_a_card():
    for name in BUNDLED:
        there = {path.name: path.stat().st_size for path in bundled(name).rglob("*")}
        assert there["model.safetensors"] < 8.5e6 and sum(there.values()) < 8.7e6
        card = (bundled(name) / "README.md").read_text()
        for part in ("license", "Tatoeba", "WordNet", "sotu", "Limits", "BLiMP"): assert part in card


def test_it_is_half_precision_in_the_file():
    from safetensors import safe_open
    with safe_open(bundled(NAME) / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}


def test_the_demo_tells_its_story_without_network_and_without_a_cache(tmp_path):
    root = Path(__file__).parents[1]
    env = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "tools/demo.py"], cwd=root, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "states 0." in done.stdout and done.stdout.endswith("\nTrue\n\n")
    assert not any(tmp_path.iterdir())
