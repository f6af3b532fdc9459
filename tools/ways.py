"The ways to run a model that `make bench` compares: a process for each, which answers questions."

import json, logging, os, pickle, re, sys, time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Callable

import numpy as np

# A process imports what its way needs and nothing else: its memory is one of the answers.
CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"
THREADS = 2
SIDE = 2048  # of the matrices whose product tells what the machine can do
Arrays = dict[str, np.ndarray]
Task = tuple  # a method of `Way` that returns what to call, and its arguments


def batch(texts: int, tokens: int, padding: bool = False) -> Arrays:
    "Return random ids without padding, or with lengths from 2 to `tokens`; the same at each call."
    random = np.random.default_rng(0)
    lengths = random.integers(2, tokens + 1, texts) if padding else np.full(texts, tokens)
    lengths[0] = tokens
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
    return {"input_ids": random.integers(1000, 30000, mask.shape) * mask, "attention_mask": mask}


def corpus(texts: int) -> list[str]:
    "Return texts of common words with lengths as in real corpora: many short, few long ones."
    words = ("the a bridge river music storm harbour bread water old new house of in on was is "
             "broke plays closed two days time work light").split()
    random = np.random.default_rng(0)
    lengths = np.exp(random.normal(3, .8, texts)).astype(int).clip(3, 250)
    return [" ".join(random.choice(words, length)) for length in lengths]


def training_batch(row: str) -> Arrays:
    "Return texts with classes, or full rows with 15% of tokens labeled; the same at each call."
    inputs, random = batch(32, 128, row == "fine-tuning"), np.random.default_rng(1)
    if row == "fine-tuning": return inputs | {"labels": random.integers(2, size=32)}
    ids = inputs["input_ids"]
    return inputs | {"labels": np.where(random.random(ids.shape) < 0.15, ids, -100)}


def status(name: str) -> float:
    "Return the memory of this process in MB: VmRSS as it is now, VmHWM at its peak."
    path = Path("/proc/self/status")
    if path.exists(): return int(re.search(rf"{name}:\s*(\d+)", path.read_text())[1]) * 1024 / 1e6
    import resource  # elsewhere there's only the peak, and on Windows not even that
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@dataclass
class Setting:
    "What a process is told when it starts."
    way: str
    dtype: str
    device: str
    checkpoint: Path  # MiniLM's folder
    converted: Path  # where each library's own file is


