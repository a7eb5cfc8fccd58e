"""Pictures in and out: decoding, preprocessing, mask geometry, drawing."""
