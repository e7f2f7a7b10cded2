"""Generates the protocol's modules from the .proto files while the package is built."""

from importlib.metadata import version
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"


class BuildWithProtocol(build_py):
    """Puts generated modules beside the written ones."""

    def run(self) -> None:
        super().run()
        # Only there while a package is built.
        import grpc_tools
        from grpc_tools import protoc

        files = sorted(str(path) for path in PROTO.glob("qianmian/v1/*.proto"))
        if not files:
            raise SystemExit(f"no .proto files in {PROTO}: install from a whole checkout")
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        out = self.build_lib
        options = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *options, *files]) != 0:
            raise SystemExit("the protocol's modules could not be generated")


setup(
    cmdclass={"build_py": BuildWithProtocol},
    # Generated code asks for at least what generated it.
    install_requires=[
        f"grpcio>={version('grpcio')}",
        f"protobuf>={version('protobuf')}",
        "grpcio-status",
        "numpy>=1.24",
    ],
)
