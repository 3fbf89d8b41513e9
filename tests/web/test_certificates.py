"""The certificate that a server signs itself: for whom it is, who may read it, and when it is made anew."""

import ipaddress
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from facepool.errors import NotWritable
from facepool.web.certificates import addresses_in_network, certificate_beside, keep_certificate, names_of_machine

NAMES = ["192.168.0.7", "box", "box.local", "localhost", "127.0.0.1", "::1"]
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return certificate_beside(tmp_path / "pool.db")


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(path: Path) -> set[str]:
    names = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def test_it_is_for_this_machine_and_for_a_server_alone(path: Path) -> None:
    keep_certificate(path, NAMES, NOW)
    assert path.name == "pool.server.pem"
    assert names_of(path) == set(NAMES)
    extensions = read(path).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_phones_take_it_for_as_long_as_it_is_valid(path: Path) -> None:
    kept = keep_certificate(path, NAMES, NOW)
    certificate = read(path)
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc == kept.ends
    assert timedelta(days=365) < kept.ends - certificate.not_valid_before_utc < timedelta(days=825)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_its_owner_may_read_it(path: Path) -> None:
    keep_certificate(path, NAMES, NOW)
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_kept_from_start_to_start(path: Path) -> None:
    first = keep_certificate(path, NAMES, NOW)
    again = keep_certificate(path, NAMES[1:], NOW + timedelta(days=700))
    assert (first.new, again.new, again.fingerprint) == (True, False, first.fingerprint)


def test_it_is_made_anew_before_it_ends(path: Path) -> None:
    first = keep_certificate(path, NAMES, NOW)
    again = keep_certificate(path, NAMES, first.ends - timedelta(days=29))
    assert again.new
    assert again.fingerprint != first.fingerprint
    assert again.ends > first.ends


def test_it_is_made_anew_for_another_address_and_then_is_for_both(path: Path) -> None:
    keep_certificate(path, NAMES, NOW)
    other = keep_certificate(path, ["10.0.0.7", *NAMES[1:]], NOW)
    assert other.new
    assert names_of(path) == {"10.0.0.7", *NAMES}
    assert not keep_certificate(path, NAMES, NOW).new


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_cannot_be_used_is_made_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert keep_certificate(path, NAMES, NOW).new
    assert names_of(path) == set(NAMES)


def test_a_certificate_without_its_key_is_made_anew(path: Path, tmp_path: Path) -> None:
    keep_certificate(path, NAMES, NOW)
    keep_certificate(tmp_path / "other.pem", NAMES, NOW)
    key, mark, certificate = path.read_text().partition("-----BEGIN CERTIFICATE-----")
    other = (tmp_path / "other.pem").read_text().partition(mark)[2]
    for content in (certificate, key + mark + other):
        path.write_text(content)
        assert keep_certificate(path, NAMES, NOW).new


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match=r"pool\.server\.pem|file"):
        keep_certificate(tmp_path / "file" / "pool.server.pem", NAMES, NOW)


def test_the_machine_has_names_that_are_its_own() -> None:
    names = names_of_machine()
    assert {"localhost", "127.0.0.1", "::1"} < set(names)
    assert len(names) == len(set(names))
    for address in addresses_in_network():
        assert address in names
        assert not ipaddress.ip_address(address).is_loopback
