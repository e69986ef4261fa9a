"""Under which names this process answers: against pages that rebind a name of theirs to us.

In: the Host header of a request. Out: whether it is one of ours. Where only loopback is served
these are its names; where a network is, the machine's names and any bare address too, since an
address can't be rebound; and in both cases what `serve.allowed_hosts` adds.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Hosts:
    """The names of one process."""

    names: frozenset[str]
    addresses: bool = False  # whether any bare address will do

    def allow(self, header: str) -> bool:
        """Whether a request with this Host header is for us."""
        name = host_of(header)
        if name in self.names:
            return True
        if self.addresses and is_address(name):
            return True
        return any(each.startswith("*.") and name.endswith(each[1:]) for each in self.names)


def hosts_for(address: str, added: Iterable[str] = ()) -> Hosts:
    """The names for a process that is bound to this address."""
    names = {*LOOPBACK_NAMES, *(each.lower() for each in added)}
    if address in LOOPBACK_NAMES:
        return Hosts(frozenset(names))
    own = {address.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return Hosts(frozenset(names | own), addresses=True)


def host_of(header: str) -> str:
    """The name in a Host header, without its port; "" where there is none."""
    if header.startswith("["):  # an IPv6 address
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def is_address(name: str) -> bool:
    """Whether this is a bare IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
