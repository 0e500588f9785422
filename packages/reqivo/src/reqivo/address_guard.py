"""AddressGuard: keeps an application that fetches URLs given by others out of its own network (SSRF).

The guard looks at each address just before it is dialled, on every hop: the address that was checked is the one that is
connected to, so a name that resolves differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

from reqivo.exceptions import AddressRefused
from reqivo_core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reqivo_core import Address, Origin, Proxy

IPAddress: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_PURPOSES: Final = {
    "this network": ["0.0.0.0/8", "::/128"],
    "private use": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"],
    "shared by carriers (CGNAT)": ["100.64.0.0/10"],
    "loopback": ["127.0.0.0/8", "::1/128"],
    "link-local, where clouds keep their metadata": ["169.254.0.0/16", "fe80::/10"],
    "a cloud's metadata": ["168.63.129.16/32"],
    "protocol assignments": ["192.0.0.0/24", "192.88.99.0/24", "2001::/23", "5f00::/16"],
    "documentation": ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"],
    "benchmarks": ["198.18.0.0/15"],
    "multicast": ["224.0.0.0/4", "ff00::/8"],
    "reserved": ["240.0.0.0/4", "100::/64"],
    "translation within a site (NAT64)": ["64:ff9b:1::/48"],
}
PRIVATE: Final[tuple[str, ...]] = tuple(network for networks in _PURPOSES.values() for network in networks)
"""Networks that are not the public Internet's (after IANA's registries of special-purpose addresses)."""

_PURPOSE_OF: Final = {ip_network(network): purpose for purpose, all_ in _PURPOSES.items() for network in all_}
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")


class AddressGuard:
    """Refuses addresses that the application must not reach: ``Session(address_guard=AddressGuard())``.

    An IPv6 address that stands for an IPv4 one (mapped, compatible, NAT64, 6to4) is judged by both.

    **Proxies.** Behind a proxy it is the proxy that resolves names and connects, so nothing here can know where a
    request really goes. A guarded session therefore refuses to use proxies, unless ``trust_proxies=True`` says that
    the proxy is one that guards by itself. Then only hosts that are written as addresses are judged.

    Attributes:
        deny: Networks that are refused.
        allow: Networks that are let through all the same.
        trust_proxies: Whether requests may go through proxies.
    """

    def __init__(
        self, deny: Iterable[str] = PRIVATE, *, allow: Iterable[str] = (), trust_proxies: bool = False
    ) -> None:
        """Make a guard.

        Args:
            deny: Networks (CIDR) or single addresses. ``[*PRIVATE, "203.0.114.0/24"]`` adds to the default.
            allow: Likewise; what is here counts more than ``deny``.
            trust_proxies: See the class.

        Raises:
            InvalidRequest: One of them is neither a network nor an address.
        """
        self.deny = _networks("deny", deny)
        self.allow = _networks("allow", allow)
        self.trust_proxies = trust_proxies

    def check(self, host: str, address: Address) -> None:
        """Judge an address that is about to be dialled.

        Args:
            host: The host that was asked for.
            address: One of its addresses.

        Raises:
            AddressRefused: It must not be reached.
        """
        ip = ip_address(address.host.partition("%")[0])
        denied = self._denied(ip)
        if denied is not None:
            resolved = "" if host == address.host else f", to which {host} resolves"
            purpose = _PURPOSE_OF.get(denied)
            raise AddressRefused(
                f"the address guard refuses {address.host}{resolved}: it is in {denied}"
                f"{f' ({purpose})' if purpose else ''}; AddressGuard(allow=…) lets it through",
                phase="connect",
            )

    def check_proxied(self, origin: Origin, proxy: Proxy) -> None:
        """Judge a request that is about to go through a proxy.

        Args:
            origin: Whom it is for.
            proxy: Through which.

        Raises:
            AddressRefused: Nobody can tell where it would go, or it must not be reached.
        """
        if not self.trust_proxies:
            raise AddressRefused(
                f"the address guard refuses to send a request for {origin} through the proxy {proxy.url.redacted}, "
                "which would resolve the name and connect unseen; give AddressGuard(trust_proxies=True) if that proxy "
                "guards by itself, or proxy=None",
                phase="connect",
            )
        try:
            ip_address(origin.host.partition("%")[0])
        except ValueError:
            return  # a name, which the proxy resolves
        from reqivo_core import Address

        self.check(origin.host, Address(origin.host, origin.port))

    def _denied(self, ip: IPAddress) -> Network | None:
        """The network for which an address is refused."""
        for form in _forms(ip):
            if any(form in network for network in self.allow if network.version == form.version):
                continue
            for network in self.deny:
                if network.version == form.version and form in network:
                    return network
        return None

    def __repr__(self) -> str:
        return f"<AddressGuard: {len(self.deny)} networks denied, {len(self.allow)} allowed>"


def _networks(name: str, values: Iterable[str]) -> tuple[Network, ...]:
    """Read networks.

    Raises:
        InvalidRequest: One of them is none.
    """
    if isinstance(values, str):
        values = [values]
    try:
        return tuple(ip_network(value, strict=False) for value in values)
    except ValueError as error:
        raise InvalidRequest(f"AddressGuard({name}=…): {error}") from None


def _forms(ip: IPAddress) -> tuple[IPAddress, ...]:
    """An address, and the IPv4 address that it stands for, if any."""
    if isinstance(ip, IPv4Address):
        return (ip,)
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip.sixtofour is not None:
        return (ip, ip.sixtofour)
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1):
        return (ip, IPv4Address(int(ip) & 0xFFFFFFFF))
    return (ip,)
