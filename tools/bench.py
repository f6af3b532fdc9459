"Measure tinybert beside other libraries, and write nbs/benchmarks.md and its pictures."

import os, pickle, platform, subprocess, sys, time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import transformers
from matplotlib.figure import Figure

from tinybert import Checkpoint
from tinybert.drawing import INKS, picture
from tinybert.training import has_bf16
from tools.course import ROOT
from tools.ways import CHECKPOINT, THREADS, WAYS, Setting, Task, batch, training_batch

PAGE = ROOT / "nbs/benchmarks.md"
PAUSE = 0.2  # seconds: some libraries' threads keep a core busy for so long after a call
THEIRS, OURS = "transformers", ("tinybert", "ready_to_serve")
ENGINES = ("inductor engine", "openvino engine")  # other engines of ready_to_serve
Times = dict[str, list[float]]  # way → its seconds, turn by turn


@dataclass
class Row:
    "What to measure, and the goals: our time / that of the fastest other way."
    task: Task
    fastest: dict[str, float]  # dtype → goal for the fastest of our ways
    served: dict[str, float]  # dtype → goal for `ready_to_serve`
    calls: int = 1  # in a turn


def goals(float32: float, bfloat16: float) -> dict[str, float]:
    return {"float32": float32, "bfloat16": bfloat16}


EQUAL = goals(1.0, 1.0)
ROWS = {
    "3 × 4": Row(("batch", 3, 4), EQUAL, goals(1.3, 1.5), calls=20),
    "1 × 16": Row(("batch", 1, 16), EQUAL, goals(1.3, 1.5), calls=20),
    "32 × 128": Row(("batch", 32, 128), EQUAL, EQUAL),
    "32 × 128, half padding": Row(("batch", 32, 128, True), goals(.7, .55), goals(.7, .55)),
    "8 × 512": Row(("batch", 8, 512), EQUAL, EQUAL),
    "600 paragraphs": Row(("corpus", 600), goals(.9, .8), goals(.9, .8)),
}
TRAINING = {"fine-tuning": ("a fine-tuning step, 32 × 128, half padding", 0.6),
            "pretraining": ("a step of masked-LM training, 32 × 128", 0.45)}
FULL = ROWS["32 × 128"].task
LONG = (512, 1024, 2048, 4096, 8192)  # tokens that ModernBERT gets
CURVES = {  # title → what the horizontal axis shows, and the size of each task
    "batch size": ("texts of up to 64 tokens", {n: ("batch", n, 64, True) for n in (1, 4, 16, 64)}),
    "length": ("tokens in each of 8 texts", {n: ("batch", 8, n) for n in (8, 32, 128, 512)}),
    "corpus": ("texts", {n: ("corpus", n) for n in (30, 100, 300, 1000)}),
}
COLORS = {"transformers": "grey", "tinybert": "blue", "ready_to_serve": "green",
          "inductor engine": "green", "openvino engine": "green",
          "OpenVINO": "orange", "onnxruntime": "violet", "ctranslate2": "red", "floor": "black"}

MARKERS = {"floor": "|", "inductor engine": "^", "openvino engine": "s"}  # "o" for the others


class Worker:
    "Ask a process that has one library and one model."
    def __init__(self, setting: Setting):
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tools.ways import main; main()"], cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "true",
                              **WAYS[setting.way].environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.tell(setting)

    def tell(self, message: object) -> None:
        pickle.dump(message, self.process.stdin)
        self.process.stdin.flush()

    def ask(self, question: str, *arguments):
        "Return the answer to a question: the name of a method of `Way`."
        time.sleep(PAUSE)
        self.tell((question, *arguments))
        return pickle.load(self.process.stdout)

    def stop(self) -> None: self.process.communicate()


def find_ways() -> list[str]:
    "Return the ways that can be measured here, and say which can't."
    missing = [name for name, way in WAYS.items() if not find_spec(way.package)]
    if missing: print(f"Not installed, so left out: {', '.join(missing)}. To measure them, "
                      f"too: pip install -e '.[bench]'")
    return [name for name in WAYS if name not in missing]


class Last(torch.nn.Module):
    "Give the hidden states alone, which is all that we compare."
    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids, attention_mask).last_hidden_state


