"""Data: readers, checks, splits, the cache, augmentation. Import what you need from the modules."""

from fettle.data.dataset import Dataset, Record, Subset, open_dataset

__all__ = ["Dataset", "Record", "Subset", "open_dataset"]