class Way:
    "Run MiniLM with one library; `time`, `first`, `vectors` and `memory` answer questions."
    package, dtypes = "numpy", ("float32", "bfloat16")  # what must be installed; what it can run
    environment = {}  # variables that its process gets

    def __init__(self, setting: Setting):
        self.setting, self.ready = setting, {}
        self.model = self.load_model()

    @classmethod
    def convert(cls, model, inputs: dict, setting: Setting) -> None:
        "Write this library's own file of transformers' model."

    def load_model(self): raise NotImplementedError

    def prepare(self, inputs: Arrays): return inputs

    def run(self, inputs): raise NotImplementedError  # → (B, T, C)

    def numpy(self, result) -> np.ndarray: return np.asarray(result, dtype=np.float32)

    # What a row measures: each returns a function, whose calls are timed

    def load(self) -> Callable: return self.load_model

    def batch(self, *sizes) -> Callable:
        inputs = self.prepare(batch(*sizes))
        return lambda: self.run(inputs)

    def corpus(self, count: int, size: int = 32) -> Callable:
        texts = corpus(count)

        def embed() -> np.ndarray:
            "Do what sentence-transformers does: sort by length, pad, average, normalize."
            lists = self.encode(texts)
            order, vectors = np.argsort([-len(ids) for ids in lists]), [None] * count
            for some in np.split(order, range(size, count, size)):
                mask = np.arange(len(lists[some[0]])) < np.array([[len(lists[i])] for i in some])
                ids = np.zeros(mask.shape, np.int64)
                ids[mask] = np.concatenate([lists[i] for i in some])
                inputs = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
                hidden = self.numpy(self.run(self.prepare(inputs))) * mask[:, :, None]
                for i, vector in zip(some, hidden.sum(1)): vectors[i] = vector
            return np.stack(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)

        return embed

    @cached_property
    def tokenizer(self):
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(self.setting.checkpoint / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(256)  # as sentence-transformers' settings say
        return tokenizer

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    # Questions

    def time(self, task: Task, calls: int = 1) -> float:
        "Return how many seconds a call takes, as the mean of some; the very first isn't counted."
        if task not in self.ready: self.first(task)
        start = time.perf_counter()
        for _ in range(calls): self.ready[task]()
        return (time.perf_counter() - start) / calls

    def first(self, task: Task) -> tuple[float, float]:
        "Return the seconds of the first call, and how many MB the peak was above what was there."
        kind, *arguments = task
        self.ready[task] = getattr(self, kind)(*arguments)
        clear = Path("/proc/self/clear_refs")
        if clear.exists(): clear.write_text("5")  # the peak begins anew
        before, seconds = status("VmRSS"), self.time(task)
        return seconds, status("VmHWM") - before

    def vectors(self, task: Task) -> np.ndarray:
        "Return the vectors of real tokens or of texts."
        result = self.numpy(self.ready[task]())
        if task[0] == "batch": result = result[batch(*task[1:])["attention_mask"] > 0]
        return result  # (N, C)

    def memory(self) -> float: return status("VmRSS")


class Transformers(Way):
    "The usual: transformers with its default attention; sentence-transformers for a corpus."
    package = "transformers"

    def load_model(self):
        import torch, transformers
        torch.set_grad_enabled(False)
        dtype = getattr(torch, self.setting.dtype)
        model = transformers.AutoModel.from_pretrained(self.setting.checkpoint, dtype=dtype)
        return model.eval().to(self.setting.device)

    def prepare(self, inputs: Arrays):
        import torch
        return {k: torch.from_numpy(v).to(self.setting.device) for k, v in inputs.items()}

    def run(self, inputs):
        import torch
        hidden_states = self.model(**inputs).last_hidden_state
        if self.setting.device != "cpu": torch.cuda.synchronize()
        return hidden_states

    def numpy(self, result) -> np.ndarray: return result.float().cpu().numpy()

    def corpus(self, count: int) -> Callable:
        from sentence_transformers import SentenceTransformer
        texts = corpus(count)
        model = SentenceTransformer(str(self.setting.checkpoint), device=self.setting.device,
                                    model_kwargs={"dtype": self.setting.dtype})
        return lambda: model.encode(texts, convert_to_tensor=True,
                                    normalize_embeddings=True, show_progress_bar=False)

    @cached_property
    def modern(self):
        import transformers
        return transformers.ModernBertModel(transformers.ModernBertConfig()).eval()

    def modernbert(self, tokens: int) -> Callable:
        inputs = self.prepare(batch(1, tokens))
        return lambda: self.modern(**inputs)

    def trainee(self, row: str):
        "Return a model with a head, its weights random."
        import transformers
        head = {"fine-tuning": "SequenceClassification", "pretraining": "MaskedLM"}[row]
        config = transformers.BertConfig.from_pretrained(self.setting.checkpoint)
        return getattr(transformers, f"BertFor{head}")(config).train()

    def training(self, row: str) -> Callable:
        import torch
        model, inputs = self.trainee(row), self.prepare(training_batch(row))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

        @torch.enable_grad()
        def step() -> None:
            model(**inputs).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return step


class Tinybert(Transformers):
    "This package as it is."
    package = "tinybert"

    def load_model(self):
        import tinybert, torch
        torch.set_grad_enabled(False)
        model = tinybert.AutoModel.from_pretrained(CHECKPOINT, dtype=self.setting.dtype)
        return model.to(self.setting.device)

    def corpus(self, count: int) -> Callable:
        from tinybert import AutoTokenizer, embed, read_pooling
        tokenizer, texts = AutoTokenizer.from_pretrained(CHECKPOINT), corpus(count)
        options = read_pooling(CHECKPOINT) | {"progress": False}
        return lambda: embed(self.model, tokenizer, texts, **options)

    @cached_property
    def modern(self):
        from tinybert import modernbert
        return modernbert.ModernBertModel(modernbert.ModernBertConfig()).eval()

    def training(self, row: str) -> Callable:
        import tinybert, torch
        from tinybert.training import train
        head = {"fine-tuning": "SequenceClassification", "pretraining": "MaskedLM"}[row]
        config = tinybert.BertConfig.from_pretrained(CHECKPOINT)
        model = getattr(tinybert, f"BertFor{head}")(config)
        inputs = self.prepare(training_batch(row))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        step = lambda: train(model, [inputs], max_steps=1, optimizer=optimizer, disable_tqdm=True)
        return torch.enable_grad()(step)


class ReadyToServe(Tinybert):
    "A copy by `ready_to_serve`."
    engine = "fused"

    def load_model(self):
        from tinybert import ready_to_serve
        return ready_to_serve(super().load_model(), self.engine)

    @cached_property
    def modern(self):
        from tinybert import modernbert, ready_to_serve
        model = modernbert.ModernBertModel(modernbert.ModernBertConfig()).eval()
        return ready_to_serve(model)


class InductorEngine(ReadyToServe): engine = "inductor"


class OpenVINOEngine(ReadyToServe):
    package, engine = "openvino", "openvino"
    environment = {"OMP_WAIT_POLICY": "PASSIVE"}  # torch's waiting threads would take its cores


class OpenVINO(Way):
    package = "openvino"

    @classmethod
    def convert(cls, model, inputs: dict, setting: Setting) -> None:
        import openvino
        converted = openvino.convert_model(model, example_input=inputs)
        openvino.save_model(converted, setting.converted / "minilm.xml", compress_to_fp16=False)

    def load_model(self):
        import openvino
        precision = {"float32": "f32", "bfloat16": "bf16"}[self.setting.dtype]
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS,
                   "PERFORMANCE_HINT": "LATENCY"}
        file = self.setting.converted / "minilm.xml"
        return openvino.Core().compile_model(file, "CPU", options)

    def run(self, inputs: Arrays) -> np.ndarray: return self.model(inputs)[0]


