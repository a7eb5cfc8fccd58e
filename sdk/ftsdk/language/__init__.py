"""From prompt to report: tokenizers, key-value cache, decoding."""
