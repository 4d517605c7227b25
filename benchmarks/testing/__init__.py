"""Contract suites for plugin authors: objectives, augmentations, encoders, data sets."""
