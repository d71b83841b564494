"""Loading models in a running Triton, explicitly, and proving it by an inference."""

import contextlib

import tritonclient.http
from tritonclient.utils import InferenceServerException

from fettle.errors import ServeError
from fettle.publish.steps import live_steps
from fettle.serve.client import UNREACHABLE, Client
from fettle.storage import Store

ACCESS = "fettle-access"  # header of who may load models


class Control:
    """Says to one Triton what to load.

    Args:
        http: ``host:port`` of its HTTP service.
        store: Its model repository.
        token: Value of the header :data:`ACCESS`, where the server restricts the API.
        timeout: Seconds that a load may take.
    """

    def __init__(self, http: str, store: Store, *, token: str = "", timeout: float = 120.0) -> None:
        self.http, self.timeout = http, timeout
        self._store, self._headers = store, {ACCESS: token} if token else {}

    def load(self, model: str) -> str:
        """Load what the repository's configuration names, prove it by an inference, return the version.

        The version that was served before goes on answering until the new one is ready. A failed load leaves it. The
        models of an ensemble are loaded first.

        Raises:
            ServeError: If the model cannot be loaded, or is loaded but does not answer.
        """
        for step in live_steps(self._store, model):
            self._ask("load_model", step)
        self._ask("load_model", model)
        return self.probe(model)

    def reload(self, model: str) -> str:
        """Unload and load a model whose process has died; its requests fail meanwhile."""
        with contextlib.suppress(ServeError):  # a server that was started again does not know it
            self._ask("unload_model", model)
        return self.load(model)

    def probe(self, model: str) -> str:
        """Return the version that answers a blank image: readiness alone is no proof.

        Raises:
            ServeError: If none answers.
        """
        with Client(self.http, model) as client:
            return client.probe()

    def check(self) -> None:
        """Raise :class:`ServeError` if the server is not live."""
        # Closed at once: an open connection would delay the server's end.
        with tritonclient.http.InferenceServerClient(self.http) as client:
            try:
                if client.is_server_live():
                    return
            except UNREACHABLE as error:
                raise ServeError(f"No Triton answers at {self.http} ({error}).") from None
        raise ServeError(f"Triton at {self.http} is not live.")

    def _ask(self, method: str, model: str) -> None:
        with tritonclient.http.InferenceServerClient(self.http, network_timeout=self.timeout) as client:
            try:
                getattr(client, method)(model, headers=self._headers)
            except InferenceServerException as error:
                raise ServeError(f"Triton cannot {method.replace('_', ' ')} {model!r}: {error.message()}.") from None
            except UNREACHABLE as error:
                raise ServeError(f"Triton at {self.http} does not answer ({error}).") from None
