"""How tests export: in float32 where parity is what they are about."""

from __future__ import annotations

from ft_export.exporter import ExportOptions
from ft_export.precision.language import LanguagePrecision

FLOAT32 = ExportOptions(LanguagePrecision("float32"))
OVERWRITE = ExportOptions(LanguagePrecision("float32"), overwrite=True)