class Bench:
    "Start processes and let them take turns."
    def __init__(self, converted: Path, turns: int):
        self.turns, self.ways, self.converted = turns, find_ways(), converted
        self.checkpoint = Checkpoint(CHECKPOINT).find("config.json").parent
        self.dtypes = ["float32", "bfloat16"] if has_bf16() else ["float32"]
        model = Last(transformers.AutoModel.from_pretrained(self.checkpoint).eval())
        inputs = {k: torch.from_numpy(v) for k, v in batch(3, 7, True).items()}
        for name in self.ways: WAYS[name].convert(model, inputs, self.setting(name))

    def setting(self, way: str, dtype: str = "float32", device: str = "cpu") -> Setting:
        return Setting(way, dtype, device, self.checkpoint, self.converted)

    def start(self, ways: list[str], dtype: str = "float32", device: str = "cpu") -> dict:
        "Return a worker for each way that runs this dtype."
        workers = {way: Worker(self.setting(way, dtype, device)) for way in ways
                   if dtype in WAYS[way].dtypes}
        for worker in workers.values(): worker.ask("memory")  # it answers when it has loaded
        return workers

    def side_by_side(self, workers: dict, task: Task, calls: int = 1, turns: int = 0) -> dict:
        "Return the seconds of workers that take turns, so that a slow minute hits all of them."
        times = {name: [] for name in workers}
        for _ in range(turns or self.turns):
            for name, worker in workers.items():
                times[name].append(worker.ask("time", task, calls))
        return times

    def passes(self) -> tuple[dict, dict, dict]:
        "Return for each row the times, the least cosines with transformers; and the curves."
        workers = {(way, dtype): worker for dtype in self.dtypes
                   for way, worker in self.start(self.ways, dtype).items()}
        times, cosines, exact = {}, {}, (THEIRS, "float32")
        for name, row in ROWS.items():
            say(name)
            times[name] = self.side_by_side(workers, row.task, row.calls)
            vectors = {key: worker.ask("vectors", row.task) for key, worker in workers.items()
                       if key[0] != "floor"}
            cosines[name] = {key: least_cosine(vectors[key], vectors[exact]) for key in vectors}
        single = {way: worker for (way, dtype), worker in workers.items()
                  if dtype == "float32" and way not in ENGINES}
        loading = {way: worker for way, worker in single.items() if way != "floor"}
        say("load")
        times["load"] = self.side_by_side(loading, ("load",), 3)
        curves = {}
        for title, (_, tasks) in CURVES.items():
            say(f"growth: {title}")
            curves[title] = {size: self.side_by_side(single, task, 1, self.few())
                             for size, task in tasks.items()}
        for worker in workers.values(): worker.stop()
        return times, cosines, curves

    def few(self) -> int:
        "Return the turns of what takes long."
        return max(1, self.turns // 3)

    def memory(self) -> dict:
        "Return the MB of fresh processes after a batch of 32 × 128."
        say("memory")
        found = {}
        for dtype in self.dtypes:
            for way, worker in self.start([w for w in self.ways if w != "floor"], dtype).items():
                worker.ask("time", FULL)
                found[way, dtype] = worker.ask("memory")
                worker.stop()
        return found

    def modernbert(self) -> dict[int, dict[str, tuple[float, float]]]:
        "Return seconds and MB of one pass through ModernBERT base; the longest text comes first."
        workers, found = self.start([THEIRS, *OURS]), {}
        for worker in workers.values(): worker.ask("time", ("modernbert", 64))
        for tokens in sorted(LONG, reverse=True):
            say(f"ModernBERT, {tokens} tokens")
            found[tokens] = {name: worker.ask("first", ("modernbert", tokens))
                             for name, worker in workers.items()}
        for worker in workers.values(): worker.stop()
        return found

    def training(self) -> tuple[dict, dict]:
        "Return the seconds of training steps, and the MB that training needs beside the model."
        times, grown = {}, {}
        for row in TRAINING:
            say(row)
            workers, task = self.start([THEIRS, "tinybert"]), ("training", row)
            grown[row] = {name: worker.ask("first", task)[1] for name, worker in workers.items()}
            times[row] = self.side_by_side(workers, task, 1, self.few())
            for worker in workers.values(): worker.stop()
        return times, grown

    def imports(self) -> Times:
        "Return the seconds of imports in fresh processes that have already imported torch."
        say("import")
        times = {THEIRS: [], "tinybert": []}
        for _ in range(self.few()):
            for library in times: times[library].append(import_seconds(library))
        return times

    def card(self) -> dict[str, Times]:
        "Return the seconds of a batch on a graphics card in bfloat16."
        workers, found = self.start([THEIRS, "tinybert"], "bfloat16", "cuda"), {}
        for name, padding in (("64 × 256", False), ("64 × 256, half padding", True)):
            found[name] = self.side_by_side(workers, ("batch", 64, 256, padding), 5)
        for worker in workers.values(): worker.stop()
        return found


def say(what: str) -> None: print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def import_seconds(library: str) -> float:
    "Return how long an import takes in a fresh process that has already imported torch."
    code = (f"import torch, time; start = time.perf_counter(); "
            f"from {library} import BertModel, AutoTokenizer; print(time.perf_counter() - start)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=ROOT)
    return float(done.stdout)


def least_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    "Return the least cosine of a token's or a text's vector with what it should be."
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(1) / lengths).min())


