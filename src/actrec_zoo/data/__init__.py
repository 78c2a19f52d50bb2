"""From a folder of videos to batches of clips: layouts, manifest, splits, sampling, decoding, transforms."""
