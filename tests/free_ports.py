#!/usr/bin/env python3
"""Prints ports of 127.0.0.1 that are free for UDP and TCP, all of them different, for a server that is started next.

    free_ports.py [COUNT]

Between finding a port and taking it a server may need seconds. Meanwhile nobody else here takes it: clients are given ports
from 32,768 on, and imspec and its tests look for those of their servers between 10,000 and 32,000.
"""

import contextlib
import random
import socket
import sys


def free_ports(count=1):
    found = set()
    for port in random.sample(range(2000, 10000), 4000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)), \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
            found.add(port)
        if len(found) == count:
            return list(found)
    raise SystemExit(f"free_ports.py: of 4000 ports of 127.0.0.1 fewer than {count} are free")


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