# The page

def ratio(times: dict, name, to) -> float:
    "Return the median over the turns of one time divided by the other of the same turn."
    return median(a / b for a, b in zip(times[name], times[to]))


def milliseconds(values: list[float]) -> str:
    "Return the median of some seconds as milliseconds, with a decimal if it's below 100."
    value = median(values) * 1000
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    "Return a Markdown table; its first column is of words."
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_goal(value: float, goal: float) -> str:
    "Return a number beside its goal, which it should not exceed."
    return f"{value:.2f} {'≤' if value <= goal else '>'} {goal}"


def beside_peers(times: dict, names: tuple[str, ...], dtype: str) -> float:
    "Return the time of the fastest of our ways divided by that of the fastest other one."
    to_theirs = lambda key: ratio(times, key, (THEIRS, "float32"))
    peers = [key for key in times if key[1] == dtype and key[0] not in (*OURS, *ENGINES, "floor")]
    return ratio(times, min([key for key in times if key[1] == dtype and key[0] in names],
                            key=to_theirs),
                 min(peers, key=to_theirs))


def passes_table(times: dict, cosines: dict, dtype: str) -> str:
    "Return the rows of forward passes in one dtype."
    exact, rows = (THEIRS, "float32"), []
    keys = [key for key in times["3 × 4"] if key[1] == dtype and key != exact]
    for name, row in ROWS.items():
        cells = [name, milliseconds(times[name][exact])]
        for key in keys:
            lossy = dtype != "float32" and key in cosines[name]
            cells.append(f"{ratio(times[name], key, exact):.2f}"
                         + (f" ({cosines[name][key]:.4f})" if lossy else ""))
        cells.append(to_goal(beside_peers(times[name], ("ready_to_serve",), dtype),
                             row.served[dtype]))
        rows.append(cells + [to_goal(beside_peers(times[name], OURS + ENGINES, dtype), row.fastest[dtype])])
    return table(["work", "transformers float32, ms", *(way for way, _ in keys),
                  "ready_to_serve / best peer, goal", "our fastest / best peer, goal"], rows)


def start_table(times: dict, imports: Times) -> str:
    "Return how long an import and loading take."
    ways = list(times["load"])
    load = [f"{ratio(times['load'], way, THEIRS):.2f}" for way in ways[1:]]
    ours = ratio(imports, "tinybert", THEIRS)
    rows = [["load the checkpoint", milliseconds(times["load"][THEIRS]), *load,
             to_goal(ratio(times["load"], "tinybert", THEIRS), 0.7)],
            ["import both classes, after torch", milliseconds(imports[THEIRS]), f"{ours:.2f}",
             *["–"] * (len(ways) - 2), to_goal(ours, 0.1)]]
    return table(["work", "transformers, ms", *ways[1:], "tinybert / transformers, goal"], rows)


def memory_table(memory: dict) -> str:
    "Return the memory of each way, by dtype."
    ways, dtypes = [list(dict.fromkeys(key[i] for key in memory)) for i in (0, 1)]
    show = lambda key: f"{memory[key]:,.0f}" if key in memory else "–"
    rows = [[dtype, *(show((way, dtype)) for way in ways)] for dtype in dtypes]
    return table(["MB", *ways], rows)


def modernbert_table(modern: dict) -> str:
    "Return the times of each length, and the memory of the longest."
    rows = []
    for tokens, found in sorted(modern.items()):
        seconds, megabytes = ([found[way][i] for way in (THEIRS, *OURS)] for i in (0, 1))
        cells = [f"{seconds[0]:.2f}", *(f"{value / seconds[0]:.2f}" for value in seconds[1:])]
        if tokens == max(modern): cells += [f"{value:,.0f}" for value in megabytes]
        rows.append([f"{tokens:,} tokens", *cells, *["–"] * (6 - len(cells))])
    return table(["ModernBERT base", "transformers, s", *OURS,
                  *(f"{way}, MB" for way in (THEIRS, *OURS))], rows)


