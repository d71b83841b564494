"""The command line. Nothing heavy is imported before a command runs: ``fettle --help`` answers at once."""

import sys

from fettle.errors import FettleError


def main() -> None:
    """Run the command; a user's mistake is one clear line on stderr and an exit code, never a traceback."""
    from fettle.cli.app import app

    try:
        app()
    except FettleError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last word
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `fettle ... | head`
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
