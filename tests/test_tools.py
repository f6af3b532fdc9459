"""Other people's tools on small models: peft, accelerate, Trainer, sentence-transformers, exporters
and torch's own: each is run, and its numbers are compared with the model's."""

import contextlib
import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
import transformers
from conftest import (
    FAMILY_SIZES, clean_environment, draw_batch, family_twins, our_class, randomise)
from torch.export import Dim
from torch.testing import assert_close
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

import tinybert

pytestmark = pytest.mark.filterwarnings("ignore")  # tools announce what they'll change some day
TASKS = ("", "SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM")
EXPORTED = ("bert", "roberta", "mpnet", "distilbert", "albert", "modernbert")


def make(model_type: str, task: str = "", **settings) -> torch.nn.Module:
    "Return a small model with random weights, the same at each call."
    model_class = our_class(model_type, task)
    config = model_class.config_class(**FAMILY_SIZES[model_type] | settings)
    return randomise(model_class(config), 0, 0.1).eval()


def batch_of(model: torch.nn.Module, *lengths: int, names: int = 3, **options) -> dict:
    "Return a batch for a model, its first inputs only if `names` is 1 or 2."
    batch = draw_batch(model.config, lengths=lengths or (9, 6, 2, 9), **options)
    return dict(list(batch.items())[:names])


def labels_for(task: str, batch: dict) -> dict:
    "Return what a head learns from; nothing for a bare encoder."
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    texts = torch.arange(len(ids))
    return {"": {}, "SequenceClassification": {"labels": texts % 2},
            "TokenClassification": {"labels": torch.where(mask, ids % 2, -100)},
            "QuestionAnswering": {"start_positions": 0 * texts, "end_positions": texts % 2},
            "MaskedLM": {"labels": torch.where(mask, ids, -100)}}[task]


