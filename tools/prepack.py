"Keep the weights of linear layers in oneDNN's own layout, for `make bench`; lesson 08 explains it."

import torch
from torch import Tensor, nn


def can_prepack(dtype: torch.dtype) -> bool:
    "Tell whether oneDNN multiplies matrices of this dtype on this processor."
    ops, available = torch.ops.mkldnn, torch.backends.mkldnn.is_available()
    if not (available and hasattr(ops, "_linear_pointwise")): return False
    return dtype == torch.float32 or dtype == torch.bfloat16 and ops._is_mkldnn_bf16_supported()


def is_tracing() -> bool:
    "Tell whether torch records a graph (compile, export, jit.trace)."
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class PrepackedLinear(nn.Linear):
    "Multiply with a copy of the weight in oneDNN's layout: on the CPU, without gradients."
    prepacked: Tensor | None = None  # the copy
    source: tuple[Tensor, int] | None = None  # what it was made from, and its version

    def prepack(self) -> Tensor:
        "Return the copy, made again if the weight has changed."
        weight, (source, version) = self.weight, self.source or (None, None)
        if source is None or not source.is_set_to(weight) or version != weight._version:
            self.prepacked = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            self.source = weight.detach(), weight._version
        return self.prepacked

    def accepts(self, input: Tensor) -> bool:
        "Tell whether oneDNN can multiply this input; all else goes to nn.Linear."
        weight = self.weight
        return (input.is_cpu and weight.is_cpu
                and input.dtype == weight.dtype and can_prepack(input.dtype)
                and input.shape[-1:] == weight.shape[1:] and weight.numel() > 0
                and not weight.is_inference()  # torch doesn't count the changes of such a weight
                and not torch.is_autocast_enabled("cpu"))

    def forward(self, input: Tensor) -> Tensor:  # (…, in_features)
        if is_tracing(): return super().forward(input)
        # Fused optimizers don't count their changes, so a pass with gradients drops the copy.
        if torch.is_grad_enabled(): self.prepacked = self.source = None
        if torch.is_grad_enabled() or not self.accepts(input): return super().forward(input)
        multiply = torch.ops.mkldnn._linear_pointwise
        return multiply(input, self.prepack(), self.bias, "none", [], "")  # (…, out_features)

    def __getstate__(self) -> dict:
        "Leave the copy out of files and duplicates: its memory can't be read."
        return {k: v for k, v in vars(self).items() if k not in ("prepacked", "source")}


def prepack(
    model: nn.Module,  # any model; it is changed in place
) -> nn.Module:
    "Prepack every nn.Linear of a model; raise RuntimeError if torch has no oneDNN."
    if not can_prepack(torch.float32):
        raise RuntimeError("This build of torch has no oneDNN, so weights can't be prepacked. "
                           "The model works without it.")
    for module in model.modules():
        if type(module) is nn.Linear: module.__class__ = PrepackedLinear  # weight and hooks stay
    return model
