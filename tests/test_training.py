"""Training: the losses of an uninterrupted run after any interruption, one process's losses from two, and means that are right."""

import math
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from tinybert import BertConfig, BertForMaskedLM, BertForPreTraining, BertForQuestionAnswering, BertForSequenceClassification
from tinybert import BertForTokenClassification, BertTokenizer, DataCollatorForLanguageModeling, training
from tinybert.training import (LengthBatchSampler, Stream, decay_groups, evaluate, has_bf16, in_mode,
                               pack_sequences, schedule, train)

SIZES = dict(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, max_position_embeddings=20)
CALM = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
QUIET = dict(disable_tqdm=True)
PUBLIC = Path(__file__).parents[1]


def make(task: type = BertForMaskedLM, seed: int = 0, **settings):
    "Return a small model of a task; its weights depend on the seed alone."
    torch.manual_seed(seed)
    return task(BertConfig(**SIZES | settings))


def draw_texts(count: int = 11, seed: int = 0) -> list[dict]:
    "Return encoded texts of different lengths."
    draw = random.Random(seed)
    rows = [[2, *(draw.randrange(5, 40) for _ in range(draw.randint(3, 12))), 3] for _ in range(count)]
    return [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]


def draw_batch(lengths: tuple = (9, 6, 3), labels: tuple | None = None, seed: int = 0, width: int | None = None) -> dict:
    "Return a padded batch whose rows have so many labels of tokens each (None: 2 each)."
    generator = torch.Generator().manual_seed(seed)
    width, sizes = width or max(lengths), torch.tensor(lengths)[:, None]
    mask = torch.arange(width) < sizes
    ids = torch.randint(5, 40, mask.shape, generator=generator) * mask
    wanted = torch.full((len(lengths), width), -100)
    for row, count in enumerate(labels or [2] * len(lengths)):
        places = torch.randperm(lengths[row], generator=generator)[:count]
        wanted[row, places] = torch.randint(5, 40, (count,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": wanted}


def load_tokenizer(folder: Path) -> BertTokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(35))]
    Path(folder, "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return BertTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory): return load_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def same_weights(model, other) -> None:
    found, expected = model.state_dict(), other.state_dict()
    for name in expected: assert torch.equal(found[name], expected[name]), name


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Threads that wait for each other make tiny models slow."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Seeds and interruptions

def loader(tokenizer, texts: int = 11, mlm_seed: int | None = None, **options) -> DataLoader:
    "Return a DataLoader that masks; by default it shuffles and has batches of 3."
    data, collate = draw_texts(texts), DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.4, seed=mlm_seed)
    if "batch_sampler" not in options: options = {"batch_size": 3, "shuffle": "sampler" not in options} | options
    return DataLoader(data, collate_fn=collate, **options)


def seeded(seed: int = 5) -> torch.Generator: return torch.Generator().manual_seed(seed)


def draw_with_all(features: list) -> dict:
    "Collate with random numbers of Python, numpy and torch."
    batch = draw_batch(tuple(len(row["input_ids"]) for row in features), seed=random.randrange(1000))
    batch["input_ids"] = (batch["input_ids"] + np.random.randint(3)) % 40
    return batch | {"token_type_ids": torch.bernoulli(torch.full(batch["input_ids"].shape, 0.5)).long()}


class Changing:
    "Batches that are others in each epoch, as `set_epoch` says."
    def set_epoch(self, epoch): self.epoch = epoch
    def __iter__(self): return (draw_batch(seed=10 * self.epoch + number) for number in range(3))


# What a run is made of: batches, and options of `train`; "optimizer" is made of the model.
RUNS = {
    "a list": lambda tokenizer: ([draw_batch(seed=seed) for seed in range(4)], {}),
    "shuffled": lambda tokenizer: (loader(tokenizer), {}),
    "shuffled, the last batch dropped": lambda tokenizer: (loader(tokenizer, drop_last=True), {}),
    "a generator of the loader's own": lambda tokenizer: (loader(tokenizer, generator=seeded()), {}),
    "a generator of the sampler's own": lambda tokenizer: (loader(tokenizer, sampler=RandomSampler(range(11), generator=seeded())), {}),
    "a sampler with replacement": lambda tokenizer: (loader(tokenizer, sampler=RandomSampler(range(11), True, 7, generator=seeded())), {}),
    "a seed of the collator's own": lambda tokenizer: (loader(tokenizer, mlm_seed=3), {}),
    "accumulation": lambda tokenizer: (loader(tokenizer), dict(gradient_accumulation_steps=3)),
    "batches of like length": lambda tokenizer: (loader(tokenizer, batch_sampler=LengthBatchSampler(
        [len(text["input_ids"]) for text in draw_texts()], 25)), dict(lr_scheduler_type="cosine")),
    "an optimizer of one's own": lambda tokenizer: (loader(tokenizer), dict(optimizer=lambda model: torch.optim.SGD(
        [{"params": list(model.bert.parameters()), "lr": 0.1}, {"params": list(model.lm_head.parameters())}], lr=0.3, momentum=0.9))),
    "all kinds of random numbers": lambda tokenizer: (DataLoader(draw_texts(), 4, True, collate_fn=draw_with_all), {}),
    "set_epoch": lambda tokenizer: (Changing(), {}),
    "workers": lambda tokenizer: (loader(tokenizer, texts=20, num_workers=1), {}),
    "bf16": lambda tokenizer: (loader(tokenizer), dict(bf16=True)),
    "one batch": lambda tokenizer: ([draw_batch()], dict(warmup_steps=4, lr_scheduler_type="constant_with_warmup")),
}
EACH_RUN = pytest.mark.parametrize("name", RUNS)


def prepare(name: str, tokenizer) -> tuple:
    "Return model, batches and options of a run, as in a fresh process."
    model = make()
    batches, options = RUNS[name](tokenizer)
    optimizer = options.pop("optimizer", None)
    if optimizer: options["optimizer"] = optimizer(model)
    return model, batches, options


class Killed(Exception): pass


