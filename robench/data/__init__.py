"""Data sets as tensors on a device: catalogue, files, splits, batches, augmentation."""
