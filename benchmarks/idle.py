"""What trio itself costs: a process that accepts TCP connections, waits for their bytes and answers nothing.

python benchmarks/idle.py
"""

from __future__ import annotations

import resource

import trio


async def _wait(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass


async def _serve() -> None:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, _wait, [listener])
        print(f"ready, at tcp:127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trio.run(_serve)
