"""PyInstaller hook: the nano bundle and other data, the kernels, and what is imported by name."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

# The service has dependencies of its own, and a cluster needs Python on every node.
_NOT_HERE = ("ftsdk.serve", "ftsdk.fleet", "ftsdk._pyinstaller")

datas = collect_data_files("ftsdk")
hiddenimports = collect_submodules("ftsdk", filter=lambda name: not name.startswith(_NOT_HERE))
excludedimports = ["ray"]
