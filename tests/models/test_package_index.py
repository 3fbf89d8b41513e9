import os
from pathlib import Path

import pytest

from facepool.errors import ConfigError
from facepool.models.package_index import IndexConfig, read_index_config

NO_FILES = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


def test_without_any_setting_the_index_client_has_its_default() -> None:
    assert read_index_config(NO_FILES) == IndexConfig()


def test_pips_variables_are_followed() -> None:
    config = read_index_config(
        NO_FILES
        | {
            "PIP_INDEX_URL": "https://main.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://a.example file:///b",
            "PIP_FIND_LINKS": "/wheels",
            "PIP_NO_INDEX": "1",
            "PIP_TRUSTED_HOST": "a.example",
            "PIP_PROXY": "http://proxy.example:8080",
            "PIP_TIMEOUT": "7",
        }
    )
    assert config == IndexConfig(
        index="https://main.example/simple",
        extra_indexes=("https://a.example", "file:///b"),
        find_links=("/wheels",),
        no_index=True,
        trusted_hosts=("a.example",),
        proxy="http://proxy.example:8080",
        timeout_s=7.0,
    )


def test_a_variable_beats_the_file_and_the_install_section_beats_the_global_one(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://file.example\ntimeout = 1\n"
        "[install]\ntimeout = 2\nextra-index-url =\n  https://one.example\n  https://two.example\n"
    )
    config = read_index_config(
        {"PIP_CONFIG_FILE": str(file), "UV_NO_CONFIG": "1", "PIP_INDEX_URL": "https://v.example"}
    )
    assert (config.index, config.timeout_s) == ("https://v.example", 2.0)
    assert config.extra_indexes == ("https://one.example", "https://two.example")


def test_uv_adds_its_indexes_and_its_default_stands_in_for_pips() -> None:
    uv = {"UV_DEFAULT_INDEX": "https://uv.example", "UV_INDEX": "mine=https://x.example https://y.example/?a=b"}
    config = read_index_config(NO_FILES | uv)
    assert config.index == "https://uv.example"
    assert config.extra_indexes == ("https://x.example", "https://y.example/?a=b")
    assert read_index_config(NO_FILES | uv | {"PIP_INDEX_URL": "https://pip.example"}).index == "https://pip.example"


def test_uvs_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "uv.toml"
    file.write_text(
        'find-links = ["/w"]\n[[index]]\nurl = "https://d.example"\ndefault = true\n[[index]]\nurl = "https://e.example"\n'
    )
    config = read_index_config({"PIP_CONFIG_FILE": os.devnull, "UV_CONFIG_FILE": str(file)})
    assert (config.index, config.extra_indexes, config.find_links) == (
        "https://d.example",
        ("https://e.example",),
        ("/w",),
    )


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_bundle_is_taken_over_and_must_exist(tmp_path: Path, variable: str) -> None:
    assert read_index_config(NO_FILES | {variable: str(tmp_path)}).certificates == tmp_path
    with pytest.raises(ConfigError, match="does not exist"):
        read_index_config(NO_FILES | {variable: str(tmp_path / "gone.pem")})


@pytest.mark.parametrize(
    ("variable", "text"), [("PIP_CONFIG_FILE", "index-url = before any section"), ("UV_CONFIG_FILE", "a = [")]
)
def test_a_broken_file_is_named(tmp_path: Path, variable: str, text: str) -> None:
    file = tmp_path / "broken"
    file.write_text(text)
    with pytest.raises(ConfigError, match="broken"):
        read_index_config(NO_FILES | {"UV_NO_CONFIG": "", variable: str(file)})
