"""Builds the wheel: assembles the Python client with its generated modules, then calls maturin."""

import runpy
import shutil
from pathlib import Path

import maturin
from maturin import get_requires_for_build_wheel

__all__ = ["build_wheel", "get_requires_for_build_wheel", "prepare_metadata_for_build_wheel"]

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parent / "python"


def assemble() -> None:
    """Copies the client to `python/` and generates the protocol's modules there."""
    out = HERE / "python"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(CLIENT / "qianmian", out / "qianmian", ignore=shutil.ignore_patterns("__pycache__"))
    runpy.run_path(str(CLIENT / "setup.py"))["generate"](out)


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    assemble()
    return maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    assemble()
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
