"Saves: whole or not at all, whatever stops them, and whoever else saves or reads at the same time."

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import clean_environment, run_python, same_state, small
from test_checkpoint import content, listing, write_bert

from tinybert import AutoTokenizer, BertConfig, BertModel, checkpoint, saving
from tinybert.checkpoint import read_state
from tinybert.saving import NewFile, announce

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL and no fork")


@FORKS
@pytest.mark.parametrize("how, where, before", [
    ("kill", "nameless", "pytorch_model.bin"), ("kill", "named", "pytorch_model.bin"), ("error", "nameless", "pytorch_model.bin"),
    ("error", "nameless", "three"), ("interrupt", "named", "pytorch_model.bin"), ("stuck", "nameless", "pytorch_model.bin")])
def test_a_save_can_be_stopped_at_each_of_its_system_calls(tmp_path, how, where, before):
    "`make fuzz` does the same for whatever a folder can hold before."
    program = Path(__file__).with_name("kill_points.py")
    run = subprocess.run([sys.executable, program, tmp_path, how, where, before], env=clean_environment(),
                         capture_output=True, text=True)
    *faults, total = run.stdout.splitlines() or [run.stderr]
    assert not faults and int(total) > 60, "\n".join(faults)


TOGETHER = """if True:
    import json, os, sys, time, torch
    from tinybert import BertConfig, BertModel
    torch.set_num_threads(1)
    folder, forms = sys.argv[1], json.loads(sys.argv[2])
    def model(value):
        made = BertModel(BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4,
                                    max_position_embeddings=8, initializer_range=value))
        for parameter in made.parameters(): torch.nn.init.constant_(parameter, value)
        return made
    model(1).save_pretrained(folder)
    children = []
    for value, safe in enumerate(forms, 2):
        children.append(os.fork())
        if children[-1]: continue
        for _ in range(12): model(value).save_pretrained(folder, safe_serialization=safe)
        os._exit(0)
    reads = 0
    while children:
        found = BertModel.from_pretrained(folder)
        values = {found.config.initializer_range, *(p.unique().item() for p in found.parameters())}
        assert len(values) == 1, f"a mixture of {values}"
        reads += 1
        child, status = os.waitpid(-1, os.WNOHANG)
        if child: children.remove(child); assert status == 0, "a save has failed"
    print(reads, *sorted(os.listdir(folder)))"""


@FORKS
@pytest.mark.parametrize("forms", [[False, False], [True, False]], ids=["one form", "two forms"])
def test_savers_and_a_reader_of_one_folder(tmp_path, forms):
    reads, *files = run_python(TOGETHER, tmp_path, json.dumps(forms)).split()
    assert int(reads) > 1 and files in (["config.json", "pytorch_model.bin"], ["config.json", "model.safetensors"])


def test_what_killed_processes_left_is_swept_up(tmp_path, monkeypatch):
    small(1).save_pretrained(tmp_path)
    for name in (".pytorch_model.bin.4711.part", ".config.json.0a1b2c3d.part", ".notes.part"): (tmp_path / name).touch()
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with NewFile(tmp_path / "config.json") as living:  # somebody else's, who is still writing
        assert living.part.exists()
        small(2).save_pretrained(tmp_path)
        assert living.part.exists()
    assert listing(tmp_path) == [".notes.part", "config.json", "pytorch_model.bin"]


def interrupted(folder: Path) -> Path:
    "Return a folder with what a save leaves that is killed after its announcement."
    small(1).save_pretrained(folder)
    text = small(2, hidden_dropout_prob=0.3).config.to_json_string().encode()
    with NewFile(folder / "pytorch_model.bin") as new:
        new.write(lambda file: torch.save(small(2).state_dict(), file))
        (folder / "config.json").write_bytes(announce(folder, new, folder / "config.json", text))
    return folder


def test_an_announced_save_can_be_read_by_transformers_too(tmp_path):
    import transformers
    same_state(BertModel.from_pretrained(interrupted(tmp_path)), transformers.BertModel.from_pretrained(tmp_path))
    assert BertConfig.from_pretrained(tmp_path).hidden_dropout_prob == 0.1


def test_an_announced_save_that_was_copied_is_not_guessed(tmp_path):
    shutil.copytree(interrupted(tmp_path / "one"), tmp_path / "two")
    for kind in (BertConfig, BertModel):
        with pytest.raises(OSError, match="config.json announces a save that was interrupted.*tinybert_saving"):
            kind.from_pretrained(tmp_path / "two")
    small(3).save_pretrained(tmp_path / "two")
    same_state(BertModel.from_pretrained(tmp_path / "two"), small(3))


