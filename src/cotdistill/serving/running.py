"""A server from start to end: its extra, its socket, its signals."""

import signal
import sys

from cotdistill.errors import MissingExtra
from cotdistill.serving.system import System


def serve_until_stopped(
    system: System, *, host: str, port: int, name: str, api_key: str = "", most_waiting: int = 1024
) -> None:
    """Serve until Ctrl-C or SIGTERM; what is under way then is answered.

    Raises:
        MissingExtra: the packages of the extra `serve` are not installed.
        UserError: the address cannot be listened on, or the system cannot answer any question.
    """
    try:
        from cotdistill.serving.app import ServerSettings, listen, make_server
    except ImportError as error:
        raise MissingExtra(f"serve needs {error.name}: pip install 'cotdistill[serve]'") from error
    settings = ServerSettings(name=name, api_key=api_key, most_waiting=most_waiting)
    place = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    if system.chosen.cell.method.plugin.rounds:  # nobody's money is spent on a warm-up
        system.warm_up()
    print(f"http://{shown}:{place.getsockname()[1]}/v1  model {name!r}; Ctrl-C stops", flush=True)
    # uvicorn ends well and then raises the signal again, which is to end the program just as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        make_server(system, settings).run(sockets=[place])
    except KeyboardInterrupt:
        pass
    finally:
        place.close()
