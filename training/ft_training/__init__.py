"""The recipe that makes the nano weights: forgeries, vision stage, text stage, calibration."""

from __future__ import annotations