def kill_after(calls: int):
    "Return an evaluation that raises at one of its calls."
    def evaluation():
        nonlocal calls
        calls -= 1
        if not calls: raise Killed
        return {"drawn": torch.rand(()).item() + random.random()}  # evaluations may draw random numbers
    return evaluation


def go(parts: tuple, evaluation, folder: Path | None = None, max_steps: int = 19, **more) -> list[dict]:
    model, batches, options = parts
    return train(model, batches, max_steps=max_steps, learning_rate=1e-2, evaluate=evaluation, eval_steps=1, output_dir=folder,
                 save_steps=2, **QUIET, **options, **more)


@EACH_RUN
def test_two_runs_have_the_same_losses(tokenizer, name):
    first, second = prepare(name, tokenizer), prepare(name, tokenizer)
    log = go(first, kill_after(-1), max_steps=9)
    torch.rand(3), random.random(), np.random.rand()
    assert go(second, kill_after(-1), max_steps=9) == log and len({row["loss"] for row in log}) == 9
    same_weights(first[0], second[0])
    if name not in ("a list", "one batch", "set_epoch"):  # another seed shuffles, masks and drops others
        assert go(prepare(name, tokenizer), kill_after(-1), max_steps=9, seed=7) != log


@EACH_RUN
@pytest.mark.parametrize("fresh", [True, False], ids=["new process", "same objects"])
def test_a_killed_run_goes_on_with_the_same_losses(tokenizer, tmp_path, name, fresh):
    whole = prepare(name, tokenizer)
    expected = go(whole, kill_after(-1), max_steps=12 if name == "workers" else 19)
    points, saved = sorted(random.Random(name).sample(range(1, len(expected)), 10)), 0
    parts = prepare(name, tokenizer)
    for point in points:
        if fresh or not saved: parts = prepare(name, tokenizer)  # without a file, a changed model can't go back
        with pytest.raises(Killed): go(parts, kill_after(point - saved), tmp_path, len(expected), resume_from_checkpoint=True)
        saved = (point - 1) // 2 * 2
    if fresh: parts = prepare(name, tokenizer)
    assert go(parts, kill_after(-1), tmp_path, len(expected), resume_from_checkpoint=True) == expected
    same_weights(parts[0], whole[0])
    again = prepare(name, tokenizer)
    assert go(again, kill_after(1), tmp_path, len(expected), resume_from_checkpoint=True) == expected, "a finished run is only read"
    same_weights(again[0], whole[0])


@pytest.mark.parametrize("where", ["forward", "backward", "step"])
def test_no_half_made_gradient_is_left_over(tokenizer, tmp_path, monkeypatch, where):
    expected = go(prepare("accumulation", tokenizer), kill_after(-1), max_steps=9)
    parts, calls = prepare("accumulation", tokenizer), 0

    def failing(function, at):
        def wrapped(*given, **named):
            nonlocal calls
            calls += 1
            if calls == at: raise KeyboardInterrupt
            return function(*given, **named)
        return wrapped

    target, name, at = {"forward": (parts[0].bert, "forward", 14), "backward": (torch.Tensor, "backward", 14), "step": (torch.optim.AdamW, "step", 5)}[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, failing(getattr(target, name), at))
        with pytest.raises(KeyboardInterrupt): go(parts, kill_after(-1), tmp_path, 9)
    assert go(parts, kill_after(-1), tmp_path, 9, resume_from_checkpoint=True) == expected


def test_gradients_from_before_do_not_count():
    expected, model = train(make(), [draw_batch()], max_steps=3, **QUIET), make()
    model(**draw_batch(seed=1)).loss.backward()
    assert train(model, [draw_batch()], max_steps=3, **QUIET) == expected


KILLED = """if True:
    import json, os, random, signal, sys, time, torch
    torch.set_num_threads(1)  # a fork takes no threads along
    from test_training import go, kill_after, load_tokenizer, prepare
    from tinybert import training
    folder = sys.argv[1]
    tokenizer = load_tokenizer(folder)
    die, save, replace = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL), torch.save, os.replace

    def half(content, file):
        save(content, file)
        file.truncate(file.tell() // 2)
        file.flush()
        die()

    def later(last, function):  # the first saves succeed
        calls = iter(range(100))
        return lambda *given, **named: (last if next(calls) == 1 else function)(*given, **named)

    def child(prepared, point):
        if point == "writing": torch.save = later(half, save)
        if point == "before replace": os.replace = later(die, replace)
        if point == "after replace": os.replace = later(lambda *given: (replace(*given), die()), replace)
        go(prepared, kill_after(-1), folder, 40, resume_from_checkpoint=True)
        print("finished", point)

    for point in ["writing", "before replace", "after replace", 0.03, 0.06, 0.1, "writing", 0.05, 0.12, "after replace"]:
        pid = os.fork()
        if pid == 0:
            child(prepare("accumulation", tokenizer), point)
            os._exit(0)
        if isinstance(point, float): time.sleep(point); os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL or isinstance(point, float), point
    print(json.dumps([go(prepare("accumulation", tokenizer), kill_after(-1), folder, 40, resume_from_checkpoint=True), os.listdir(folder)]))"""