def train(model: torch.nn.Module, task: str, batch: dict, steps: int = 3, step=None) -> list:
    "Train a little; return the losses."
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.02)
    losses, labels = [], labels_for(task, batch)
    for _ in range(steps):
        output = model(**batch, **labels)
        loss = output.loss if task else output.last_hidden_state.square().mean()
        (step or torch.Tensor.backward)(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def logits_of(model: torch.nn.Module, batch: dict) -> torch.Tensor:
    "Return a model's first output."
    with torch.no_grad(): return model(**batch)[0]


# Tracers and exporters: any batch size, any length, whatever the example was

BATCHES = ((9, 6, 2, 9), (7,), (1, 1))
ONE_LAYER = {name: {"n_layers" if "n_layers" in sizes else "num_hidden_layers": 1}
             for name, sizes in FAMILY_SIZES.items()}


class Outputs(torch.nn.Module):
    "Return a model's outputs as a tuple."
    def __init__(self, model: torch.nn.Module): super().__init__(); self.model = model
    def forward(self, input_ids, attention_mask=None):
        return self.model(input_ids, attention_mask).to_tuple()


def compare_on_batches(model: torch.nn.Module, run, names: int, batches=BATCHES) -> None:
    "Check that `run(batch)` gives what the model gives, whatever the batch."
    for lengths in batches:
        for left in (False, True):
            batch = batch_of(model, *lengths, names=names, left=left)
            with torch.no_grad(), torch.jit.optimized_execution(False):
                expected, found = model(**batch), run(batch)
            assert len(found) == len(expected)
            for mine, theirs in zip(found, expected.to_tuple()):
                assert_close(torch.as_tensor(mine), theirs, rtol=1e-4, atol=1e-5)


def onnx_runner(program: bytes):
    "Return a function that runs an ONNX program on a batch."
    import onnxruntime
    session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
    inputs = [given.name for given in session.get_inputs()]
    return lambda batch: session.run(None, {name: batch[name].numpy() for name in inputs})


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_a_model_traced_with_one_text_is_right_for_others(model_type):
    for task in TASKS if model_type == "bert" else TASKS[1:2]:
        model = make(model_type, task, **ONE_LAYER[model_type])
        traced = torch.jit.trace(model, example_kwarg_inputs=batch_of(model, 5, names=2),
                                 strict=False, check_trace=False)
        compare_on_batches(model, lambda batch: tuple(traced(**batch).values()), 2, BATCHES[:2])


@pytest.mark.parametrize("task", ["PreTraining", "NextSentencePrediction", "MultipleChoice"])
def test_berts_other_heads_are_traced_and_exported(task):
    model = make("bert", task)
    shape = (lambda batch: {name: value[:, None].expand(-1, 3, -1) for name, value in batch.items()}
             ) if task == "MultipleChoice" else dict
    example, other = shape(batch_of(model, 6, 3)), shape(batch_of(model, 5, 8, 1))
    traced = torch.jit.trace(model, example_kwarg_inputs=example, strict=False)
    dynamic = {name: dict.fromkeys(range(value.dim()), Dim.DYNAMIC)
               for name, value in example.items()}
    program = torch.export.export(model, (), kwargs=example, dynamic_shapes=dynamic)
    for found in (traced(**other), program.module()(**other)):
        assert_close(found["logits" if "logits" in found else "seq_relationship_logits"],
                     list(model(**other).values())[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type, names", [(name, 2) for name in EXPORTED] + [("bert", 1)])
def test_an_exported_model_takes_any_batch_and_returns_its_output(model_type, names, tmp_path):
    model = make(model_type, "SequenceClassification", **ONE_LAYER[model_type])
    example = batch_of(model, names=names)
    longest = model.config.max_position_embeddings - model.encoder.first_position
    shape = {0: Dim("batch"), 1: Dim("length", max=longest)}
    program = torch.export.export(
        model, (), kwargs=example, dynamic_shapes=dict.fromkeys(example, shape))
    if model_type == "bert":
        torch.export.save(program, tmp_path / "model.pt2")
        program = torch.export.load(tmp_path / "model.pt2")
    loaded = program.module()
    assert isinstance(loaded(**example), tinybert.ModelOutput)
    batches = [lengths for lengths in BATCHES if names > 1 or len(set(lengths)) == 1]
    compare_on_batches(model, lambda batch: loaded(**batch).to_tuple(), names, batches)


@pytest.mark.parametrize("model_type, task", [
    ("bert", ""), *((model_type, "SequenceClassification") for model_type in EXPORTED)])
def test_onnx_by_the_older_exporter_from_one_text(model_type, task):
    model = make(model_type, task, **ONE_LAYER[model_type])
    names = ["input_ids", "attention_mask"]
    example, file = batch_of(model, 5, names=2), io.BytesIO()
    outputs = [f"output_{n}" for n in range(len(model(**example)))]
    axes = {name: {0: "batch", 1: "length"} for name in names} | {o: {0: "batch"} for o in outputs}
    torch.onnx.export(Outputs(model).eval(), tuple(example.values()), file, dynamo=False,
                      input_names=names, output_names=outputs, dynamic_axes=axes)
    compare_on_batches(model, onnx_runner(file.getvalue()), 2)


@pytest.mark.parametrize("model_type, task", [
    ("mpnet", "SequenceClassification"), ("modernbert", "QuestionAnswering")])
def test_onnx_by_todays_exporter(model_type, task):
    model = make(model_type, task, **ONE_LAYER[model_type])
    example = batch_of(model, names=2)
    shapes = dict.fromkeys(example, {0: "batch", 1: "length"})
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(model, (), kwargs=example, dynamo=True, verbose=False,
                                    dynamic_shapes=shapes)
    compare_on_batches(model, onnx_runner(program.model_proto.SerializeToString()), 2)


def test_a_compiled_model_is_used_for_all_shapes_and_trains():
    from torch._dynamo.testing import CompileCounterWithBackend
    model, counter = make("bert", "SequenceClassification"), CompileCounterWithBackend("eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for lengths in ((9, 6), (5, 2, 1), (3, 8)):
        batch = batch_of(model, *lengths)
        assert_close(logits_of(compiled, batch), logits_of(model, batch), rtol=1e-4, atol=1e-5)
    assert counter.frame_count <= 3
    losses = train(compiled.train(), "SequenceClassification", batch_of(model), 6)
    assert losses[-1] < losses[0]


# peft

TARGETS = {"modernbert": ["Wqkv"]}
TYPES = {"": "FEATURE_EXTRACTION", "SequenceClassification": "SEQ_CLS",
         "TokenClassification": "TOKEN_CLS", "QuestionAnswering": "QUESTION_ANS", "MaskedLM": None}


def lora(model_type: str, task_type: str | None, **settings):
    "Return settings of a small LoRA."
    from peft import LoraConfig
    targets = TARGETS.get(model_type, ["query", "value"])
    return LoraConfig(task_type=task_type, r=2, target_modules=targets, **settings)


@pytest.mark.parametrize("model_type, task, typed", [
    *(("bert", task, True) for task in TASKS), ("bert", "", False),
    ("bert", "SequenceClassification", False), ("distilbert", "SequenceClassification", True),
    ("albert", "QuestionAnswering", False), ("modernbert", "SequenceClassification", True)])
def test_lora_is_trained_saved_loaded_and_merged(model_type, task, typed, tmp_path):
    from peft import PeftModel, get_peft_model
    fresh = lambda: make(model_type, task, **ONE_LAYER[model_type])
    batch = batch_of(model := fresh(), names=2)
    before = logits_of(model, batch)
    adapted = get_peft_model(model, lora(model_type, TYPES[task] if typed else None))
    train(adapted.train(), task, batch)
    expected = logits_of(adapted.eval(), batch)
    assert not torch.allclose(expected, before, atol=1e-3)
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(fresh(), tmp_path / "adapter").eval()
    assert_close(logits_of(loaded, batch), expected)
    merged = loaded.merge_and_unload()
    assert_close(logits_of(merged, batch), expected, rtol=1e-3, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    again = our_class(model_type, task).from_pretrained(tmp_path / "merged")
    assert_close(logits_of(again, batch), logits_of(merged, batch))


def test_adapters_are_added_chosen_and_switched_off():
    from peft import get_peft_model
    model = make("bert", "TokenClassification")
    batch = batch_of(model)
    plain = logits_of(model, batch)
    adapted = get_peft_model(model, lora("bert", None), adapter_name="first")
    adapted.add_adapter("second", lora("bert", None))
    results = {}
    for name in ("first", "second"):
        adapted.set_adapter(name)
        train(adapted.train(), "TokenClassification", batch)
        results[name] = logits_of(adapted.eval(), batch)
    adapted.set_adapter("first")
    assert_close(logits_of(adapted, batch), results["first"])
    assert not torch.allclose(results["first"], results["second"])
    with adapted.disable_adapter(): assert_close(logits_of(adapted, batch), plain)
    assert_close(logits_of(adapted.unload(), batch), plain)


def test_modules_to_save_are_trained_and_travel(tmp_path):
    from peft import PeftModel, get_peft_model
    model, task = make("roberta", "SequenceClassification"), "SequenceClassification"
    batch = batch_of(model)
    config = lora("roberta", None, modules_to_save=["classifier"])
    adapted = get_peft_model(model, config)
    train(adapted.train(), task, batch)
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(make("roberta", task), tmp_path).eval()
    assert_close(logits_of(loaded, batch), logits_of(adapted.eval(), batch))
    old, new = make("roberta", task).classifier, loaded.merge_and_unload().classifier
    assert not torch.equal(old.out_proj.weight, new.out_proj.weight)


def peft_methods() -> dict:
    "Return settings of other methods than LoRA."
    from peft import AdaLoraConfig, IA3Config, LNTuningConfig, LoraConfig, PromptTuningConfig
    parts = ["query", "value", "intermediate.dense"]
    return {
        "prompt tuning": PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3),
        "IA3": IA3Config(task_type="SEQ_CLS", target_modules=parts,
                         feedforward_modules=["intermediate.dense"]),
        "AdaLoRA": AdaLoraConfig(task_type="SEQ_CLS", target_modules=parts, total_step=10),
        "layer norms": LNTuningConfig(task_type="SEQ_CLS", target_modules=["LayerNorm"]),
        "all linear layers": LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"),
        "DoRA": LoraConfig(task_type="SEQ_CLS", target_modules=parts, use_dora=True),
        "embeddings too": LoraConfig(task_type="SEQ_CLS",
                                     target_modules=[*parts, "word_embeddings"]),
    }


@pytest.mark.parametrize("method", peft_methods())
def test_other_methods_of_peft_train_and_are_loaded_again(method, tmp_path):
    from peft import PeftModel, get_peft_model
    task = "SequenceClassification"
    settings = dict(num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = make("bert", task, **settings)
    batch = batch_of(model, names=2)
    adapted = get_peft_model(model, peft_methods()[method])
    losses = train(adapted.train(), task, batch, 8)
    assert losses[-1] < losses[0]
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(make("bert", task, **settings), tmp_path).eval()
    assert_close(logits_of(loaded, batch), logits_of(adapted.eval(), batch), rtol=1e-4, atol=1e-5)


def test_lora_with_gradient_checkpointing_has_the_same_gradients():
    from peft import get_peft_model
    gradients = []
    for checkpointing in (False, True):
        model = make("bert", "SequenceClassification")
        if checkpointing: model.gradient_checkpointing_enable()
        torch.manual_seed(0)
        adapted = get_peft_model(model, lora("bert", "SEQ_CLS", init_lora_weights=False)).train()
        if checkpointing: adapted.enable_input_require_grads()
        torch.manual_seed(0)
        batch = batch_of(model)
        adapted(**batch, **labels_for("SequenceClassification", batch)).loss.backward()
        gradients.append({n: w.grad for n, w in adapted.named_parameters() if w.requires_grad})
    assert_close(*gradients)


# accelerate

@pytest.fixture
def accelerator():
    "Return what makes an accelerator on the CPU; each test starts with a fresh state."
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState
    AcceleratorState._reset_state(True), GradientState._reset_state()
    yield lambda **options: Accelerator(cpu=True, **options)
    AcceleratorState._reset_state(True), GradientState._reset_state()


@pytest.mark.parametrize("model_type, precision", [
    ("bert", "no"), ("bert", "bf16"), ("distilbert", "bf16"), ("modernbert", "bf16")])
def test_accelerate_trains_and_what_it_saves_is_read(model_type, precision, accelerator, tmp_path):
    task, helper = "SequenceClassification", accelerator(mixed_precision=precision)
    model = helper.prepare(make(model_type, task))
    batch = batch_of(model)
    losses = train(model.train(), task, batch, 6, step=helper.backward)
    output = model.eval()(**batch)
    assert losses[-1] < losses[0] and output.logits.dtype == torch.float32
    assert isinstance(output, tinybert.ModelOutput)
    plain = helper.unwrap_model(model, keep_fp32_wrapper=False)
    expected = logits_of(plain, batch)
    helper.save_model(model, tmp_path / "model")
    plain.config.save_pretrained(tmp_path / "model")
    helper.unwrap_model(model).save_pretrained(
        tmp_path / "whole", is_main_process=helper.is_main_process, save_function=helper.save,
        state_dict=helper.get_state_dict(model))
    for folder in ("model", "whole"):
        loaded = our_class(model_type, task).from_pretrained(tmp_path / folder)
        assert_close(logits_of(loaded, batch), expected)
    helper.save_state(tmp_path / "state")
    randomise(plain, 1)
    helper.load_state(tmp_path / "state")
    assert_close(logits_of(plain, batch), expected)


# transformers.Trainer

def trainer_of(model, folder, **options) -> "transformers.Trainer":
    "Return a Trainer on 16 short texts, without any output; a mean accuracy is its metric."
    task, texts = "SequenceClassification", batch_of(model, *[5, 8, 3, 8] * 4)
    rows = texts | labels_for(task, texts)
    data = [{name: value[n] for name, value in rows.items()} for n in range(16)]
    arguments = dict(output_dir=str(folder), max_steps=6, per_device_train_batch_size=4,
                     learning_rate=1e-3, report_to=[], save_strategy="no", use_cpu=True,
                     disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False)
    metrics = lambda result: {"accuracy": float((result.predictions.argmax(1)
                                                 == result.label_ids).mean())}
    return transformers.Trainer(model, transformers.TrainingArguments(**arguments | options),
                                train_dataset=data, eval_dataset=data, compute_metrics=metrics)


OPTIONS = {
    "plain": {}, "label smoothing": {"label_smoothing_factor": 0.2}, "bf16": {"bf16": True},
    "checkpointing": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_trainer_gives_what_it_gives_with_transformers(option, tmp_path):
    settings = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_hidden_layers=1)
    twins = family_twins(tmp_path / "start", "bert", "SequenceClassification",
                         dtype=torch.float32, deviation=0.1, **settings)
    losses, metrics, predictions = [], [], []
    for model in twins:
        trainer = trainer_of(model.train(), tmp_path / type(model).__module__, **OPTIONS[option])
        losses.append(trainer.train().training_loss)
        metrics.append({name: value for name, value in trainer.evaluate().items()
                        if name in ("eval_loss", "eval_accuracy")})
        predictions.append(torch.tensor(trainer.predict(trainer.eval_dataset).predictions))
    tolerance = dict(rtol=0.05, atol=0.05) if "bf16" in option else dict(rtol=1e-3, atol=1e-4)
    assert_close(losses[0], losses[1], **tolerance)
    assert_close(metrics[0], metrics[1], **tolerance)
    assert_close(predictions[0], predictions[1], **tolerance)


def test_trainer_resumes_and_its_folder_is_read(tmp_path):
    model_type, task = "distilbert", "SequenceClassification"
    batch = batch_of(make(model_type))
    whole = trainer_of(make(model_type, task), tmp_path, save_strategy="steps", save_steps=3)
    whole.train()
    resumed = trainer_of(make(model_type, task), tmp_path / "other")
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    expected = logits_of(whole.model.eval(), batch)
    assert_close(logits_of(resumed.model.eval(), batch), expected)
    whole.save_model(str(tmp_path / "saved"))
    for folder in ("saved", "checkpoint-6"):  # the Trainer writes no config for such a model
        whole.model.config.save_pretrained(tmp_path / folder)
        loaded = our_class(model_type, task).from_pretrained(tmp_path / folder)
        assert_close(logits_of(loaded, batch), expected)


def test_trainer_loads_the_best_model_and_trains_an_adapter(tmp_path):
    from peft import get_peft_model
    model = make("bert", "SequenceClassification")
    for learner in (model, get_peft_model(model, lora("bert", "SEQ_CLS"))):
        folder = tmp_path / type(learner).__name__
        trainer = trainer_of(learner, folder, load_best_model_at_end=True, eval_strategy="steps",
                             save_strategy="steps", save_steps=2, eval_steps=2,
                             metric_for_best_model="loss")
        trainer.train()
        assert trainer.state.best_model_checkpoint
        assert abs(trainer.evaluate()["eval_loss"] - trainer.state.best_metric) < 1e-5


# sentence-transformers and transformers' pipelines

def test_sentence_transformers_reads_our_folder(minilm, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    model = tinybert.AutoModel.from_pretrained(minilm)
    tokenizer = tinybert.AutoTokenizer.from_pretrained(minilm)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    words = Transformer(str(tmp_path))
    theirs = SentenceTransformer(modules=[words, Pooling(384, pooling_mode="mean")], device="cpu")
    texts = ["A river.", "The boat that went down the long river has come back."]
    found = tinybert.embed(model, tokenizer, texts, progress=False, normalize=False)
    assert_close(torch.tensor(theirs.encode(texts)), torch.as_tensor(found), rtol=1e-4, atol=1e-5)


PIPELINES = {"text-classification": "SequenceClassification", "fill-mask": "MaskedLM",
             "token-classification": "TokenClassification", "feature-extraction": ""}


@pytest.mark.parametrize("name", PIPELINES)
def test_transformers_pipelines_take_our_folders_and_our_models(name, minilm, tmp_path):
    "For feature-extraction they want an output of their own class, so there a folder has to do."
    task = PIPELINES[name]
    model = make("bert", task, vocab_size=30522, max_position_embeddings=512)
    model.save_pretrained(tmp_path)
    tinybert.AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    from_folder = transformers.pipeline(name, str(tmp_path), device="cpu")
    from_model = transformers.pipeline(name, model if task else str(tmp_path),
                                       tokenizer=tokenizer, device="cpu")
    for text in ("A [MASK] river.", ["Short [MASK].", "A [MASK], and a much longer text."]):
        found, expected = tree_flatten(from_model(text)), tree_flatten(from_folder(text))
        assert found[1] == expected[1]
        for mine, theirs in zip(found[0], expected[0]):
            if isinstance(mine, str): assert mine == theirs
            else: assert_close(torch.tensor(mine), torch.tensor(theirs), rtol=1e-4, atol=1e-5)


# torch's own

def test_two_processes_train_as_one(tmp_path):
    model = make("bert", "SequenceClassification", hidden_dropout_prob=0.0,
                 attention_probs_dropout_prob=0.0)
    model.save_pretrained(tmp_path / "start")
    batch, labels = batch_of(model), torch.tensor([0, 1, 0, 1])
    torch.save((batch, labels), tmp_path / "batch.pt")
    (tmp_path / "worker.py").write_text(WORKER)
    workers = [subprocess.Popen([sys.executable, "worker.py", str(rank)], cwd=tmp_path, text=True,
                                env=clean_environment(OMP_NUM_THREADS="1"),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
               for rank in range(2)]
    for worker in workers:
        text, _ = worker.communicate(timeout=200)
        assert worker.returncode == 0, text
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        model(**batch, labels=labels).loss.backward()
        optimizer.step(), optimizer.zero_grad()
    for rank in range(2):
        for static in (False, True):
            found = type(model).from_pretrained(tmp_path / f"trained{rank}{static}")
            assert_close(found.state_dict(), model.state_dict(), rtol=1e-4, atol=1e-5)


WORKER = """
import sys, torch
from pathlib import Path
from tinybert import BertForSequenceClassification
from torch.nn.parallel import DistributedDataParallel
rank = int(sys.argv[1])
meeting = f"file://{Path.cwd()}/meet"
torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
batch, labels = torch.load("batch.pt")
mine = slice(2 * rank, 2 * rank + 2)
for static in (False, True):
    model = BertForSequenceClassification.from_pretrained("start")
    parallel = DistributedDataParallel(model, static_graph=static)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        inputs = {name: values[mine] for name, values in batch.items()}
        parallel(**inputs, labels=labels[mine]).loss.backward()
        optimizer.step(), optimizer.zero_grad()
    model.save_pretrained(f"trained{rank}{static}")
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize("model_type", FAMILY_SIZES)
def test_a_whole_model_is_copied_pickled_and_saved(model_type, tmp_path):
    for task in ("", "MaskedLM"):
        model = make(model_type, task)
        batch = batch_of(model)
        torch.save(model, tmp_path / "model.pt")
        copies = (copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                  torch.load(tmp_path / "model.pt", weights_only=False))
        for other in copies:
            assert_close(logits_of(other, batch), logits_of(model, batch), rtol=0, atol=0)
            assert other.config == model.config and other.config is not model.config
        randomise(copies[0], 1)
        assert not torch.allclose(logits_of(copies[0], batch), logits_of(model, batch))


@pytest.mark.parametrize("model_type", ["bert", "mpnet", "modernbert"])
def test_functional_calls_and_gradients_of_single_texts(model_type):
    from torch.func import functional_call, grad, vmap
    model = make(model_type, "SequenceClassification", num_hidden_layers=1)
    batch, weights = batch_of(model, 7, 4, 1, names=2), dict(model.named_parameters())
    labels = torch.tensor([0, 1, 0])
    doubled = {name: 2 * weight for name, weight in weights.items()}
    found = functional_call(model, doubled, kwargs=batch).logits
    other = copy.deepcopy(model)
    other.load_state_dict(doubled)
    assert_close(found, other(**batch).logits)

    def loss(weights, ids, mask, label):
        given = {"input_ids": ids[None], "attention_mask": mask[None], "labels": label[None]}
        return functional_call(model, weights, kwargs=given).loss

    weights = {name: weight.detach() for name, weight in weights.items()}
    model.unpad = False  # shapes mustn't depend on the data
    each = vmap(grad(loss), in_dims=(None, 0, 0, 0))(weights, *batch.values(), labels)
    for n in range(3):
        alone = grad(loss)(weights, *(value[n] for value in batch.values()), labels[n])
        for name, gradient in alone.items():
            assert_close(each[name][n], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_an_output_is_a_tree():
    model = make("bert")
    batch = batch_of(model)
    output = model(**batch, output_hidden_states=True)
    values, tree = tree_flatten(output)
    assert len(values) == 2 + len(output.hidden_states)
    again = tree_unflatten(values, tree)
    assert type(again) is type(output) and list(again) == list(output)
    assert again.attentions is None and again.last_hidden_state is output.last_hidden_state
    half = tree_map(torch.Tensor.half, output)
    assert half.pooler_output.dtype == half["hidden_states"][0].dtype == torch.float16


def test_an_output_can_be_rebuilt_changed_and_gathered():
    model = make("bert", "SequenceClassification")
    batch = batch_of(model)
    output = model(**batch, labels=torch.tensor([0, 1, 1, 0]))
    for rebuilt in (type(output)(output), type(output)(output.items()), type(output)(**output),
                    type(output)({name: value for name, value in output.items()})):
        assert list(rebuilt) == ["loss", "logits"] and rebuilt[1] is output.logits
    output.logits = changed = output.logits + 1
    assert output["logits"] is output[1] is output.to_tuple()[1] is output.logits is changed
    output["loss"] = other = changed.sum()
    assert output.loss is output[0] is other
    output.loss = None
    assert output.loss is None and "loss" not in output and output[0] is changed
    output.loss = other
    assert output["loss"] is output.loss is other
    parts = [model(**{name: value[rows] for name, value in batch.items()})
             for rows in (slice(2), slice(2, 4))]
    gathered = type(parts[0])((name, torch.cat([part[name] for part in parts]))
                              for name in parts[0])  # as nn.DataParallel's gather does it
    assert_close(gathered.logits, model(**batch).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_return_dict_false_gives_a_tuple(task):
    model = make("bert", task)
    batch = batch_of(model)
    labels = labels_for(task, batch)
    expected = model(**batch, **labels, output_hidden_states=True).to_tuple()
    model.config.return_dict = True
    found = model(**batch, **labels, output_hidden_states=True, return_dict=False)
    assert type(found) is tuple
    assert_close(found, expected)


def test_hooks_see_packed_tokens_or_the_rectangle():
    model, seen = make("bert"), []
    hook = model.encoder.layer[0].register_forward_hook(
        lambda layer, given, result: seen.append((tuple(given[0].shape), tuple(result.shape))))
    batch = batch_of(model, 5, 3)
    model(**batch)
    model.unpad = False
    model(**batch)
    hook.remove()
    model(**batch)
    assert seen == [((8, 16), (8, 16)), ((2, 5, 16), (2, 5, 16))]


@pytest.mark.parametrize("unpad", [True, False])
def test_a_hook_may_change_what_a_layer_returns(unpad):
    model = make("bert")
    model.unpad, batch = unpad, batch_of(model, 5, 3)
    model.encoder.layer[2].register_forward_hook(lambda layer, given, result: 0 * result + 1)
    real = batch["attention_mask"].bool()
    assert (model(**batch).last_hidden_state[real] == 1).all()


def test_gradients_of_inner_states_and_inputs():
    model = make("bert", "SequenceClassification")
    batch = batch_of(model)
    output = model(**batch, labels=torch.tensor([0, 1, 1, 0]), output_hidden_states=True,
                   output_attentions=True)
    for value in (*output.hidden_states, *output.attentions): value.retain_grad()
    output.loss.backward()
    for value in (*output.hidden_states[:-1], *output.attentions): assert value.grad.abs().sum() > 0
