"The exercises of the lessons: `check` an answer, get a `hint`, see the `solution`."

import sys
from types import ModuleType

__all__ = ["check", "hint", "solution"]


class _Course(ModuleType):
    "Importing the module `check` would put it in the place of the function `check`: it may not."

    def __setattr__(self, name, value):
        if name not in __all__ or not isinstance(value, ModuleType): super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Course


def __getattr__(name: str):
    "Import the engine when one of its names is first used (PEP 562): the package itself loads nothing."
    if name not in __all__: raise AttributeError(f"module 'tinybert.course' has no attribute {name!r}")
    from importlib import import_module
    globals()[name] = getattr(import_module("tinybert.course.check"), name)
    return globals()[name]


def __dir__(): return sorted({*globals(), *__all__})
