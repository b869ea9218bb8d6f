"""Entry point: `streaming-chat`, `python -m streaming_chat`, and the launcher of the project page.

Ctrl-C is status 130 and not a traceback, from the first line on: so nothing is imported up here that Python has not
imported by itself. What comes before the first line is Python's own start (and, in a script that pip made, `import re`).
"""

import os
import sys


def _leave_working_folder() -> None:
    """Take the working folder, which `python -m` puts first, off the search path: a `json.py` there is not to be run.

    Weak spot: what `runpy` itself imports (`warnings`, `types` …) Python has looked for by then, there too. Only `python -P`
    and the script `streaming-chat` are safe from that, so these are what the docs name. A PYTHONPATH stays.
    """
    try:
        here = os.getcwd()
    except OSError:
        return  # It has been deleted, and is not on the path.
    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] == [here]:
        del sys.path[0]


if __name__ == "__main__" and __spec__ is not None:
    _leave_working_folder()


def main() -> None:
    """Run the program and leave with its status. Does not return."""
    try:
        _open_what_is_closed()
        status = _status()
    except KeyboardInterrupt:
        status = 130
    # Everything is written and closed. Taking the interpreter apart would cost another tenth of a second.
    os._exit(status if isinstance(status, int) else 0)


def _open_what_is_closed() -> None:
    """Give a standard stream that is closed (`2>&-`) a file: else the next one that is opened would take its number.

    Then whatever is written to standard error without asking would end in the history, say. For Python itself the stream
    stays closed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            try:
                # The lowest number that is free, which is this one. Inherited, as standard streams are.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            except OSError:
                return


def _status() -> object:
    import gc
    import signal
    from contextlib import suppress

    # The collector would look at every object again and again while modules are imported, and none of them is garbage.
    # The first request switches it on.
    gc.disable()
    if sys.version_info >= (3, 15):
        # PEP 810: of this package's own imports only, as other packages' may have to happen in their order.
        sys.set_lazy_imports_filter(lambda importer, *_: importer.startswith("streaming_chat"))
        sys.set_lazy_imports("all")

    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        # There is nothing to be put in order yet, and a KeyboardInterrupt in the middle of an import can get lost.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from streaming_chat.cli.main import run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status: object = run(sys.argv[1:])
    except SystemExit as ending:
        status = ending.code
    # What was asked for has been written by now, and checked (terminal/output.py). What a library has left here may have no
    # terminal any more.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.flush()
    return status


if __name__ == "__main__":
    main()
