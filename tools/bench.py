"Measure tinybert beside transformers and sentence-transformers, and write nbs/benchmarks.md."

import gc, platform, re, subprocess, sys, time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Callable

import torch
import transformers
from matplotlib.figure import Figure
from sentence_transformers import SentenceTransformer

import tinybert
from tinybert import AutoTokenizer, BertConfig, BertModel, Checkpoint, embed, read_pooling
from tinybert.drawing import FILLS, INKS, picture
from tinybert.training import has_bf16, train
from tools.course import ROOT
from tools.prepack import prepack

PAGE, PICTURE = ROOT / "nbs/benchmarks.md", ROOT / "nbs/benchmarks.svg"
CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"
FOLDER = Checkpoint(CHECKPOINT).find("config.json").parent
Times = dict[str, list[float]]  # name of a contender → its seconds, turn by turn
Models = dict[str, torch.nn.Module]
# what each row measures, and the ratio that we want to stay below
ROWS = {
    "import": ("import both classes, after torch", 0.1),
    "load": ("load the checkpoint", 0.7),
    "small": ("3 sentences of 4 tokens", 0.6),
    "full": ("32 × 128 tokens, no padding", 0.95),
    "half": ("32 × 128 tokens, about half padding", 0.55),
    "full bf16": ("32 × 128 in bfloat16, no padding, against float32", 0.2),
    "half bf16": ("32 × 128 in bfloat16, half padding, against float32", 0.14),
    "embed": ("embed a corpus of mixed lengths", 0.7),
    "embed bf16": ("embed the corpus in bfloat16, against float32", 0.18),
    "fine-tuning": ("a fine-tuning step, 32 × 128, about half padding", 0.6),
    "pretraining": ("a step of masked-LM training, 32 × 128, no padding", 0.45),
}
STEPS = 3  # of training, in a turn


def seconds(function: Callable, calls: int = 1) -> float:
    "Return how long one call takes, as the mean of some calls."
    start = time.perf_counter()
    for _ in range(calls): function()
    return (time.perf_counter() - start) / calls


def side_by_side(functions: dict[str, Callable], pairs: int, calls: int = 1) -> Times:
    "Return the seconds of functions that take turns, so that a slow minute hits all of them."
    for function in functions.values(): function()  # caches, lazy imports, prepacked weights
    times = {name: [] for name in functions}
    for _ in range(pairs):
        for name, function in functions.items(): times[name].append(seconds(function, calls))
    return times


