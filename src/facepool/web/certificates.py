"""A certificate that a server signs itself, for a network in which nobody else would: ``facepool serve --tls auto``.

`keep_certificate` makes it beside the pool, for the names and addresses of this machine, and makes it anew before it
ends or when the machine has got another address.
"""

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facepool.files import PRIVATE, storage_errors, write_whole
from facepool.gallery.address import PoolAddress, beside

_VALID_DAYS = 800
"""Apple's systems refuse certificates that are valid for more than 825."""

_RENEW_DAYS = 30
_MOST_OTHERS = 20
_LONGEST_COMMON_NAME = 64
_ADDRESS_OF_INTERFACE = 0x8915
_ELSEWHERE = ("192.0.2.1", 9)
_OF_CONTAINERS = ("docker", "br-", "veth", "virbr")
"""How interfaces are called that lead to no phone, and come and go."""


@dataclass(frozen=True, slots=True)
class KeptCertificate:
    """A certificate of this server's own.

    Attributes:
        path: PEM with the key and the certificate, readable by its owner only.
        fingerprint: SHA-256 of the certificate, as browsers show it.
        ends: Until when it is valid, in UTC.
        new: It was made just now.
    """

    path: Path
    fingerprint: str
    ends: datetime
    new: bool


def certificate_beside(pool: PoolAddress) -> Path:
    """Where the certificate of a server is: ``pool.db`` has ``pool.server.pem``."""
    return beside(pool, ".server.pem")


def keep_certificate(path: Path, names: Sequence[str], now: datetime | None = None) -> KeptCertificate:
    """The certificate that is kept in a file, made or made anew if need be.

    A new one is also for the names and addresses that the one before it was for: a machine that goes to and fro between
    two networks keeps it.

    Args:
        path: The file.
        names: Names and addresses of this machine.
        now: In UTC; for tests.

    Raises:
        NotWritable: The file cannot be made.
        DiskFull: Likewise.
    """
    now = now or datetime.now(UTC)
    kept = _read(path)
    known = _names_of(kept) if kept is not None else []
    if kept is not None and set(names) <= set(known) and now < kept.not_valid_after_utc - timedelta(days=_RENEW_DAYS):
        return _described(path, kept, new=False)
    others = [name for name in known if name not in names][:_MOST_OTHERS]
    key = ec.generate_private_key(ec.SECP256R1())
    made = _signed(key, [*names, *others], now)
    unencrypted = serialization.NoEncryption()
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    with storage_errors(path):
        write_whole(path, key_pem + made.public_bytes(serialization.Encoding.PEM), PRIVATE)
    return _described(path, made, new=True)


def names_of_machine() -> list[str]:
    """The names and addresses under which this machine may be asked, the ones in the network before the loopback's."""
    name = socket.gethostname()
    names = [name] if "." in name else [name, f"{name}.local"]  # which mDNS answers to in home networks
    usable = [name for name in names if name and name.isascii()]
    return list(dict.fromkeys([*addresses_in_network(), *usable, "localhost", "127.0.0.1", "::1"]))


def addresses_in_network() -> list[str]:
    """The addresses that others may reach this machine at, the one that it goes out by first.

    Those of IPv4 only: of IPv6, a machine has several, and most take new ones every day.
    """
    found = [*_outgoing(), *_of_interfaces(), *_by_name()]
    return list(dict.fromkeys(address for address in found if _reaches_others(address)))


def _outgoing() -> Iterator[str]:
    """Where a packet would leave; none is sent."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE)
        yield probe.getsockname()[0]


def _of_interfaces() -> Iterator[str]:
    """The addresses of Linux's interfaces, whose name may lead to none of them."""
    if sys.platform != "linux":
        return
    from fcntl import ioctl  # noqa: PLC0415 -- Windows has none

    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for name in (name for _, name in socket.if_nameindex() if not name.startswith(_OF_CONTAINERS)):
            with suppress(OSError):  # one without an address
                told = ioctl(probe.fileno(), _ADDRESS_OF_INTERFACE, struct.pack("256s", name.encode()[:15]))
                yield socket.inet_ntoa(told[20:24])


def _by_name() -> Iterator[str]:
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM):
            yield str(address[0])


def _reaches_others(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)


def _read(path: Path) -> x509.Certificate | None:
    """The certificate of a file; None if there is none that can be used with its key."""
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, None)
    except (OSError, ValueError, TypeError):
        return None
    return certificate if key.public_key() == certificate.public_key() else None


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = map(str, alternatives.get_values_for_type(x509.IPAddress))
    return [*alternatives.get_values_for_type(x509.DNSName), *addresses]


def _signed(key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime) -> x509.Certificate:
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"facepool on {socket.gethostname()}"[:_LONGEST_COMMON_NAME])]
    )
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # for clocks that are slow
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([*map(_general_name, names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _described(path: Path, certificate: x509.Certificate, *, new: bool) -> KeptCertificate:
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return KeptCertificate(path, fingerprint, certificate.not_valid_after_utc, new)
