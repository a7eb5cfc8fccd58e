"""Pictures in and out: decoding, preprocessing, mask geometry, drawing."""

from ftsdk.imaging.opencv import require_opencv

require_opencv()
