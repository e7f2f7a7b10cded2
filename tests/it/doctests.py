"""The examples in the Python package's documentation, run: usage doctests.py ADDRESS.

Leaves with 77 where the package is not installed.
"""
import doctest
import importlib
import pkgutil
import sys
from pathlib import Path

try:
    import qianmian
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install ./clients/python", file=sys.stderr)
    sys.exit(77)

address = sys.argv[1]
failed, tried = 0, 0
written = [m.name for m in pkgutil.iter_modules(qianmian.__path__) if not m.name.startswith(("_", "v1"))]
for name in ["qianmian", *(f"qianmian.{name}" for name in written)]:
    found = doctest.testmod(importlib.import_module(name), extraglobs={"ADDRESS": address})
    failed, tried = failed + found.failed, tried + found.attempted
readme = Path(__file__).parents[2] / "clients/python/README.md"
found = doctest.testfile(str(readme), module_relative=False, globs={"ADDRESS": address})
failed, tried = failed + found.failed, tried + found.attempted
print(f"{tried} examples, {failed} failed", file=sys.stderr)
sys.exit(1 if failed or tried < 10 else 0)
