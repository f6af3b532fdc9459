"Measure tinybert beside transformers and sentence-transformers, and write the table and its picture into the docs: make bench"

import gc, platform, re, subprocess, sys, time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Callable

import matplotlib
import torch
import transformers
from sentence_transformers import SentenceTransformer

from tinybert import AutoTokenizer, BertModel, Checkpoint, embed, read_pooling
from tools.course import ROOT, settings
from tools.prepack import prepack

PAGE, PICTURE = ROOT / "nbs/benchmarks.md", ROOT / "nbs/benchmarks.png"
CHECKPOINT = settings()["checkpoint"]
FOLDER = Checkpoint(CHECKPOINT).find("config.json").parent
# name, what each row is compared with, and the ratio that we want to stay below
ROWS = {
    "import": ("import both classes, after torch", 0.1),
    "load": ("load the checkpoint", 0.7),
    "small": ("3 sentences of 4 tokens", 0.6),
    "full": ("32 × 128 tokens, no padding", 0.95),
    "half": ("32 × 128 tokens, about half padding", 0.55),
    "full bf16": ("32 × 128 in bfloat16, no padding, against float32", 0.2),
    "half bf16": ("32 × 128 in bfloat16, half padding, against float32", 0.14),
    "embed": ("embed a corpus of mixed lengths", 0.7),
    "embed bf16": ("embed it in bfloat16, against float32", 0.18),
}


def seconds(function: Callable, calls: int = 1) -> float:
    "Return how long one call takes, as the mean of some calls."
    start = time.perf_counter()
    for _ in range(calls): function()
    return (time.perf_counter() - start) / calls


def side_by_side(functions: dict[str, Callable], pairs: int, calls: int = 1) -> dict[str, list[float]]:
    "Return the seconds of each function: all once in turn, and again, so that a slow minute of the machine meets all of them."
    for function in functions.values(): function()  # caches, lazy imports, the copies of prepacked weights
    times = {name: [] for name in functions}
    for _ in range(pairs):
        for name, function in functions.items(): times[name].append(seconds(function, calls))
    return times


def import_seconds(statement: str) -> float:
    "Return how long an import takes in a fresh process in which torch is imported already."
    code = f"import torch, time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def import_times(pairs: int) -> dict[str, list[float]]:
    statements = {name: f"from {name} import BertModel, AutoTokenizer" for name in ("transformers", "tinybert")}
    times = {name: [] for name in statements}
    for _ in range(pairs):
        for name, statement in statements.items(): times[name].append(import_seconds(statement))
    return {"theirs": times["transformers"], "ours": times["tinybert"]}


def batch(texts: int, tokens: int, padding: bool, device: str = "cpu") -> dict[str, torch.Tensor]:
    "Return random ids, all real or of lengths from 2 to `tokens`, of which one is full; the same at each call."
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, tokens + 1, (texts,), generator=generator) if padding else torch.full((texts,), tokens)
    lengths[0] = tokens
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    ids = torch.randint(1000, 30000, (texts, tokens), generator=generator) * mask
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def corpus(texts: int) -> list[str]:
    "Return texts of common words whose lengths are spread as in real corpora: many short, few long ones."
    words = "the a bridge river music storm harbour bread water old new house of in on was is broke plays closed two days time work light".split()
    generator = torch.Generator().manual_seed(0)
    lengths = (torch.randn(texts, generator=generator) * .8 + 3).exp().int().clamp(3, 250).tolist()
    return [" ".join(words[number] for number in torch.randint(len(words), (length,), generator=generator).tolist()) for length in lengths]


def forwards(models: dict[str, torch.nn.Module], inputs: dict[str, torch.Tensor]) -> dict[str, Callable]:
    return {name: lambda model=model: model(**inputs) for name, model in models.items()}


def multiply_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    "Return the rate of one large matrix product, the best of several, in operations a second: what this machine can do."
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = min(seconds(lambda: (a @ b)[0, 0].item()) for _ in range(10))
    return 2 * size ** 3 / best


def operations(inputs: dict[str, torch.Tensor], config) -> float:
    "Return the multiplications and additions of MiniLM's layers for the real tokens of a batch."
    lengths, C = inputs["attention_mask"].sum(dim=1).double(), config.hidden_size
    linear = 2 * (4 * C * C + 2 * C * config.intermediate_size) * lengths.sum()
    return config.num_hidden_layers * (linear + 4 * C * lengths.square().sum()).item()


def load_models() -> dict[str, dict[str, torch.nn.Module]]:
    models = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        models[name] = {"theirs": transformers.AutoModel.from_pretrained(FOLDER, dtype=dtype).eval(),
                        "ours": BertModel.from_pretrained(CHECKPOINT, dtype=dtype),
                        "prepacked": prepack(BertModel.from_pretrained(CHECKPOINT, dtype=dtype))}
    return models


