"""What fused images are good for: a fixed detector and a small segmenter on labelled pairs."""
