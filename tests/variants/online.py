#!/usr/bin/env python3
"""Brings a user online or offline: the program of a profile with `registration: { command: … }`.

    online.py PORT ACCOUNT CONTACT EXPIRES

Here it is a REGISTER in the user's name; in a lab it is whatever tells the server of its users.
"""

import re
import secrets
import socket
import sys


def main(port, account, contact, expires):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.5)
        request = "\r\n".join([
            f"REGISTER sip:{account.partition('@')[2]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{udp.getsockname()[1]};branch=z9hG4bK{secrets.token_hex(8)};rport",
            "Max-Forwards: 70",
            f"From: <{account}>;tag={secrets.token_hex(4)}",
            f"To: <{account}>",
            f"Call-ID: {secrets.token_hex(8)}",
            "CSeq: 1 REGISTER",
            f"Contact: <{contact}>",
            f"Expires: {expires}",
            "Content-Length: 0", "", ""]).encode()
        for _ in range(20):
            udp.sendto(request, ("127.0.0.1", int(port)))
            try:
                answer = udp.recv(65536).decode(errors="replace")
            except TimeoutError:
                continue
            status = re.match(r"SIP/2\.0 (\d+)", answer)
            if status and status[1] == "200":
                return 0
            print(answer.partition("\r\n")[0], file=sys.stderr)
            return 1
    print("no answer", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