def import_seconds(library: str) -> float:
    "Return how long an import takes in a fresh process that has already imported torch."
    code = (f"import torch, time; start = time.perf_counter(); "
            f"from {library} import BertModel, AutoTokenizer; print(time.perf_counter() - start)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=ROOT)
    return float(done.stdout)


def import_times(pairs: int) -> Times:
    "Return the seconds of imports, which take turns."
    times = {"theirs": [], "ours": []}
    for _ in range(pairs):
        times["theirs"].append(import_seconds("transformers"))
        times["ours"].append(import_seconds("tinybert"))
    return times


def batch(texts: int, tokens: int, padding: bool, device: str = "cpu") -> dict[str, torch.Tensor]:
    "Return random ids without padding, or with lengths from 2 to `tokens`; the same at each call."
    generator = torch.Generator().manual_seed(0)
    lengths = torch.full((texts,), tokens)
    if padding: lengths = torch.randint(2, tokens + 1, (texts,), generator=generator)
    lengths[0] = tokens
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    ids = torch.randint(1000, 30000, (texts, tokens), generator=generator) * mask
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def corpus(texts: int) -> list[str]:
    "Return texts of common words with lengths as in real corpora: many short, few long ones."
    words = ("the a bridge river music storm harbour bread water old new house of in on was is "
             "broke plays closed two days time work light").split()
    generator = torch.Generator().manual_seed(0)
    lengths = (torch.randn(texts, generator=generator) * .8 + 3).exp().int().clamp(3, 250).tolist()
    draws = (torch.randint(len(words), (length,), generator=generator) for length in lengths)
    return [" ".join(words[index] for index in drawn) for drawn in draws]


def forwards(models: Models, inputs: dict[str, torch.Tensor]) -> dict[str, Callable]:
    "Return a function for each model that runs it on a batch."
    return {name: lambda model=model: model(**inputs) for name, model in models.items()}


def multiply_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    "Return the operations a second of a large matrix product: what this machine can do."
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(seconds(lambda: (a @ b)[0, 0].item()) for _ in range(10))
    return 2 * size ** 3 / best


def operations(inputs: dict[str, torch.Tensor], config) -> float:
    "Return the operations of the layers for the real tokens of a batch."
    lengths, C = inputs["attention_mask"].sum(dim=1).double(), config.hidden_size
    linear = 2 * (4 * C * C + 2 * C * config.intermediate_size) * lengths.sum()
    return config.num_hidden_layers * (linear + 4 * C * lengths.square().sum()).item()


def load_models(dtype: torch.dtype) -> Models:
    "Return theirs, ours, and ours with prepacked weights."
    return {"theirs": transformers.AutoModel.from_pretrained(FOLDER, dtype=dtype).eval(),
            "ours": BertModel.from_pretrained(CHECKPOINT, dtype=dtype),
            "prepacked": prepack(BertModel.from_pretrained(CHECKPOINT, dtype=dtype))}


def measure_passes(pairs: int, exact: Models, rough: Models) -> dict[str, Times]:
    "Return the seconds of forward passes, in float32 and, if there are models for it, bfloat16."
    if rough: rough = rough | {"theirs": exact["theirs"], "same": rough["theirs"]}
    compiled = {"ours": exact["ours"], "compiled": torch.compile(exact["ours"])}
    ids = [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]
    small, results = {"input_ids": torch.tensor(ids)}, {}
    results["small"] = side_by_side(forwards(exact, small), pairs, 50)
    results["small compiled"] = side_by_side(forwards(compiled, small), pairs, 50)
    for name, padding in (("full", False), ("half", True)):
        inputs = batch(32, 128, padding)
        results[name] = side_by_side(forwards(exact, inputs), pairs)
        if rough: results[f"{name} bf16"] = side_by_side(forwards(rough, inputs), pairs)
    inputs = batch(32, 128, False)
    results["full compiled"] = side_by_side(forwards(compiled, inputs), max(3, pairs // 2))
    return results


def measure_embed(pairs: int, exact: Models, rough: Models) -> dict[str, Times]:
    "Return the seconds that a corpus takes, in float32 and, if there are models for it, bfloat16."
    tokenizer, texts = AutoTokenizer.from_pretrained(CHECKPOINT), corpus(512)
    options = read_pooling(CHECKPOINT) | {"progress": False}

    def ours(models: Models) -> dict[str, Callable]:
        return {name: lambda model=models[name]: embed(model, tokenizer, texts, **options)
                for name in ("ours", "prepacked")}

    def theirs(dtype: str) -> Callable:
        model = SentenceTransformer(str(FOLDER), device="cpu", model_kwargs={"dtype": dtype})
        return lambda: model.encode(texts, convert_to_tensor=True, normalize_embeddings=True,
                                    show_progress_bar=False)

    single = theirs("float32")
    ways = {"embed": {"theirs": single} | ours(exact)}
    if rough: ways["embed bf16"] = {"theirs": single, "same": theirs("bfloat16")} | ours(rough)
    return {name: side_by_side(way, max(3, pairs // 2)) for name, way in ways.items()}


def training_batch(row: str, vocab_size: int) -> dict[str, torch.Tensor]:
    "Return texts with classes, or full rows with 15% of tokens labeled; the same at each call."
    inputs, generator = batch(32, 128, row == "fine-tuning"), torch.Generator().manual_seed(1)
    ids = inputs["input_ids"] % vocab_size
    labels = torch.randint(2, (32,), generator=generator)
    if row == "pretraining":
        labels = ids.where(torch.rand(ids.shape, generator=generator) < 0.15, -100)
    return inputs | {"input_ids": ids, "labels": labels}


def their_training(row: str) -> Callable:
    "Return some steps of the usual loop around a model of transformers."
    config = transformers.BertConfig.from_pretrained(FOLDER)
    task = {"fine-tuning": transformers.BertForSequenceClassification,
            "pretraining": transformers.BertForMaskedLM}[row]
    model, inputs = task(config).train(), training_batch(row, config.vocab_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def steps() -> None:
        for _ in range(STEPS):
            model(**inputs).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return steps


def our_training(row: str) -> Callable:
    "Return as many steps of `train`."
    config = BertConfig.from_pretrained(CHECKPOINT)
    task = {"fine-tuning": tinybert.BertForSequenceClassification,
            "pretraining": tinybert.BertForMaskedLM}[row]
    model, inputs = task(config), training_batch(row, config.vocab_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    return lambda: train(model, [inputs], max_steps=STEPS, optimizer=optimizer,
                         disable_tqdm=True)


def peak_memory() -> float:
    "Return the most memory that this process ever had, in MB."
    status = Path("/proc/self/status")  # elsewhere, the peak includes the parent's until exec
    if status.exists(): return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) * 1024 / 1e6
    import resource  # Windows has none
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def serve_training(row: str, library: str) -> None:
    "Take a turn for each line of input and print its seconds per step; then the memory's growth."
    turn = {"theirs": their_training, "ours": our_training}[library](row)
    before = peak_memory()
    for _ in sys.stdin: print(seconds(turn) / STEPS, flush=True)
    print(peak_memory() - before)


def training_side_by_side(row: str, pairs: int) -> tuple[Times, dict[str, float]]:
    "Return the seconds of steps, and the growth in memory; each library has a process of its own."
    code = "import sys; from tools.bench import serve_training; serve_training(*sys.argv[1:])"
    programs = {library: subprocess.Popen([sys.executable, "-c", code, row, library], text=True,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
                for library in ("theirs", "ours")}

    def turn(library: str) -> float:
        print(file=programs[library].stdin, flush=True)
        return float(programs[library].stdout.readline())

    for library in programs: turn(library)  # imports, caches, the optimizer's state
    times = {library: [] for library in programs}
    for _ in range(pairs):
        for library in programs: times[library].append(turn(library))
    grown = {name: float(program.communicate()[0]) for name, program in programs.items()}
    return times, grown


def measure(pairs: int) -> dict[str, Times]:
    "Return the seconds of each contender for each row."
    loads = {"theirs": lambda: transformers.BertModel.from_pretrained(FOLDER),
             "ours": lambda: BertModel.from_pretrained(CHECKPOINT)}
    results = {"import": import_times(max(3, pairs // 3)), "load": side_by_side(loads, pairs, 5)}
    exact, rough = load_models(torch.float32), load_models(torch.bfloat16) if has_bf16() else {}
    return results | measure_passes(pairs, exact, rough) | measure_embed(pairs, exact, rough)


def measure_card(pairs: int, device: str = "cuda", texts: int = 64,
                 tokens: int = 256) -> dict[str, Times]:
    "Return the seconds of a batch on a graphics card in bfloat16, with and without padding."
    half, results = torch.bfloat16, {}
    theirs = transformers.AutoModel.from_pretrained(FOLDER, dtype=half, attn_implementation="sdpa")
    models = {"theirs": theirs.eval().to(device),
              "ours": BertModel.from_pretrained(CHECKPOINT, dtype=half).to(device)}
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait = lambda function: lambda: (function(), finish())
    for name, padding in (("no padding", False), ("about half padding", True)):
        run = forwards(models, batch(texts, tokens, padding, device))
        waiting = {way: wait(function) for way, function in run.items()}
        results[f"{texts} × {tokens}, {name}"] = side_by_side(waiting, pairs, 5)
    return results


def ratio(times: Times, name: str, to: str = "theirs") -> float:
    "Return the median over the pairs of one time divided by the other of the same turn."
    return median(a / b for a, b in zip(times[name], times[to]))


def milliseconds(values: list[float]) -> str:
    "Return the median of some seconds as milliseconds, with a decimal if it's below 100."
    value = median(values) * 1000
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def machine() -> str:
    "Name the processor, its special units for matrices, and the versions."
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"model name\s*: (.*)", info)
    processor = named[1] if named else platform.processor() or platform.machine()
    units = ("amx_bf16", "amx_tile", "avx512_bf16", "avx512f", "avx2")
    units = ", ".join(name for name in units if name in info.split())
    return (f"{processor} ({units or 'unknown units'}), {torch.get_num_threads()} threads, "
            f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, "
            f"transformers {transformers.__version__}, "
            f"sentence-transformers {sys.modules['sentence_transformers'].__version__}")


def best(times: Times) -> float:
    "Return the smaller ratio of ours as it is and ours prepacked."
    return min(ratio(times, name) for name in ("ours", "prepacked") if name in times)


def table(results: dict) -> str:
    "Return the rows as a Markdown table."
    lines = ["| work | theirs, ms | ours, ms | ratio | prepacked, ms | ratio | goal | met |",
             "|---|--:|--:|--:|--:|--:|--:|---|"]
    for key, (name, goal) in ROWS.items():
        if key not in results: continue
        times = results[key]
        cells = [name, milliseconds(times["theirs"])]
        for way in ("ours", "prepacked"):
            cells += ([milliseconds(times[way]), f"{ratio(times, way):.2f}"] if way in times
                      else ["–", "–"])
        cells += [str(goal), "yes" if best(times) <= goal else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def roofline(results: dict) -> str:
    "Return what fraction of the machine's rate each way reaches, as a Markdown table."
    config = BertConfig.from_pretrained(CHECKPOINT)
    lines = ["| work | the machine | theirs | ours | prepacked |", "|---|--:|--:|--:|--:|"]
    for key in ("full", "half", "full bf16", "half bf16"):
        if key not in results: continue
        rough = key.endswith("bf16")
        rate = multiply_rate(torch.bfloat16 if rough else torch.float32)
        work = operations(batch(32, 128, key.startswith("half")), config)
        times = [results[key][way] for way in ("same" if rough else "theirs", "ours", "prepacked")]
        cells = [plain_name(key), f"{rate / 1e9:,.0f} GFLOP/s",
                 *(f"{work / median(values) / rate:.0%}" for values in times)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict, path: Path) -> None:
    "Write the ratios as a bar chart."
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    ax = figure.subplots()
    rows = {key: row for key, row in ROWS.items() if key in results}
    for row, (key, (name, goal)) in enumerate(rows.items()):
        for shift, way, color in ((-.2, "ours", "blue"), (.2, "prepacked", "green")):
            if way not in results[key]: continue
            value = ratio(results[key], way)
            ax.barh(row + shift, value, .38, color=FILLS[color], ec=INKS[color],
                    label=way if row == 2 else None)
            end = max(value, goal) if value < goal < value + .07 else value  # beside the red line
            ax.text(end + .01, row + shift, f"{value:.2f}", va="center", fontsize=9)
        ax.plot([goal, goal], [row - .45, row + .45], color=INKS["red"], lw=2,
                label="goal" if row == 2 else None)
    ax.axvline(1, color=INKS["grey"], lw=1, ls="--")
    ax.set_yticks(range(len(rows)), [name for name, goal in rows.values()], fontsize=9)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    ax.set_xlabel("time / time of theirs (dashed: equal)")
    picture(figure, "The ratios of the table below as bars.").save(path)


def plain_name(key: str) -> str:
    "Return what a row measures, without what it's compared with."
    return ROWS[key][0].removesuffix(", against float32")


def comparison(results: dict) -> str:
    "Say how fast the libraries are in bfloat16, if the machine can, and our model compiled."
    rough = ", ".join(f"{ratio(results[key], 'same'):.2f} ({plain_name(key)})"
                      for key in results if key.endswith("bf16"))
    said = (f"For comparison, the libraries' time in bfloat16 divided by that in float32: {rough}."
            if rough else "This processor can't multiply bfloat16 in hardware, so rows in "
                          "bfloat16 aren't measured.")
    compiled = ", ".join(f"{ratio(results[f'{key} compiled'], 'compiled', 'ours'):.2f} "
                         f"({ROWS[key][0]})" for key in ("small", "full"))
    return (f"{said} Our model's time with `torch.compile` (default options), divided by that "
            f"without: {compiled}.")


def training_table(results: dict, memory: dict[str, dict[str, float]]) -> str:
    "Return tokens a second and the growth in memory while training, as a Markdown table."
    lines = ["| work | theirs, tokens/s | ours, tokens/s | theirs, MB | ours, MB |",
             "|---|--:|--:|--:|--:|"]
    vocab_size = BertConfig.from_pretrained(CHECKPOINT).vocab_size
    for row, grown in memory.items():
        tokens = training_batch(row, vocab_size)["attention_mask"].sum().item()
        cells = [f"{tokens / median(results[row][way]):,.0f}" for way in ("theirs", "ours")]
        cells += [f"{grown[way]:,.0f}" for way in ("theirs", "ours")]
        lines.append(f"| {ROWS[row][0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def card_table(card: dict) -> str:
    "Return the rows of the graphics card as a Markdown section."
    lines = ["## On a graphics card", "", f"{torch.cuda.get_device_name()}, bfloat16.", "",
             "| work | theirs, ms | ours, ms | ratio |", "|---|--:|--:|--:|"]
    for name, times in card.items():
        cells = [name, *(milliseconds(times[way]) for way in ("theirs", "ours"))]
        lines.append(f"| {' | '.join(cells)} | {ratio(times, 'ours'):.2f} |")
    return "\n".join(lines)


PAGE_TEXT = """---
title: Benchmarks
description: How fast tinybert is, compared with transformers and sentence-transformers.
---

`make bench` wrote this page on {date}. Don't edit it: run `make bench` again to see the numbers of your machine.

**Machine.** {machine}.

A ratio below 1 means that we're faster. In each row, the programs took turns, one call each, again and again. The times are medians, and a ratio is the median of the turns' ratios, so trust it more than the times beside it.

- *Theirs* is transformers with its default attention, sdpa, and sentence-transformers for a corpus; always in float32.
- *Ours* is this package as it is.
- *Prepacked* is ours with [prepacked weights](course/08_faster.ipynb#prepacking-the-weights).

All of them run [all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) on the processor. 32 × 128 is a batch of 32 texts, the longest of 128 tokens. The goals were set on a machine with AMX units, which are fast in bfloat16.

<img src="benchmarks.svg" alt="Bars: for each row of the table below, the time of ours and of ours prepacked divided by the time of theirs; a red line marks the goal.">

{table}

{comparison}

## Training

Each library trains a model of MiniLM's shape in a process of its own, with AdamW and gradients clipped to norm 1. *Theirs* is the usual loop around transformers' model: loss, backward, step. *Ours* is `train`. A classifier learns from texts of 2 to 128 tokens; a masked-LM model from full rows, with 15% of the tokens labeled. Our head scores only those, transformers' scores all. Tokens are counted without padding. The memory is how far the process's peak grew while training, gradients and the optimizer's two averages included.

{training}

## How much of the machine is used

What a machine can do is the rate of one large matrix product, 2048 × 2048, in the same dtype: that's the first column. The others are the operations that the real tokens need, divided by the time, as a fraction of that rate. 100% would be a forward pass that does nothing but multiply, and never multiplies padding. Here, *theirs* has the same dtype as ours.

{roofline}
"""


def report(results: dict, memory: dict, card: dict) -> str:
    "Return the page."
    page = PAGE_TEXT.format(date=date.today(), machine=machine(), table=table(results),
                            comparison=comparison(results), roofline=roofline(results),
                            training=training_table(results, memory))
    return page + (f"\n{card_table(card)}\n" if card else "")


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    gc.disable()
    results, memory = measure(pairs), {}
    for row in ("fine-tuning", "pretraining"):
        results[row], memory[row] = training_side_by_side(row, pairs)
    card = measure_card(pairs) if torch.cuda.is_available() else {}
    page = report(results, memory, card)
    PAGE.write_text(page, encoding="utf-8")
    draw(results, PICTURE)
    print(page)


if __name__ == "__main__": main()