class OnnxRuntime(Way):
    package, dtypes = "onnxruntime", ("float32",)

    @classmethod
    def convert(cls, model, inputs: dict, setting: Setting) -> None:
        import torch
        sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}  # texts and tokens
        program = torch.onnx.export(model, (), kwargs=inputs, input_names=list(inputs),
                                    dynamic_shapes=dict.fromkeys(inputs, sizes), verbose=False)
        program.save(setting.converted / "minilm.onnx")

    def load_model(self):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        return onnxruntime.InferenceSession(self.setting.converted / "minilm.onnx", options,
                                            providers=["CPUExecutionProvider"])

    def run(self, inputs: Arrays) -> np.ndarray: return self.model.run(None, inputs)[0]


class CTranslate2(Way):
    package, dtypes = "ctranslate2", ("float32",)

    @classmethod
    def convert(cls, model, inputs: dict, setting: Setting) -> None:
        from ctranslate2.converters import TransformersConverter
        converter = TransformersConverter(str(setting.checkpoint))
        converter.convert(str(setting.converted / "ctranslate2"))

    def load_model(self):
        import ctranslate2
        return ctranslate2.Encoder(str(self.setting.converted / "ctranslate2"),
                                   compute_type=self.setting.dtype, intra_threads=THREADS)

    def prepare(self, inputs: Arrays):
        from ctranslate2 import StorageView
        arrays = inputs["input_ids"], inputs["attention_mask"].sum(1)  # ids and lengths
        return [StorageView.from_array(array.astype(np.int32)) for array in arrays]

    def run(self, inputs): return self.model.forward_batch(*inputs).last_hidden_state


class Floor(Way):
    "The operations that the real tokens of a row need, at the rate of a large matrix product."
    package = "torch"

    def load_model(self):
        import torch
        return [torch.randn(SIDE, SIDE).to(getattr(torch, self.setting.dtype)) for _ in range(2)]

    def operations(self, lengths: np.ndarray) -> float:
        config = json.loads((self.setting.checkpoint / "config.json").read_text())
        C, lengths = config["hidden_size"], lengths.astype(float)
        linear = 2 * (4 * C * C + 2 * C * config["intermediate_size"]) * lengths.sum()
        return config["num_hidden_layers"] * (linear + 4 * C * np.square(lengths).sum())

    def batch(self, *sizes) -> float: return self.operations(batch(*sizes)["attention_mask"].sum(1))

    def corpus(self, count: int) -> float:
        return self.operations(np.array([len(ids) for ids in self.encode(corpus(count))]))

    def time(self, task: Task, calls: int = 1) -> float:
        "Return how many seconds the operations of a row would take."
        kind, *sizes = task
        products = []
        for _ in range(5):
            start = time.perf_counter()
            self.model[0] @ self.model[1]
            products.append(time.perf_counter() - start)
        return getattr(self, kind)(*sizes) / (2 * SIDE ** 3) * min(products)


WAYS = {"transformers": Transformers, "tinybert": Tinybert, "ready_to_serve": ReadyToServe,
        "inductor engine": InductorEngine, "openvino engine": OpenVINOEngine,
        "OpenVINO": OpenVINO, "onnxruntime": OnnxRuntime, "ctranslate2": CTranslate2,
        "floor": Floor}


def main() -> None:
    "Answer questions from stdin until there are no more."
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    logging.disable(logging.WARNING)
    setting = pickle.load(sys.stdin.buffer)
    way = WAYS[setting.way](setting)
    while True:
        try: question, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError: return
        pickle.dump(getattr(way, question)(*arguments), answers)
        answers.flush()

