"""Other theories of how the loss falls with data, for comparison with alpha = gamma / (2 beta).

``ngramstat.theories(run)`` calls the function of that name in `ngramstat.api`; the parts of this
package, such as `ngramstat.theories.solvable`, can be imported as of any other.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__: list[str] = []


class _CallableModule(ModuleType):
    """This package, which has the name of the function that puts its parts to use."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        # The function belongs to a higher layer.
        return import_module("ngramstat.api").theories(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(import_module("ngramstat.api").theories)


sys.modules[__name__].__class__ = _CallableModule
