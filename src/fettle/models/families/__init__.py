"""One file a family; every module in this folder is imported by the registry."""