def run_script(*arguments, **variables: str) -> str:
    "Run Python in a process of its own, which can import this file; return what it prints."
    paths = os.pathsep.join([str(PUBLIC), str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | variables
    result = subprocess.run([sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_sigkill_even_during_a_save_changes_no_loss(tokenizer, tmp_path):
    import json
    log, names = json.loads(run_script("-c", KILLED, tmp_path).splitlines()[-1])
    assert log == go(prepare("accumulation", tokenizer), kill_after(-1), max_steps=40)
    assert "training.pt" in names


@contextmanager
def file_limit(size: int):
    "Let no file grow beyond this size, as on a full disk."
    import resource
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_leaves_the_old_file_whole(tokenizer, tmp_path):
    expected = go(prepare("shuffled", tokenizer), kill_after(-1), max_steps=9)
    with pytest.raises(Killed): go(prepare("shuffled", tokenizer), kill_after(5), tmp_path, 9)
    before = (tmp_path / "training.pt").read_bytes()
    for limit in (1000, len(before) // 2, len(before) - 1):
        model, *_ = parts = prepare("shuffled", tokenizer)
        with file_limit(limit), pytest.raises(OSError, match="training.pt could not be written .*untouched.*full"):
            go(parts, kill_after(-1), tmp_path, 9, resume_from_checkpoint=True)
        assert (tmp_path / "training.pt").read_bytes() == before and os.listdir(tmp_path) == ["training.pt"]
        assert not model.training or model is parts[0]
    assert go(prepare("shuffled", tokenizer), kill_after(-1), tmp_path, 9, resume_from_checkpoint=True) == expected


def test_the_home_folder_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    log = train(make(), [draw_batch()], max_steps=2, output_dir="~/run", **QUIET)
    with pytest.raises(OSError, match="another run"): train(make(), [draw_batch()], max_steps=2, output_dir="~/run", **QUIET)
    assert train(make(), [draw_batch()], max_steps=2, output_dir="~/run", resume_from_checkpoint=True, **QUIET) == log
    assert (tmp_path / "run/training.pt").exists()


@pytest.mark.parametrize("value", [np.float64(0.5), np.float32(0.5), torch.tensor(0.5), np.int64(1)])
def test_what_an_evaluation_returns_survives_a_save(tmp_path, value):
    first = train(make(), [draw_batch()], max_steps=2, evaluate=lambda: {"f1": value}, output_dir=tmp_path, **QUIET)
    again = train(make(), [draw_batch()], max_steps=2, evaluate=lambda: {"f1": value}, output_dir=tmp_path, resume_from_checkpoint=True, **QUIET)
    assert again == first and again[-1]["f1"] == value and "f1" not in again[0]


def test_settings_of_numpy_survive_a_save(tmp_path):
    options = dict(max_steps=2, learning_rate=np.float64(1e-3), weight_decay=np.float32(0.01), output_dir=tmp_path)
    log = train(make(), [draw_batch()], **options, **QUIET)
    assert train(make(), [draw_batch()], **options, resume_from_checkpoint=True, **QUIET) == log


# Two processes

def cut(batch: dict, rows: slice) -> dict: return {name: value[rows] for name, value in batch.items()}


def classified(rows: int, seed: int, classes: int = 3) -> dict:
    batch = draw_batch((7,) * rows, seed=seed)
    return batch | {"labels": torch.arange(rows) % classes}


# The batches of one process; the second has the rows from `half` on. Labels of rows are counted from both ends.
TOGETHER = {
    "equal": (BertForMaskedLM, 2, [draw_batch((9, 6, 9, 3), (2, 1, 2, 1), seed) for seed in range(3)], {}),
    "unequal numbers of labels": (BertForMaskedLM, 2, [draw_batch((9, 6, 9, 3), (7, 5, 0, 1), seed) for seed in range(3)], {}),
    "one without labels": (BertForMaskedLM, 2, [draw_batch((9, 6, 9, 3), (0, 0, 4, 1), seed) for seed in range(3)], {}),
    "unequal numbers of texts": (BertForSequenceClassification, 1, [classified(4, seed) for seed in range(3)], dict(num_labels=3)),
    "labels of tokens": (BertForTokenClassification, 3, [draw_batch((9, 6, 9, 3), (0, 3, 0, 2), seed) for seed in range(3)], dict(num_labels=40)),
}
ACCUMULATED = "unequal numbers of labels", "one without labels"
STEPS = dict(max_steps=7, learning_rate=1e-2, warmup_steps=2, **QUIET)


def share(name: str, rank: int) -> list[dict]:
    "Return the batches of one of two processes."
    _, half, batches, _ = TOGETHER[name]
    return [cut(batch, slice(half, None) if rank else slice(half)) for batch in batches]


def build(name: str): return make(TOGETHER[name][0], **CALM, **TOGETHER[name][3]).double()


def frozen(model):
    for parameter in model.bert.embeddings.parameters(): parameter.requires_grad_(False)
    return model


def shards(tokenizer, rank: int) -> DataLoader:
    data = draw_texts(12)
    return loader(tokenizer, 12, sampler=DistributedSampler(data, 2, rank, shuffle=True))



def test_set_epoch_reaches_a_sampler_inside_a_batch_sampler():
    from torch.utils.data import BatchSampler, DistributedSampler
    data = list(range(12))
    inner = DistributedSampler(data, num_replicas=1, rank=0, seed=3)
    loader = DataLoader(data, batch_sampler=BatchSampler(inner, 4, drop_last=False))
    stream = iter(Stream(loader))
    epochs = [torch.cat([next(stream) for _ in range(3)]).tolist() for _ in range(2)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1]) == data


def test_each_part_of_a_model_is_put_back_into_its_own_mode():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()).train()
    model[0].eval()
    with in_mode(model, training=True): assert model[0].training
    assert not model[0].training and model[1].training and model.training


def work(folder: Path) -> None:
    "Train in one of two processes, and write down what came out."
    distributed.init_process_group("gloo")
    rank, results = distributed.get_rank(), {}
    own = folder / str(rank)
    own.mkdir()
    tokenizer = load_tokenizer(own)
    for name, steps in [(name, 1) for name in TOGETHER] + [(name, 3) for name in ACCUMULATED]:
        model = build(name)
        results[name, steps] = train(model, share(name, rank), gradient_accumulation_steps=steps, **STEPS), model.state_dict()
    model = frozen(build("equal"))
    results["frozen"] = train(model, share("equal", rank), **STEPS), model.state_dict()
    whole = make(seed=rank)  # other weights in each process: those of the first count
    results["whole"] = go((whole, shards(tokenizer, rank), {}), kill_after(-1), max_steps=10), whole.state_dict()
    for calls in (2, 5, 1, 4):
        try: go((make(seed=rank), shards(tokenizer, rank), {}), kill_after(calls), folder / "run", 10, resume_from_checkpoint=True)
        except Killed: pass
    model = make(seed=rank)
    results["resumed"] = go((model, shards(tokenizer, rank), {}), kill_after(-1), folder / "run", 10, resume_from_checkpoint=True), model.state_dict()
    sampler = LengthBatchSampler([len(text["input_ids"]) for text in draw_texts()], 25)
    results["batches"] = list(sampler), len(sampler)
    none = [draw_batch(labels=(0, 0, 0)), draw_batch()]
    results["no label at all"] = train(make(), none, **STEPS), None
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def free_port() -> int:
    import socket
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict]:
    "Return what two processes under torchrun found; the folder beside."
    folder = tmp_path_factory.mktemp("two")
    run_script("-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-addr", "127.0.0.1", "--master-port", free_port(),
               __file__, folder, GLOO_SOCKET_IFNAME="lo", TORCH_CPP_LOG_LEVEL="ERROR")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)] + [folder]


