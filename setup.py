"""Build of ftsdk: the packages of three folders, and one native module compiled through CMake."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent.resolve()
# Folders of data inside a package are found as packages too, so that no list can forget one.
PACKAGES = {
    root: find_namespace_packages(str(HERE / root), include=["ft*"], exclude=["*.__pycache__"])
    for root in ("sdk", "export", "calibration")
}
# nanobind needs Python 3.12 for the stable ABI; a free-threaded Python has none.
STABLE_ABI = sys.version_info >= (3, 12) and not sysconfig.get_config_var("Py_GIL_DISABLED")


class CleanBuild(build):
    """Begins without what an earlier build has left, which may be gone from the source."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class CMakeBuild(build_ext):
    """Compiles an extension with CMake, into the place where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        folder = Path(self.build_temp).resolve() / ext.name
        folder.mkdir(parents=True, exist_ok=True)
        configuration = "Debug" if self.debug else "Release"
        configure = [
            *("cmake", "-S", str(HERE), "-B", str(folder)),
            f"-DCMAKE_BUILD_TYPE={configuration}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DFTSDK_NATIVE_DIRECTORY={target.parent}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        if "CMAKE_GENERATOR" not in os.environ and sys.platform != "win32":
            configure += ["-G", "Ninja"]
        subprocess.run(configure, check=True)
        compile_all = ["cmake", "--build", str(folder), "--config", configuration, "--parallel"]
        subprocess.run(compile_all, check=True)
        if not target.is_file():
            raise FileNotFoundError(f"CMake built no {target.name}, which the wheel's tag promises")


setup(
    packages=[package for packages in PACKAGES.values() for package in packages],
    package_dir={
        package: f"{root}/{package}"
        for root, packages in PACKAGES.items()
        for package in packages
        if "." not in package
    },
    include_package_data=True,
    exclude_package_data={"": ["*.cpp", "*.cu", "*.h"]},
    ext_modules=[Extension("ftsdk._native.kernels", sources=[], py_limited_api=STABLE_ABI)],
    cmdclass={"build": CleanBuild, "build_ext": CMakeBuild},
    options={"bdist_wheel": {"py_limited_api": "cp312"}} if STABLE_ABI else {},
    zip_safe=False,
)
