"""Commands around Triton: ``approve``, ``promote``, ``rollback``, ``serve``, ``predict``."""