def compare_logs(found: list[dict], expected: list[dict], exact: float = 1e-9) -> None:
    assert len(found) == len(expected)
    for row, other in zip(found, expected): assert row == pytest.approx(other, rel=exact)


def compare_states(found: dict, expected: dict, exact: float = 1e-9) -> None:
    for name in expected: torch.testing.assert_close(found[name], expected[name], rtol=exact, atol=exact, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name, steps", [(name, 1) for name in TOGETHER] + [(name, 3) for name in ACCUMULATED])
def test_two_processes_train_as_one(two, name, steps):
    model = build(name)
    expected = train(model, TOGETHER[name][2], gradient_accumulation_steps=steps, **STEPS)
    for results in two[:2]:
        log, state = results[name, steps]
        compare_logs(log, expected)
        compare_states(state, model.state_dict())


def test_two_processes_leave_frozen_weights_alone(two):
    model = frozen(build("equal"))
    compare_logs(two[0]["frozen"][0], train(model, TOGETHER["equal"][2], **STEPS))
    compare_states(two[1]["frozen"][1], model.state_dict())


def test_two_processes_resume_exactly(two):
    first, second = two[:2]
    assert first["resumed"][0] == first["whole"][0]
    for results in (first, second):
        for name, weight in first["whole"][1].items():
            assert torch.equal(results["whole"][1][name], weight) and torch.equal(results["resumed"][1][name], weight), name
    shared = lambda log: [{name: value for name, value in row.items() if name != "drawn"} for row in log]  # each evaluates for itself
    assert shared(first["whole"][0]) == shared(second["whole"][0]) == shared(second["resumed"][0])


def test_two_processes_share_the_batches_of_like_length(two):
    (first, count), (second, other) = (results["batches"] for results in two[:2])
    everything = LengthBatchSampler([len(text["input_ids"]) for text in draw_texts()], 25).batches()
    assert count == other == len(first) == len(second) == len(everything) // 2
    assert [first, second] == [everything[rank:2 * count:2] for rank in range(2)]


def test_two_processes_go_on_after_a_step_without_labels(two):
    assert all(math.isfinite(row["loss"]) for results in two[:2] for row in results["no label at all"][0])


def test_another_number_of_processes_cannot_resume(two, tokenizer):
    with pytest.raises(ValueError, match="process"):
        go((make(), shards(tokenizer, 0), {}), kill_after(-1), two[2] / "run", 10, resume_from_checkpoint=True)


# Schedule and optimizer

@pytest.mark.parametrize("kind", training.SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 3, 12, 0.1, 0.25, 0.5, 0.01, 0.999])
@pytest.mark.parametrize("max_steps", [1, 2, 12, 30])
def test_schedule_is_that_of_transformers(kind, warmup, max_steps):
    import transformers
    steps = int(warmup) if warmup >= 1 else math.ceil(max_steps * warmup)  # TrainingArguments.get_warmup_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = transformers.get_scheduler(kind, optimizer, steps, max_steps)
    for step in range(max_steps):
        assert schedule(step, max_steps, warmup, kind) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        theirs.step()


def test_schedule_ends_at_zero():
    for kind in ("linear", "cosine"):
        assert [schedule(step, 8, 2, kind) for step in (8, 9, 20)] == pytest.approx([0, 0, 0], abs=1e-12)


def test_learning_rates_follow_the_schedule():
    optimizer = lambda model: torch.optim.SGD([{"params": [model.lm_head.bias], "lr": 0.5}, {"params": list(model.bert.parameters())}], lr=0.1)
    model = make()
    own, rates = optimizer(model), []
    log = train(model, [draw_batch()], max_steps=8, warmup_steps=2, optimizer=own, learning_rate=7.0,
                evaluate=lambda: rates.append([group["lr"] for group in own.param_groups]) or {}, eval_steps=1, **QUIET)
    for step, row in enumerate(log):
        factor = schedule(step, 8, 2)
        assert row["learning_rate"] == pytest.approx(0.5 * factor) and rates[step] == pytest.approx([0.5 * factor, 0.1 * factor])
    assert [row["learning_rate"] for row in train(make(), [draw_batch()], max_steps=3, learning_rate=2e-3, warmup_steps=0, **QUIET)] == \
        pytest.approx([2e-3, 2e-3 * 2 / 3, 2e-3 / 3])


@pytest.mark.parametrize("task", ["MaskedLM", "SequenceClassification"])
def test_decay_groups_are_those_of_transformers(task):
    from conftest import in_files, our_class, their_model
    from tinybert import AutoConfig
    from tinybert.heads import FAMILIES
    from transformers.trainer_pt_utils import get_parameter_names
    patterns = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]  # Trainer.get_decay_parameter_names
    for model_type in FAMILIES:
        theirs = their_model(model_type, task)
        ours = our_class(model_type, task)(AutoConfig.from_dict(theirs.config.to_dict()))
        names, known = get_parameter_names(theirs, [torch.nn.LayerNorm], patterns), dict(theirs.named_parameters(remove_duplicate=False))
        groups = decay_groups(ours, 0.3)
        assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
        decaying = {id(weight) for weight in groups[0]["params"]}
        found = in_files({name: id(weight) in decaying for name, weight in ours.named_parameters()}, type(ours))
        for name, decays in found.items(): assert name in known and decays == (name in names), (model_type, name)
        assert sum(len(group["params"]) for group in groups) == len(found)


