"""A BERT you can read: the models section of an NLP course, from scratch on torch."""

import warnings

__version__ = "0.1.0"

# tqdm, which draws huggingface_hub's progress bars, wants widgets in Jupyter; text is enough.
warnings.filterwarnings("ignore", "IProgress not found")

_modules = {  # module → its public names
    "checkpoint": "Checkpoint",
    "sharing": "model_card",
    "config": "BertConfig PreTrainedConfig",
    "inputs": "ModelOutput",
    "pretrained": "PreTrainedModel",
    "model": "BertModel",
    "encoding": "BatchEncoding",
    "families": """
        RobertaConfig XLMRobertaConfig CamembertConfig ElectraConfig MPNetConfig
        DistilBertConfig AlbertConfig RobertaModel XLMRobertaModel CamembertModel
        ElectraModel MPNetModel DistilBertModel AlbertModel""",
    "modernbert": "ModernBertConfig ModernBertModel",
    "heads": """
        BertForMaskedLM BertForSequenceClassification BertForTokenClassification
        BertForQuestionAnswering BertForPreTraining BertForNextSentencePrediction
        BertForMultipleChoice RobertaForMaskedLM RobertaForSequenceClassification
        RobertaForTokenClassification RobertaForQuestionAnswering XLMRobertaForMaskedLM
        XLMRobertaForSequenceClassification XLMRobertaForTokenClassification
        XLMRobertaForQuestionAnswering CamembertForMaskedLM
        CamembertForSequenceClassification CamembertForTokenClassification
        CamembertForQuestionAnswering ElectraForMaskedLM ElectraForSequenceClassification
        ElectraForTokenClassification ElectraForQuestionAnswering MPNetForMaskedLM
        MPNetForSequenceClassification MPNetForTokenClassification MPNetForQuestionAnswering
        DistilBertForMaskedLM DistilBertForSequenceClassification
        DistilBertForTokenClassification DistilBertForQuestionAnswering AlbertForMaskedLM
        AlbertForSequenceClassification AlbertForTokenClassification
        AlbertForQuestionAnswering ModernBertForMaskedLM ModernBertForSequenceClassification
        ModernBertForTokenClassification ModernBertForQuestionAnswering""",
    "auto": """
        AutoConfig AutoModel AutoTokenizer BertTokenizer BertTokenizerFast
        DistilBertTokenizer DistilBertTokenizerFast RobertaTokenizer RobertaTokenizerFast
        XLMRobertaTokenizer CamembertTokenizer ElectraTokenizer MPNetTokenizer AlbertTokenizer
        AutoModelForMaskedLM
        AutoModelForSequenceClassification AutoModelForTokenClassification
        AutoModelForQuestionAnswering AutoModelForNextSentencePrediction
        AutoModelForPreTraining AutoModelForMultipleChoice""",
    "embedding": "embed",
    "sentence_folders": "read_pooling",
    "pipelines": """
        Pipeline pipeline FillMaskPipeline TextClassificationPipeline
        TokenClassificationPipeline QuestionAnsweringPipeline FeatureExtractionPipeline""",
    "collators": """
        DataCollatorForLanguageModeling DataCollatorForTokenClassification
        DataCollatorWithPadding DefaultDataCollator default_data_collator""",
    "training": "LengthBatchSampler evaluate pack_sequences train",
    "view": """
        plot_losses show_attention show_layers show_masked show_similarity show_tokens summary""",
    "serving": "ready_to_serve",
}
_home = {name: module for module, names in _modules.items() for name in names.split()}
__all__ = sorted(_home)


def __getattr__(name: str):
    "Import a public name's module when it's first used (PEP 562): `import tinybert` loads nothing."
    if name not in _home:
        from difflib import get_close_matches
        close = get_close_matches(name, __all__, n=1, cutoff=0.85)
        message = f"module 'tinybert' has no attribute {name!r}"
        if close: message += f". Did you mean {close[0]!r}?"
        # obj=None: Python itself would add a suggestion to a traceback, though not in a notebook.
        raise AttributeError(message, name=name, obj=None)
    from importlib import import_module
    globals()[name] = getattr(import_module(f"tinybert.{_home[name]}"), name)
    return globals()[name]


def __dir__(): return sorted([*globals(), *__all__])