@pytest.mark.parametrize("odd", [5, None, {}, {"file": 1, "new": [], "old": [], "content": {}}, {"file": "x", "new": 1}])
def test_an_announcement_that_makes_no_sense_is_refused(tmp_path, odd):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "tinybert_saving": odd}))
    with pytest.raises(OSError, match="config.json announces a save"): BertConfig.from_pretrained(tmp_path)


def test_the_same_config_needs_no_announcement(tmp_path, monkeypatch):
    small(1).save_pretrained(tmp_path)
    placed, place = [], NewFile.place
    monkeypatch.setattr(NewFile, "place", lambda file: (placed.append(file.path.name), place(file)))
    small(2).save_pretrained(tmp_path)
    assert placed == ["pytorch_model.bin", "config.json"]
    placed.clear()
    small(2, hidden_dropout_prob=0.3).save_pretrained(tmp_path)
    assert placed == ["config.json", "pytorch_model.bin", "config.json"]


def test_an_error_says_what_is_there(tmp_path, monkeypatch):
    small(1).save_pretrained(tmp_path, safe_serialization=True)
    before, unlink = content(tmp_path), Path.unlink

    def refuse(path, **options):
        if path.name in ("model.safetensors", "pytorch_model.bin") and blocked: raise PermissionError("not this one")
        unlink(path, **options)
    monkeypatch.setattr(Path, "unlink", refuse)
    blocked = True
    with pytest.raises(OSError, match="could not be written into .*|not this one"): small(2).save_pretrained(tmp_path)
    blocked = False
    same_state(BertModel.from_pretrained(tmp_path), small(1))
    assert content(tmp_path)["config.json"] == before["config.json"]


def test_a_tokenizer_is_saved_both_or_neither(tmp_path, files, monkeypatch):
    for name in ("vocab.txt", "tokenizer_config.json"): (tmp_path / name).write_bytes(files[name])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "saved")
    before = content(tmp_path / "saved")
    tokenizer.add_tokens(["entirely"])
    tokenizer.model_max_length = 7
    replace = os.replace

    def stop(source, target):
        replace(source, target)
        if Path(target).name == "tokenizer.json": os.replace = lambda *given: (_ for _ in ()).throw(KeyboardInterrupt)
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt): tokenizer.save_pretrained(tmp_path / "saved")
    monkeypatch.undo()
    os.replace = replace
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.model_max_length == 7 and "entirely" in again.get_vocab() and content(tmp_path / "saved") != before


def test_a_folder_that_changes_all_the_time_ends_in_an_error(tmp_path, monkeypatch):
    small(1).save_pretrained(tmp_path)
    monkeypatch.setattr(checkpoint, "changed", lambda source: True)
    with pytest.raises(OSError, match="changes all the time"): BertConfig.from_pretrained(tmp_path)


def test_a_save_that_replaces_one_form_by_the_other_is_no_reason_for_a_warning(tmp_path, monkeypatch, caplog):
    for safe in (True, False): write_bert(tmp_path, small(1 + safe).state_dict(), safe=safe)
    answers = iter([True, False])
    monkeypatch.setattr(checkpoint, "changed", lambda source: next(answers))
    same_state(BertModel.from_pretrained(tmp_path), small(2))
    assert not caplog.records and next(answers, None) is None


def test_a_read_is_repeated_if_a_save_came_between(tmp_path, monkeypatch):
    small(1).save_pretrained(tmp_path)
    reads = []

    def save_meanwhile(source, *given):
        reads.append(source)
        if len(reads) == 1: small(2, hidden_dropout_prob=0.3).save_pretrained(tmp_path, safe_serialization=True)
        return read_state(source, *given)
    monkeypatch.setattr("tinybert.pretrained.read_state", save_meanwhile)
    model = BertModel.from_pretrained(tmp_path)
    same_state(model, small(2))
    assert len(reads) == 2 and model.config.hidden_dropout_prob == 0.3


def test_a_lock_that_somebody_holds_has_a_deadline(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    small(1).save_pretrained(tmp_path)
    monkeypatch.setattr(saving.time, "sleep", lambda seconds: None)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="is untouched: another process has kept the folder locked for a minute.$"):
        small(2).save_pretrained(tmp_path)
    os.close(handle)
    small(2).save_pretrained(tmp_path)
