"The exercises of the lessons: `check` an answer, get a `hint`, see the `solution`."

import sys
from types import ModuleType

__all__ = ["check", "hint", "solution"]


class _Course(ModuleType):
    "Keep `check` the function: importing the module `check` would put the module in its place."

    def __setattr__(self, name, value):
        if name in __all__ and isinstance(value, ModuleType): return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Course


def __getattr__(name: str):
    "Import the engine when one of its names is first used (PEP 562)."
    if name not in __all__: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    globals()[name] = getattr(import_module("tinybert.course.check"), name)
    return globals()[name]


def __dir__(): return sorted({*globals(), *__all__})