def test_weights_decay_by_learning_rate_and_decay():
    model, before = make(), {name: weight.detach().clone() for name, weight in make().named_parameters()}
    train(model, [draw_batch()], max_steps=1, learning_rate=0.1, weight_decay=0.5, warmup_steps=0, **QUIET)
    plain = make()
    train(plain, [draw_batch()], max_steps=1, learning_rate=0.1, weight_decay=0.0, warmup_steps=0, **QUIET)
    for (name, weight), (_, other) in zip(model.named_parameters(), plain.named_parameters()):
        expected = 0.1 * 0.5 * before[name] if weight.ndim > 1 else 0 * before[name]
        torch.testing.assert_close(other - weight, expected, atol=1e-6, rtol=1e-4)


def test_frozen_weights_stay():
    model, before = frozen(make()), make().state_dict()
    train(model, [draw_batch()], max_steps=3, learning_rate=0.1, weight_decay=0.5, **QUIET)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(weight.grad is None for weight in model.bert.embeddings.parameters())


def test_weights_that_the_optimizer_does_not_hold_count_nowhere():
    model, batch = make(BertForSequenceClassification, **CALM), classified(3, 0, 2)
    optimizer = torch.optim.SGD(model.classifier.parameters(), lr=0.0)
    log = train(model, [batch], max_steps=4, optimizer=optimizer, **QUIET)
    twin = make(BertForSequenceClassification, **CALM).train()
    twin(**batch).loss.backward()
    expected = math.sqrt(sum(weight.grad.square().sum().item() for weight in twin.classifier.parameters()))
    assert [row["grad_norm"] for row in log] == pytest.approx([expected] * 4, rel=1e-5)


def test_long_gradients_are_scaled_down():
    for limit in (0.01, 1.0, 1e9, 0):  # 0: as they are
        model, before = make(**CALM), make().state_dict()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        log = train(model, [draw_batch()], max_steps=1, max_grad_norm=limit, warmup_steps=0, optimizer=optimizer, **QUIET)
        moved = math.sqrt(sum((weight - before[name]).double().square().sum().item() for name, weight in model.state_dict().items()))
        assert moved == pytest.approx(min(limit or math.inf, log[0]["grad_norm"]), rel=1e-3)
        assert log[0]["grad_norm"] > 1, "the row has the norm before scaling"


# Means

