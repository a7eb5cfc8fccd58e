"""Build of ftsdk: four package roots and one native module, compiled through CMake."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent.resolve()
ROOTS = ("sdk", "export", "calibration", "training")
PACKAGES = {root: find_packages(str(HERE / root)) for root in ROOTS}


class CMakeBuild(build_ext):
    """Compiles an extension with CMake, into the place where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / ext.name
        build.mkdir(parents=True, exist_ok=True)
        configuration = "Debug" if self.debug else "Release"
        configure = [
            *("cmake", "-S", str(HERE), "-B", str(build)),
            f"-DCMAKE_BUILD_TYPE={configuration}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DFTSDK_NATIVE_DIRECTORY={target.parent}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        if "CMAKE_GENERATOR" not in os.environ and sys.platform != "win32":
            configure += ["-G", "Ninja"]
        subprocess.run(configure, check=True)
        subprocess.run(
            ["cmake", "--build", str(build), "--config", configuration, "--parallel"], check=True
        )


setup(
    packages=[package for packages in PACKAGES.values() for package in packages],
    package_dir={
        package: f"{root}/{package}"
        for root, packages in PACKAGES.items()
        for package in packages
        if "." not in package
    },
    package_data={
        "ftsdk": ["py.typed", "imaging/*.json", "models/nano/**/*"],
        "ftsdk._native": ["*.pyi"],
        "ftsdk.doctor": ["*.ptx"],
        "ftsdk.report": ["*.css"],
        "ftsdk.serve": ["static/*"],
    },
    include_package_data=False,
    ext_modules=[Extension("ftsdk._native.kernels", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
    zip_safe=False,
)
