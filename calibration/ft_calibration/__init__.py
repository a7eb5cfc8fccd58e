"""Data for calibration, training and evaluation: forgeries made here, MMTT folders, metrics."""

from __future__ import annotations