def test_loss_is_the_mean_over_masked_positions_computed_by_hand():
    model = make(**CALM)
    with torch.no_grad():  # every position predicts token 7 with probability 1/2, 8 with 1/4, 9 with 1/8, others with 1/8 together
        for parameter in model.lm_head.parameters(): parameter.zero_()
        model.get_input_embeddings().weight.zero_()
        model.lm_head.bias.fill_(math.log(1 / 8 / 37))
        for token, chance in ((7, 1 / 2), (8, 1 / 4), (9, 1 / 8)): model.lm_head.bias[token] = math.log(chance)
    ids = torch.tensor([[2, 4, 11, 4, 3, 0], [2, 10, 4, 12, 13, 3]])
    labels = torch.tensor([[-100, 7, -100, 9, -100, -100], [-100, -100, 8, -100, -100, -100]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}
    by_hand = (1 + 3 + 2) * math.log(2) / 3  # -log 1/2, -log 1/8, -log 1/4
    assert evaluate(model, [batch]) == pytest.approx({"eval_loss": by_hand, "accuracy": 1 / 3})
    log = train(model, [batch], max_steps=1, **QUIET)
    assert log == [pytest.approx({"step": 1, "epoch": 0, "loss": by_hand, "learning_rate": 0.0, "grad_norm": log[0]["grad_norm"], "tokens": 11})]
    halves = [cut(batch, slice(1)), cut(batch, slice(1, 2))]
    log = train(model, halves, max_steps=1, gradient_accumulation_steps=2, **QUIET)
    assert log[0]["loss"] == pytest.approx(by_hand), "the mean of the two means would be 2 · log 2 too, but for unequal counts"
    assert evaluate(model, halves)["eval_loss"] == pytest.approx(by_hand)
    uneven = [cut(batch, slice(1)) | {"labels": torch.tensor([[9, 9, 9, 9, -100, -100]])}, cut(batch, slice(1, 2))]
    log = train(model, uneven, max_steps=1, gradient_accumulation_steps=2, **QUIET)
    assert log[0]["loss"] == pytest.approx((4 * 3 + 2) / 5 * math.log(2)) and log[0]["tokens"] == 11


def pieces(task: type, kind: str) -> dict:
    "Return a batch of 6 rows whose thirds have different numbers of labels."
    batch = draw_batch((9, 6, 3, 9, 5, 9), (7, 2, 1, 0, 0, 1))
    generator = seeded()
    return batch | {"tokens": {}, "classes": {"labels": torch.tensor([0, 2, -100, 1, -100, -100])},
                    "regression": {"labels": torch.randn(6, generator=generator).double()},
                    "several": {"labels": torch.rand(6, 3, generator=generator).round().double()},
                    "pretraining": {"next_sentence_label": torch.tensor([0, 1, 1, 0, 1, 0])}}[kind]


@pytest.mark.parametrize("task, kind, settings", [
    (BertForMaskedLM, "tokens", {}), (BertForTokenClassification, "tokens", dict(num_labels=40)),
    (BertForSequenceClassification, "classes", dict(num_labels=3)), (BertForSequenceClassification, "regression", dict(num_labels=1)),
    (BertForSequenceClassification, "several", dict(num_labels=3, problem_type="multi_label_classification")),
], ids=["masked", "tokens", "classes", "regression", "several"])
@pytest.mark.parametrize("sizes", [(1, 5), (2, 2, 2), (3, 1, 1, 1)], ids=str)
def test_accumulated_batches_count_as_one(task, kind, settings, sizes):
    batch, cuts = pieces(task, kind), np.cumsum([0, *sizes])
    small = [cut(batch, slice(*edges)) for edges in zip(cuts, cuts[1:])]
    models = [make(task, **CALM, **settings).double() for _ in range(2)]
    log = train(models[0], [batch], max_steps=4, learning_rate=1e-2, **QUIET)
    found = train(models[1], small, max_steps=4, learning_rate=1e-2, gradient_accumulation_steps=len(sizes), **QUIET)
    compare_logs([row | {"epoch": 0} for row in found], [row | {"epoch": 0} for row in log])
    compare_states(models[1].state_dict(), models[0].state_dict())


@pytest.mark.parametrize("task", [BertForMaskedLM, BertForTokenClassification])
def test_a_step_without_labels_does_not_stop_the_run(task):
    model = make(task, **dict(num_labels=40) if task is BertForTokenClassification else {})
    log = train(model, [draw_batch(labels=(0, 0, 0)), draw_batch(), draw_batch(seed=1)], max_steps=6, **QUIET)
    assert [row["loss"] > 0 for row in log] == [False, True, True] * 2 and all(math.isfinite(row["loss"]) for row in log)
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_spans_can_be_trained():
    batch = {name: value for name, value in draw_batch((9, 9)).items() if name != "labels"}
    log = train(make(BertForQuestionAnswering, **CALM), [batch | {"start_positions": torch.tensor([1, 3]), "end_positions": torch.tensor([2, 4])}],
                max_steps=20, learning_rate=1e-2, **QUIET)
    assert log[-1]["loss"] < log[0]["loss"] / 2


# The loop

def test_a_run_learns_and_goes_through_the_data_again_and_again(tokenizer):
    seen, data = [], draw_texts(7)
    collate = DataCollatorForLanguageModeling(tokenizer, seed=0)
    batches = DataLoader(data, 3, shuffle=True, collate_fn=lambda rows: (seen.append([row["input_ids"] for row in rows]), collate(rows))[1])
    log = train(make(), batches, max_steps=10, **QUIET)
    assert [row["step"] for row in log] == list(range(1, 11)) and [row["epoch"] for row in log] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    epochs = [sum(seen[start:start + 3], []) for start in (0, 3, 6)]
    for texts in epochs: assert sorted(texts) == sorted(text["input_ids"] for text in data)
    assert epochs[0] != epochs[1] != epochs[2]
    log = train(make(**CALM), [draw_batch()], max_steps=60, learning_rate=1e-2, **QUIET)
    assert log[-1]["loss"] < 0.5 < 3 < log[0]["loss"]


def test_evaluations_come_when_asked():
    calls = []
    run = lambda **options: train(make(), [draw_batch()], evaluate=lambda: calls.append(0) or {"eval_loss": 1.0}, **QUIET, **options)
    assert [row["step"] for row in run(max_steps=7, eval_steps=3) if "eval_loss" in row] == [3, 6, 7]
    assert [row["step"] for row in run(max_steps=6, eval_steps=3) if "eval_loss" in row] == [3, 6]
    assert [row["step"] for row in run(max_steps=4) if "eval_loss" in row] == [4] and len(calls) == 6
    assert train(make(), [draw_batch()], max_steps=2, evaluate=lambda: None, **QUIET)[-1]["step"] == 2


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_left_as_it_was(sparse, mode):
    model = make().train(mode)
    model.sparse_prediction = sparse
    during = []

    def look():
        during.append((model.training, model.sparse_prediction))
        if len(during) == 3: raise Killed
        return {}

    train(model, [draw_batch()], max_steps=2, evaluate=look, eval_steps=1, **QUIET)
    assert during == [(True, True)] * 2 and (model.training, model.sparse_prediction) == (mode, sparse)
    with pytest.raises(Killed): train(model, [draw_batch()], max_steps=2, evaluate=look, eval_steps=1, **QUIET)
    assert (model.training, model.sparse_prediction) == (mode, sparse)
    with pytest.raises(ValueError): evaluate(model, [{"input_ids": torch.tensor([[99]]), "labels": torch.tensor([[1]])}])
    evaluate(model, [draw_batch()])
    assert (model.training, model.sparse_prediction) == (mode, sparse)
    other = make(BertForSequenceClassification).train(mode)
    train(other, [classified(3, 0, 2)], max_steps=1, **QUIET)
    assert other.training == mode and not hasattr(other, "sparse_prediction")


def test_bfloat16_multiplies_and_weights_stay_float32():
    dtypes, model = set(), make(**CALM, hidden_size=32)
    model.bert.encoder.register_forward_hook(lambda *given: dtypes.add(torch.is_autocast_enabled("cpu")))
    log = train(model, [draw_batch()], max_steps=8, learning_rate=1e-2, bf16=True, **QUIET)
    expected = train(make(**CALM, hidden_size=32), [draw_batch()], max_steps=8, learning_rate=1e-2, **QUIET)
    assert dtypes == {True} and {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in expected], rel=0.05)
    assert [row["loss"] for row in log] != [row["loss"] for row in expected] and not torch.is_autocast_enabled("cpu")
    assert isinstance(has_bf16(), bool) and has_bf16("cpu") == has_bf16(torch.device("cpu"))


# Evaluation

def naive(model, batches: list[dict], top: tuple) -> dict:
    "Compute what `evaluate` does, label by label; among equal logits, argmax takes the first."
    losses, found = [], {k: [] for k in top}
    for batch in batches:
        with torch.no_grad(): logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        for scores, label in zip(logits.flatten(0, -2).double(), batch["labels"].flatten().tolist()):
            if label == -100: continue
            losses.append(-(scores[label] - scores.exp().sum().log()).item())
            order = sorted(range(len(scores)), key=lambda index: (-scores[index].item(), index))
            for k in top: found[k].append(label in order[:k])
    names = {k: "accuracy" if k == 1 else f"top_{k}_accuracy" for k in top}
    return {"eval_loss": sum(losses) / len(losses)} | {names[k]: sum(hits) / len(hits) for k, hits in found.items()}


