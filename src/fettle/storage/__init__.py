"""Where promoted models live: a folder or any S3, behind one small Protocol."""

from fettle.storage.store import ConflictError, Store, open_store

__all__ = ["ConflictError", "Store", "open_store"]
