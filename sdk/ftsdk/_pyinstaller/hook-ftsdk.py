"""PyInstaller hook: the nano bundle and other data, the kernels, and what is imported by name."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_NOT_HERE = ("ftsdk.serve", "ftsdk._pyinstaller")  # the service has dependencies of its own

datas = collect_data_files("ftsdk")
hiddenimports = collect_submodules("ftsdk", filter=lambda name: not name.startswith(_NOT_HERE))
