"""Generates the protocol's modules from the .proto files, and the blocking client from that of
asyncio, while the package is built."""

import shutil
from importlib.metadata import version
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent


def proto_folder() -> Path:
    """The folder of the .proto files: in a source distribution its own, in a checkout the shared one."""
    folders = (HERE / "proto", HERE.parent.parent / "proto")
    for folder in folders:
        if any(folder.glob("qianmian/v1/*.proto")):
            return folder
    raise SystemExit(f"no .proto files in {' or '.join(map(str, folders))}")


def generate(out: Path) -> None:
    """Puts generated modules beside the written ones below `out`."""
    generate_protocol(out)
    generate_blocking_client(out)


def generate_blocking_client(out: Path) -> None:
    """Writes `_sync` from `_async`: the same without `async` and `await`."""
    # Installed only while a package is built.
    from unasync import Rule, unasync_files

    names = {
        "AsyncClient": "Client",
        "AsyncShards": "Shards",
        "open_async_channel": "open_channel",
        "AsyncChannel": "Channel",
    }
    # `time.sleep` in place of that of asyncio.
    rule = Rule("/_async/", "/_sync/", additional_replacements={**names, "asyncio": "time"})
    unasync_files([str(path) for path in out.glob("qianmian/_async/*.py")], [rule])


def generate_protocol(out: Path) -> None:
    """Writes the modules of the protocol."""
    # Installed only while a package is built.
    import grpc_tools
    from grpc_tools import protoc

    proto = proto_folder()
    files = sorted(str(path) for path in proto.glob("qianmian/v1/*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    options = [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", f"-I{proto}", f"-I{well_known}", *options, *files]) != 0:
        raise SystemExit("the protocol's modules could not be generated")


class BuildWithProtocol(build_py):
    """Generates into what is built; of an editable installation, into the sources."""

    def run(self) -> None:
        super().run()
        generate(HERE if self.editable_mode else Path(self.build_lib))


class SdistWithProtocol(sdist):
    """Takes the .proto files along."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(proto_folder(), Path(base_dir) / "proto", dirs_exist_ok=True)


# The wheel with the server takes `generate` from here.
if __name__ == "__main__":
    setup(
        cmdclass={"build_py": BuildWithProtocol, "sdist": SdistWithProtocol},
        # Generated code asks for at least what generated it.
        install_requires=[
            f"grpcio>={version('grpcio')}",
            f"protobuf>={version('protobuf')}",
            "grpcio-status",
            "numpy>=1.24",
            "tzdata; platform_system == 'Windows'",
        ],
        extras_require={"tables": ["pyarrow>=15"]},
    )
