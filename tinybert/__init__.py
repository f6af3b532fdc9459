"""A BERT you can read: the models section of an NLP course from scratch, on torch, tokenizers and huggingface_hub."""

__version__ = "0.1.0"

_families = ["Roberta", "XLMRoberta", "Camembert", "Electra", "MPNet", "DistilBert", "Albert"]
_tasks = ["MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering"]
_bert_tasks = ["NextSentencePrediction", "PreTraining", "MultipleChoice"]
_modules = {
    "config": ["BertConfig", "PreTrainedConfig"],
    "checkpoint": ["Checkpoint"],
    "model": ["BertModel", "ModelOutput", "PreTrainedModel"],
    "encoding": ["AutoTokenizer", "BatchEncoding", "BertTokenizer"],
    "families": [f"{family}{kind}" for family in _families for kind in ("Config", "Model")],
    "modernbert": ["ModernBertConfig", "ModernBertModel"],
    "heads": [f"{family}For{task}" for family in ["Bert", "ModernBert", *_families] for task in _tasks]
             + [f"BertFor{task}" for task in _bert_tasks],
    "embedding": ["embed", "read_pooling"],
    "auto": ["AutoConfig", "AutoModel", *(f"AutoModelFor{task}" for task in _tasks + _bert_tasks)],
}
_home = {name: module for module, names in _modules.items() for name in names}
__all__ = sorted(_home)


def __getattr__(name: str):
    "Import a public name's module when the name is first used (PEP 562): `import tinybert` itself loads nothing."
    if name not in _home: raise AttributeError(f"module 'tinybert' has no attribute {name!r}")
    from importlib import import_module
    globals()[name] = getattr(import_module(f"tinybert.{_home[name]}"), name)
    return globals()[name]


def __dir__(): return sorted([*globals(), *__all__])
