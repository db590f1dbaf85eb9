"""Keeps fetches to the public internet: an address in a stranger's file must not reach the machines behind our firewall.

The name is resolved here and the connection opened to the very address that was checked, so that a name server cannot answer
differently the second time (DNS rebinding). Redirects open connections the same way.
"""

import ipaddress
import socket
from typing import Any

from e2.extras import extra

with extra("sources", "fetching photos"):
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.exceptions import NameResolutionError, NewConnectionError

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses by way of IPv6


class PrivateAddress(Exception):
    """A host that has no public address."""


def is_public(address: str) -> bool:
    """True for an IP address of the public internet, neither private, local, reserved nor one that wraps such an address.

    >>> [is_public(address) for address in ("8.8.8.8", "10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254")]
    [True, False, False, False, False]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def public_addresses(host: str, port: int) -> list[str]:
    """Resolves a host to its public addresses.

    Raises:
        PrivateAddress: it has none.
        OSError: it cannot be resolved.
    """
    host = host.strip("[]")
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label too long, or empty
        raise OSError(str(error)) from error
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    if public := [address for address in found if is_public(address)]:
        return public
    raise PrivateAddress(host)


class _ToPublic:
    """Opens connections to public addresses only. Mixed into urllib3's connections."""

    host: str
    port: int

    def _new_conn(self) -> Any:
        name = self.host
        try:
            addresses = public_addresses(name, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(name, self, error) from error  # type: ignore[arg-type]
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]
        *others, last = addresses
        try:
            for self.host in others:
                try:
                    return super()._new_conn()  # type: ignore[misc]
                except NewConnectionError:  # no route to an IPv6 address, say
                    continue
            self.host = last
            return super()._new_conn()  # type: ignore[misc]
        finally:
            self.host = name  # whom certificates must name


class _PublicHTTP(_ToPublic, HTTPConnection):
    pass


class _PublicHTTPS(_ToPublic, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class PublicPool(PoolManager):
    """A urllib3 pool manager whose connections go to public addresses only; raises `PrivateAddress` for others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