@pytest.mark.parametrize("sparse", [True, False])
def test_evaluation_of_masked_tokens_agrees_with_a_naive_one(sparse):
    from conftest import randomise
    model = randomise(make(), 0, 0.5).eval()
    batches = [draw_batch((9, 6, 3), (5, 0, 1)), draw_batch((9,), (0,)), draw_batch((4, 12), (4, 9), seed=1)]
    model.sparse_prediction = sparse
    for top in ((1,), (1, 2, 5, 40, 99), (5, 1), (3,)):
        found = evaluate(model, batches, top)
        model.sparse_prediction = False
        assert found == pytest.approx(naive(model, batches, top), rel=1e-5)
        model.sparse_prediction = sparse
    assert evaluate(model, iter(batches)).keys() == {"eval_loss", "accuracy"}


@pytest.mark.parametrize("task, labels", [
    (BertForSequenceClassification, [[2, 0, 1], [2, 2, -100]]), (BertForSequenceClassification, [[[2], [0], [1]]]),
    (BertForSequenceClassification, [[[2], [-100], [1]]]), (BertForSequenceClassification, [[2, 0, 1], [-100] * 3]),
    (BertForTokenClassification, [[[0, 1, 2, -100, -100, -100]] * 3])], ids=["classes", "column", "ignored in a column", "ignored", "tokens"])
def test_evaluation_of_classes_agrees_with_a_naive_one(task, labels):
    from conftest import randomise
    model = randomise(make(task, num_labels=3), 1).eval()
    batches = [draw_batch((6, 6, 6), seed=seed) | {"labels": torch.tensor(row)} for seed, row in enumerate(labels)]
    assert evaluate(model, batches, (1, 2)) == pytest.approx(naive(model, batches, (1, 2)), rel=1e-5)


def test_evaluation_flatters_no_broken_model():
    model = make(BertForSequenceClassification, num_labels=3)
    batch = draw_batch((6, 6, 6)) | {"labels": torch.tensor([2, 0, 1])}  # each class once
    with torch.no_grad():
        for parameter in model.classifier.parameters(): parameter.zero_()
        assert evaluate(model, [batch], (1, 2, 3)) == pytest.approx(
            {"eval_loss": math.log(3), "accuracy": 1 / 3, "top_2_accuracy": 2 / 3, "top_3_accuracy": 1})
        model.classifier.bias.fill_(math.nan)
    found = evaluate(model, [batch])
    assert math.isnan(found["eval_loss"]) and found["accuracy"] <= 1 / 3 + 1e-9


@pytest.mark.parametrize("batches, message", [
    ([], "empty|no label|nothing"), ([draw_batch(labels=(0, 0, 0))], "empty|no label|nothing|-100"),
    ([{name: value for name, value in draw_batch().items() if name != "labels"}], "labels"),
    ([draw_batch() | {"labels": torch.rand(3)}], "labels")], ids=["empty", "no label", "no labels", "floats"])
def test_an_evaluation_needs_labels(batches, message):
    model = make(BertForSequenceClassification, num_labels=1) if message == "labels" else make()
    with pytest.raises(ValueError, match=message): evaluate(model.train(), batches)
    assert model.training
    with pytest.raises(ValueError, match="logits"):
        evaluate(make(BertForPreTraining), [draw_batch() | {"next_sentence_label": torch.tensor([0, 1, 1])}])


# Batches

def test_batches_of_like_length():
    draw = random.Random(0)
    lengths = [draw.randint(1, 60) for _ in range(200)] + [500]
    sampler = LengthBatchSampler(lengths, 100)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(sampler) == len(batches) and sorted(sum(batches, [])) == list(range(201)) and [200] in batches
        assert all(sum(lengths[index] for index in batch) <= 100 for batch in batches if batch != [200])
        edges = sorted((min(lengths[index] for index in batch), max(lengths[index] for index in batch)) for batch in batches)
        assert all(high <= low for (_, high), (low, _) in zip(edges, edges[1:])), "batches have lengths of their own"
        epochs.append(batches)
    assert epochs[0] != epochs[1]
    assert sorted(map(sorted, epochs[0])) != sorted(map(sorted, epochs[1])), "other texts come together"
    sampler.set_epoch(0)
    assert list(sampler) == epochs[0] == list(LengthBatchSampler(lengths, 100)) != list(LengthBatchSampler(lengths, 100, seed=1))
    assert list(LengthBatchSampler([], 100)) == []
    for wrong in (0, -5):
        with pytest.raises(ValueError, match=f"max_tokens.*{wrong}"): LengthBatchSampler([3, 4], wrong)


def test_packed_rows_have_no_padding():
    texts = [[10, 11, 12], [13], [], [14, 15, 16, 17], [18]]
    rows = pack_sequences(texts, 6, 2, 3)
    assert rows.tolist() == [[2, 10, 11, 12, 3, 3], [2, 13, 3, 3, 14, 3], [2, 15, 16, 17, 3, 3]] and rows.dtype == torch.int64
    assert pack_sequences(texts, 4, 2, 3).shape == (7, 4) and pack_sequences(iter(texts), 17, 2, 3).shape == (0, 17)
    assert pack_sequences([], 5, 2, 3).shape == (0, 5) and pack_sequences(texts, 16, 2, 3).shape == (1, 16)
    with pytest.raises(ValueError, match="length is 2"): pack_sequences(texts, 2, 2, 3)


# Errors

BAD = [("max_steps", -1), ("gradient_accumulation_steps", 0), ("gradient_accumulation_steps", -2), ("save_steps", 0), ("eval_steps", 0), ("eval_steps", -1),
       ("learning_rate", -1e-3), ("weight_decay", -0.1), ("warmup_steps", -1), ("warmup_steps", -0.1), ("warmup_steps", 9), ("max_grad_norm", -1.0),
       ("max_grad_norm", math.nan), ("learning_rate", "fast"), ("lr_scheduler_type", "square"), ("gradient_accumulation_steps", 1.5), ("max_steps", 2.5)]


@pytest.mark.parametrize("name, value", BAD)
def test_settings_that_cannot_be_are_named(tmp_path, name, value):
    model = make().eval()
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        train(model, [draw_batch()], **dict(max_steps=4, output_dir=tmp_path, evaluate=dict, **QUIET) | {name: value})
    same_weights(model, make())
    assert not model.training and not os.listdir(tmp_path)


