"""Say what is wrong once, not at every look."""

import logging

log = logging.getLogger("fettle")


class Once:
    """Logs a warning, unless it is that of the call before; nothing wrong is an empty text."""

    def __init__(self) -> None:
        self._last = ""

    def warn(self, text: str) -> None:
        if text and text != self._last:
            log.warning("%s", text)
        self._last = text