def measure(pairs: int) -> dict[str, dict[str, list[float]]]:
    "Return for each row the seconds of each contender: theirs, ours, and ours with prepacked weights."
    results = {"import": import_times(max(3, pairs // 3))}
    results["load"] = side_by_side({"theirs": lambda: transformers.BertModel.from_pretrained(FOLDER),
                                    "ours": lambda: BertModel.from_pretrained(CHECKPOINT)}, pairs, 5)
    models = load_models()
    exact, rough = models["float32"], models["bfloat16"]
    results["small"] = side_by_side(forwards(exact, {"input_ids": torch.tensor([[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]])}), pairs, 50)
    compiled = {"ours": exact["ours"], "compiled": torch.compile(exact["ours"])}
    results["small compiled"] = side_by_side(forwards(compiled, {"input_ids": torch.tensor([[101, 7592, 999, 102]] * 3)}), pairs, 50)
    for name, padding in (("full", False), ("half", True)):
        inputs = batch(32, 128, padding)
        results[name] = side_by_side(forwards(exact, inputs), pairs)
        results[f"{name} bf16"] = side_by_side(forwards({"theirs": exact["theirs"], "same": rough["theirs"], "ours": rough["ours"], "prepacked": rough["prepacked"]}, inputs), pairs)
    results["full compiled"] = side_by_side(forwards(compiled, batch(32, 128, False)), max(3, pairs // 2))
    tokenizer, texts, options = AutoTokenizer.from_pretrained(CHECKPOINT), corpus(512), read_pooling(CHECKPOINT) | {"progress": False}
    theirs = {name: SentenceTransformer(str(FOLDER), device="cpu", model_kwargs={"dtype": name}) for name in models}
    encode = lambda model: lambda: model.encode(texts, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False)
    ours = lambda models: {name: lambda model=models[name]: embed(model, tokenizer, texts, **options) for name in ("ours", "prepacked")}
    results["embed"] = side_by_side({"theirs": encode(theirs["float32"])} | ours(exact), max(3, pairs // 2))
    results["embed bf16"] = side_by_side({"theirs": encode(theirs["float32"]), "same": encode(theirs["bfloat16"])} | ours(rough), max(3, pairs // 2))
    return results


def measure_card(pairs: int, device: str = "cuda", texts: int = 64, tokens: int = 256) -> dict[str, dict[str, list[float]]]:
    "Return the seconds of a batch on a graphics card in bfloat16, with and without padding."
    results = {}
    for name, padding in (("no padding", False), ("about half padding", True)):
        models = {"theirs": transformers.AutoModel.from_pretrained(FOLDER, dtype=torch.bfloat16, attn_implementation="sdpa").eval(),
                  "ours": BertModel.from_pretrained(CHECKPOINT, dtype=torch.bfloat16)}
        run = forwards({name: model.to(device) for name, model in models.items()}, batch(texts, tokens, padding, device))
        wait = lambda function: lambda: (function(), torch.cuda.synchronize() if device == "cuda" else None)
        results[f"{texts} × {tokens}, {name}"] = side_by_side({name: wait(function) for name, function in run.items()}, pairs, 5)
    return results


def ratio(times: dict[str, list[float]], name: str, to: str = "theirs") -> float:
    "Return the median over the pairs of one time divided by the other of the same turn."
    return median(a / b for a, b in zip(times[name], times[to]))


def milliseconds(values: list[float]) -> str:
    value = median(values) * 1000
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def machine() -> str:
    "Name the processor, its special units for matrices, and the versions."
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", info)
    flags = [name for name in ("amx_bf16", "amx_tile", "avx512_bf16", "avx512f", "avx2") if re.search(rf"\b{name}\b", info)]
    return (f"{found[1] if found else platform.processor() or platform.machine()} ({', '.join(flags) or 'unknown units'}), {torch.get_num_threads()} threads, "
            f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}, "
            f"sentence-transformers {sys.modules['sentence_transformers'].__version__}")


def best(times: dict[str, list[float]]) -> float:
    "Return the smaller ratio of ours as it is and ours prepacked."
    return min(ratio(times, name) for name in ("ours", "prepacked") if name in times)


def table(results: dict) -> str:
    "Return the rows as a Markdown table."
    lines = ["| work | theirs, ms | ours, ms | ratio | prepacked, ms | ratio | goal | met |", "|---|--:|--:|--:|--:|--:|--:|---|"]
    for key, (name, goal) in ROWS.items():
        times, cells = results[key], []
        for way in ("ours", "prepacked"):
            cells += [milliseconds(times[way]), f"{ratio(times, way):.2f}"] if way in times else ["–", "–"]
        lines.append(f"| {name} | {milliseconds(times['theirs'])} | {' | '.join(cells)} | {goal} | {'yes' if best(times) <= goal else 'no'} |")
    return "\n".join(lines)


def roofline(results: dict) -> str:
    "Return how much of the machine's rate of matrix products each way reaches, as a Markdown table."
    config, lines = BertModel.config_class.from_pretrained(CHECKPOINT), ["| work | the machine | theirs | ours | prepacked |", "|---|--:|--:|--:|--:|"]
    for key, dtype, way in (("full", torch.float32, "theirs"), ("half", torch.float32, "theirs"), ("full bf16", torch.bfloat16, "same"), ("half bf16", torch.bfloat16, "same")):
        rate, work = multiply_rate(dtype), operations(batch(32, 128, key.startswith("half")), config)
        shares = [f"{work / median(results[key][name]) / rate:.0%}" for name in (way, "ours", "prepacked")]
        lines.append(f"| {ROWS[key][0].removesuffix(', against float32')} | {rate / 1e9:,.0f} GFLOP/s | {' | '.join(shares)} |")
    return "\n".join(lines)


def draw(results: dict, path: Path) -> None:
    "Write the ratios as a bar chart."
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(8.4, 4.6), facecolor="white")
    for row, (key, (name, goal)) in enumerate(ROWS.items()):
        for shift, way, color in ((-.2, "ours", "#3b6ea5"), (.2, "prepacked", "#7fae6b")):
            if way not in results[key]: continue
            value = ratio(results[key], way)
            ax.barh(row + shift, value, height=.38, color=color, label=way if row == 2 else None)
            ax.text(value + .01, row + shift, f"{value:.2f}", va="center", fontsize=8, bbox=dict(fc="white", ec="none", pad=.5))
        ax.plot([goal, goal], [row - .45, row + .45], color="#c0504d", lw=2, label="goal" if row == 2 else None)
    ax.axvline(1, color="#888", lw=1, ls="--")
    ax.set_yticks(range(len(ROWS)), [name for name, goal in ROWS.values()], fontsize=9)
    ax.invert_yaxis(); ax.spines[["top", "right"]].set_visible(False); ax.legend(frameon=False, loc="upper right")
    ax.set_xlabel("time, as a share of transformers' or sentence-transformers' (dashed: as fast as theirs)")
    fig.savefig(path, dpi=130, bbox_inches="tight")


def report(results: dict, card: dict) -> str:
    "Return the page."
    compiled = ", ".join(f"{ratio(results[key], 'compiled', 'ours'):.2f} of the time for {ROWS[key.split()[0]][0]}" for key in ("small compiled", "full compiled"))
    rough = ", ".join(f"{ratio(results[key], 'same'):.2f} for {ROWS[key][0].removesuffix(', against float32')}" for key in ROWS if key.endswith("bf16"))
    cards = [f"| {name} | {milliseconds(times['theirs'])} | {milliseconds(times['ours'])} | {ratio(times, 'ours'):.2f} |" for name, times in card.items()]
    lines = ["---", "title: Benchmarks", "description: How long tinybert takes, beside transformers and sentence-transformers.", "---", "",
        f"Written by `make bench` on {date.today()}. Do not edit: measure again, on your machine.", "", f"**Machine.** {machine()}.", "",
        "Each pair of contenders ran in turn, one call each, again and again; the times are medians, and a ratio is the median of the pairs' ratios, so it means more than the times beside it. "
        "*Theirs* is transformers (with its default, sdpa attention), and sentence-transformers for a corpus, always in float32. *Ours* is this package as it is, *prepacked* after [prepacking its weights](course/06_faster.ipynb#prepacking-the-weights). "
        "All run [all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2) on the processor. The goals were set on a machine with AMX units.", "",
        "![Bars: for each row of the table below the time of ours and of ours prepacked, as a share of theirs; a red line marks the goal.](benchmarks.png)", "", table(results), "",
        f"For comparison, the libraries themselves in bfloat16 against float32: {rough}. `torch.compile` (default options) takes our model to {compiled}.", "",
        "## How much of the machine is used", "",
        "The first column is the rate of one large matrix product, 2048 × 2048, in this type of number. The others are the operations that the real tokens need, divided by the time, as a share of it: 100 % would be a forward pass that does nothing but multiply, and nothing twice. Here *theirs* has the same type.", "",
        roofline(results), ""]
    if card: lines += ["## On a graphics card", "", f"{torch.cuda.get_device_name()}, bfloat16.", "", "| work | theirs, ms | ours, ms | ratio |", "|---|--:|--:|--:|", *cards, ""]
    return "\n".join(lines)


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    gc.disable()
    results = measure(pairs)
    page = report(results, measure_card(pairs) if torch.cuda.is_available() else {})
    PAGE.write_text(page, encoding="utf-8")
    draw(results, PICTURE)
    print(page)


if __name__ == "__main__": main()