def poisoned() -> dict:
    "Return a batch whose gradient isn't finite, with the model below."
    return draw_batch((9, 6)) | {"labels": torch.full((2,), 1e30)}


def test_a_gradient_that_is_not_finite_stops_before_the_step(tmp_path):
    model = make(BertForSequenceClassification, num_labels=1, **CALM)
    good = draw_batch((9, 6)) | {"labels": torch.tensor([0.5, 1.0])}
    with pytest.raises(FloatingPointError, match="isn't finite.*loss is (inf|nan)"):
        train(model, [good, poisoned()], max_steps=2, warmup_steps=0, output_dir=tmp_path, save_steps=1, **QUIET)
    assert all(weight.isfinite().all() for weight in model.parameters())
    expected = make(BertForSequenceClassification, num_labels=1, **CALM)
    log = train(expected, [good, good], max_steps=2, warmup_steps=0, **QUIET)
    assert train(model, [good, good], max_steps=2, warmup_steps=0, output_dir=tmp_path, resume_from_checkpoint=True, **QUIET) == log
    same_weights(model, expected)


def without_labels() -> dict: return {name: value for name, value in draw_batch().items() if name != "labels"}


def test_batches_of_other_kinds():
    expected = train(make(), [draw_batch()], max_steps=2, **QUIET)
    assert train(make(), [{name: value.numpy() for name, value in draw_batch().items()}], max_steps=2, **QUIET) == expected
    assert train(make(), ({**draw_batch()},), max_steps=2, **QUIET) == expected
    with pytest.raises(TypeError, match="expected a dictionary.*in a list"): train(make(), draw_batch(), max_steps=2, **QUIET)
    model = make()
    for weight in model.parameters(): weight.requires_grad_(False)
    with pytest.raises(ValueError, match="[Nn]o weight"): train(model, [draw_batch()], max_steps=2, **QUIET)


@pytest.mark.parametrize("batches, message", [
    (lambda: [], "batches is empty"), (lambda: (draw_batch() for _ in range(2)), "batches.*(generator|once|iterator)"),
    (lambda: DataLoader([], 2), "batches is empty"), (lambda: [without_labels()], "input_ids.*labels")],
    ids=["empty", "used up", "empty loader", "no labels"])
def test_batches_that_cannot_be_are_named(batches, message):
    model = make().eval()
    with pytest.raises(ValueError, match=message): train(model, batches(), max_steps=5, **QUIET)
    assert not model.training


CHANGED = [("max_steps", 5), ("learning_rate", 1e-3), ("warmup_steps", 0.5), ("lr_scheduler_type", "cosine"), ("weight_decay", 0.2), ("max_grad_norm", 2.0),
           ("gradient_accumulation_steps", 2), ("bf16", True), ("seed", 3)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    "Return the folder of a run of four steps on three batches that was killed in the third."
    folder = tmp_path_factory.mktemp("finished")
    with pytest.raises(Killed):
        train(make(), [draw_batch(seed=seed) for seed in range(3)], max_steps=4, output_dir=folder, save_steps=2, evaluate=kill_after(3), eval_steps=1, **QUIET)
    return folder


def resume(folder: Path, model=None, batches=None, **options) -> list[dict]:
    batches = batches or [draw_batch(seed=seed) for seed in range(3)]
    return train(model or make(), batches, **dict(max_steps=4, output_dir=folder, resume_from_checkpoint=True, **QUIET) | options)


@pytest.mark.parametrize("name, value", CHANGED)
def test_changed_settings_are_named(finished, name, value):
    model, before = make(), (finished / "training.pt").read_bytes()
    with pytest.raises(ValueError, match=rf"training.pt was written with {name}=.*{value!r}"): resume(finished, model, **{name: value})
    same_weights(model, make())
    assert (finished / "training.pt").read_bytes() == before
    assert set(training.SETTINGS) >= {name for name, _ in CHANGED}


def test_a_run_is_not_overwritten(finished):
    before = (finished / "training.pt").read_bytes()
    with pytest.raises(OSError, match="another run.*resume_from_checkpoint"): resume(finished, resume_from_checkpoint=False)
    assert (finished / "training.pt").read_bytes() == before


def test_other_data_are_noticed(finished):
    with pytest.raises(ValueError, match="2.*1|1.*2"): resume(finished, batches=[draw_batch()])


def test_another_model_is_noticed(finished):
    for model in (make(hidden_size=8), make(BertForSequenceClassification), frozen(make())):
        with pytest.raises((ValueError, OSError), match="training.pt"): resume(finished, model)


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: content[:1000], lambda content: b"", lambda content: b"x" * 5000,
                                    lambda content: content[:3000] + bytes(200) + content[3200:]], ids=["cut", "head", "empty", "other", "zeros"])
def test_a_damaged_file_is_named(finished, tmp_path, damage):
    (tmp_path / "training.pt").write_bytes(damage((finished / "training.pt").read_bytes()))
    model = make()
    with pytest.raises(OSError, match="training.pt"): resume(tmp_path, model)
    same_weights(model, make())


class Evil:
    def __reduce__(self): return os.mkdir, ("executed",)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], {"model": Evil()}, make().state_dict()], ids=["dict", "list", "program", "weights"])
def test_a_foreign_file_is_named(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "training.pt")
    with pytest.raises((OSError, ValueError), match="training.pt"): resume(tmp_path)
    assert os.listdir(tmp_path) == ["training.pt"]


def test_a_folder_that_cannot_be_is_named_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    steps = []
    with pytest.raises(OSError, match="file"):
        train(make(), [draw_batch()], max_steps=3, save_steps=2, output_dir=tmp_path / "file", evaluate=lambda: steps.append(0) or {}, eval_steps=1, **QUIET)
    assert not steps
    with pytest.raises(ValueError, match="output_dir"): train(make(), [draw_batch()], max_steps=3, resume_from_checkpoint=True, **QUIET)


if __name__ == "__main__": work(Path(sys.argv[1]))
