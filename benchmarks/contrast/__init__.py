"""One batch as anchors and candidates: views, masks of known positives, processes."""