def modernbert_goals(modern: dict) -> str:
    "Say whether the goals for the longest text are met."
    ours, theirs = (modern[max(modern)][way] for way in ("ready_to_serve", THEIRS))
    return (f"At {max(modern):,} tokens, ready_to_serve / transformers, beside the goal: "
            f"time {to_goal(ours[0] / theirs[0], 0.45)}, "
            f"memory {to_goal(ours[1] / theirs[1], 0.4)}.")


def training_table(times: dict, grown: dict) -> str:
    "Return tokens a second and the memory of training."
    rows = []
    for row, (name, goal) in TRAINING.items():
        tokens = training_batch(row)["attention_mask"].sum()
        cells = [f"{tokens / median(times[row][way]):,.0f}" for way in (THEIRS, "tinybert")]
        cells += [f"{grown[row][way]:,.0f}" for way in (THEIRS, "tinybert")]
        rows.append([name, *cells, to_goal(ratio(times[row], "tinybert", THEIRS), goal)])
    return table(["work", "transformers, tokens/s", "tinybert, tokens/s", "transformers, MB",
                  "tinybert, MB", "time / time, goal"], rows)


def card_section(card: dict) -> str:
    "Return the times on a graphics card."
    rows = [[name, *(milliseconds(times[way]) for way in (THEIRS, "tinybert")),
             f"{ratio(times, 'tinybert', THEIRS):.2f}"] for name, times in card.items()]
    return (f"\n## On a graphics card\n\n{torch.cuda.get_device_name()}, bfloat16.\n\n"
            f"{table(['work', 'transformers, ms', 'tinybert, ms', 'ratio'], rows)}\n")


def legend(figure: Figure) -> None:
    "Name the ways once, below all panels."
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=7, frameon=False, fontsize=8, columnspacing=1, handletextpad=.3)


def draw_growth(curves: dict, modern: dict) -> None:
    "Draw how the time grows with the work."
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    panels = {title: (label, curves[title]) for title, (label, _) in CURVES.items()}
    panels["ModernBERT base, length"] = ("tokens of one text", {
        tokens: {way: [seconds] for way, (seconds, _) in found.items()}
        for tokens, found in sorted(modern.items())})
    for ax, (title, (label, sizes)) in zip(figure.subplots(2, 2).flat, panels.items()):
        for way in next(iter(sizes.values())):
            ax.plot(list(sizes), [median(times[way]) for times in sizes.values()], label=way,
                    color=INKS[COLORS[way]], ls=":" if way == "floor" else "-", marker=".")
        ax.set(title=title, xlabel=label, ylabel="seconds", xscale="log", yscale="log")
        ax.set_xticks(list(sizes), [f"{size:,}" for size in sizes], minor=False)
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    legend(figure)
    picture(figure, "Time over the size of the work.").save(PAGE.with_name("benchmarks-growth.svg"))


def draw_ratios(times: dict, dtypes: list[str]) -> None:
    "Draw the ratios of the tables as points, a row for each kind of work."
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for ax, dtype in zip(figure.subplots(1, len(dtypes), squeeze=False, sharey=True)[0], dtypes):
        for way in [way for way, kind in times["3 × 4"] if kind == dtype]:
            values = [ratio(times[name], (way, dtype), (THEIRS, "float32")) for name in ROWS]
            ax.plot(values, range(len(ROWS)), color=INKS[COLORS[way]], label=way, alpha=.9,
                    ls="", marker=MARKERS.get(way, "o"), ms=14 if way == "floor" else 6)
        ax.axvline(1, color=INKS["grey"], lw=1, ls="--")
        ax.set(title=dtype, xlabel="time / time of transformers, float32", xlim=(0, None))
        ax.set_yticks(range(len(ROWS)), list(ROWS))
        ax.spines[["top", "right"]].set_visible(False)
    ax.invert_yaxis()
    legend(figure)
    picture(figure, "The ratios of the tables.").save(PAGE.with_name("benchmarks.svg"))


def machine(ways: list[str]) -> str:
    "Name the processor, its special units for matrices, and the versions."
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")]
    found = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
             if torch.cpu.get_capabilities().get(flag)]
    packages = ["torch", "sentence-transformers", *(WAYS[way].package for way in ways)]
    versions = ", ".join(f"{package} {version(package)}" for package in dict.fromkeys(packages))
    return (f"{names[0] if names else platform.processor()} ({', '.join(found)}), {THREADS} "
            f"threads, Python {platform.python_version()}, {versions}")


