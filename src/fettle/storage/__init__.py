"""Where promoted models, data and unfinished work live: a folder or any S3, behind one small Protocol."""

from fettle.storage.kept import kept_folder
from fettle.storage.store import KEYS, ConflictError, Store, is_remote, open_store

__all__ = ["KEYS", "ConflictError", "Store", "is_remote", "kept_folder", "open_store"]