PAGE_TEXT = """---
title: Benchmarks
description: How fast tinybert is, compared with transformers, OpenVINO, onnxruntime and ctranslate2.
---

`make bench` wrote this page on {date}. Don't edit it: run `make bench` again to see the numbers of your machine.

**Machine.** {machine}.{missing}

Each library runs in a process of its own, with {threads} threads. The processes take turns, {turns} in each row of the tables, so a slow minute hits all of them. A turn is one call, or 20 of a small batch; the very first call isn't counted. **The numbers are times divided by transformers' time in float32**: the median of the turns' ratios, so trust it more than the milliseconds. Below 1 is faster.

- *transformers* uses its default attention, and sentence-transformers for the paragraphs.
- *tinybert* is the model as it is; *ready_to_serve* is [the copy that answers sooner](15_serving.ipynb), and the two engines are the copies by `engine="inductor"` and `engine="openvino"`.
- *OpenVINO*, *onnxruntime* and *ctranslate2* run the model that their own converters made of transformers' model. For the paragraphs, they do what sentence-transformers does: sort by length, batches of 32, padding.
- *floor* is no program: it counts the operations that the layers need for the real tokens, and divides them by the rate of one large matrix product (2048 × 2048) of torch in the same turn.

All of them run [all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2). 32 × 128 is a batch of 32 texts of 128 tokens; with half padding, their lengths are random from 2 to 128. The 600 paragraphs have 3 to 250 words, most of them few, and go from text to vectors. The last two columns have our time divided by that of the fastest other library in the same dtype, and the goal: 0.95 ≤ 1.0 is met, 1.05 > 1.0 isn't.

<img src="benchmarks.svg" alt="Points for each row and way, left in float32 and right in bfloat16 where the processor has it: the ratios of the two tables below.">

## float32

{float32}

They all compute the same: the least cosine of a vector with transformers' is {least:.6f}.

## bfloat16

{bfloat16}

## Growth

<img src="benchmarks-growth.svg" alt="Four panels with seconds over the size of the work, both on logarithmic axes: the number of texts in a batch, their length, the number of texts in a corpus, and the length of ModernBERT's text. One line for each way.">

## Long texts

ModernBERT base with random weights reads one text in float32, once for each length. The memory is how far a process's peak rose above what it had before the call.

{modern}

{modern_goals}

## Memory

What a fresh process holds after it has run 32 × 128, the library itself included. The goal for ready_to_serve in float32 is 430 MB.

{memory}

## Load and import

{start}

## Training

A model of MiniLM's shape learns with AdamW and gradients clipped to norm 1. transformers gets the usual loop of loss, backward, step; tinybert gets `train`. A classifier learns from texts of 2 to 128 tokens; a masked-LM model from full rows, with 15% of the tokens labeled. Our head scores only those, transformers' scores all. Tokens are counted without padding. The memory is how far the peak rose in the first step, gradients and the optimizer's two averages included.

{training}
"""


def write_page(bench: Bench, passed: tuple, memory: dict, modern: dict, trained: tuple,
               imports: Times) -> str:
    "Return the page, and draw its pictures."
    times, cosines, curves = passed
    draw_ratios(times, bench.dtypes)
    draw_growth(curves, modern)
    missing = ", ".join(name for name in WAYS if name not in bench.ways)
    half = "bfloat16"
    rough = (f"Behind each ratio is the least cosine with transformers' vectors in float32.\n\n"
             f"{passes_table(times, cosines, half)}" if half in bench.dtypes else
             "This processor can't multiply bfloat16 in hardware, so these rows are left out.")
    exact = [value for row in cosines.values() for (_, dtype), value in row.items()
             if dtype == "float32"]
    return PAGE_TEXT.format(
        date=date.today(), machine=machine(bench.ways), threads=THREADS, turns=bench.turns,
        missing=f" Not installed, so left out: {missing}." if missing else "",
        float32=passes_table(times, cosines, "float32"), bfloat16=rough, least=min(exact),
        modern=modernbert_table(modern), modern_goals=modernbert_goals(modern),
        memory=memory_table(memory), start=start_table(times, imports),
        training=training_table(*trained))


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    transformers.utils.logging.disable_progress_bar()
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder), turns)
        page = write_page(bench, bench.passes(), bench.memory(), bench.modernbert(),
                          bench.training(), bench.imports())
        if torch.cuda.is_available(): page += card_section(bench.card())
    PAGE.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__": main()
