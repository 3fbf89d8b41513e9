"""What settings mean to the stages."""

from pathlib import Path

import pytest

from facepool.capture import TurnFinder
from facepool.config import Settings, is_in_environment, load_settings
from facepool.errors import ConfigError
from facepool.faces.detect import DETECTOR_PRESETS, DetectOptions
from facepool.gallery import pool_address


@pytest.fixture(autouse=True)
def _nobody_else_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("facepool.config.default_config", lambda: tmp_path / "none.toml")
    for name in ("FACEPOOL_QUALITY", "FACEPOOL_DETECT_SIZE", "FACEPOOL_WEBHOOK", "FACEPOOL_MQTT", "FACEPOOL_POOL"):
        monkeypatch.delenv(name, raising=False)


def test_quality_is_balanced_unless_somebody_says_otherwise() -> None:
    assert load_settings({}).detect_options() == DetectOptions()


def test_quality_chooses_how_faces_are_sought() -> None:
    assert load_settings({"quality": "best"}).detect_options() == DETECTOR_PRESETS["best"]
    assert load_settings({"quality": "fast", "detect_threshold": 0.3}).detect_options() == DetectOptions(
        size=DETECTOR_PRESETS["fast"].size, threshold=0.3, closer_size=None
    )


def test_a_size_that_is_given_wins_over_the_quality() -> None:
    assert load_settings({"quality": "best", "detect_size": 320}).detect_options() == DetectOptions(
        size=320, closer_size=None
    )


def test_the_environment_and_the_file_choose_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "facepool.toml"
    file.write_text('quality = "fast"\n', encoding="utf-8")
    assert load_settings({}, file).quality == "fast"
    monkeypatch.setenv("FACEPOOL_QUALITY", "best")
    assert load_settings({}, file).quality == "best"


def test_a_quality_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="'quality' cannot be 'superb'"):
        load_settings({"quality": "superb"})


def test_several_addresses_are_a_list_in_the_file_and_stand_apart_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load_settings({}).mqtt == ()
    file = tmp_path / "facepool.toml"
    file.write_text('mqtt = ["mqtt://one", "mqtt://other/faces"]\nwebhook = "http://one/"\n', encoding="utf-8")
    assert load_settings({}, file).mqtt == ("mqtt://one", "mqtt://other/faces")
    assert load_settings({}, file).webhook == ("http://one/",)
    monkeypatch.setenv("FACEPOOL_WEBHOOK", "http://one/ http://other/")
    assert load_settings({}, file).webhook == ("http://one/", "http://other/")
    assert load_settings({"webhook": ("http://third/",)}, file).webhook == ("http://third/",)


def test_pages_of_other_sites_are_what_browsers_call_them() -> None:
    settings = load_settings(
        {
            "allow_origin": ("https://Dash.example:443/lovelace?x=1", "http://10.0.0.7:8123/"),
            "allow_frame": "http://[FD00::1]:80 https://home.example:8123",
        }
    )
    assert settings.allow_origin == ("https://dash.example", "http://10.0.0.7:8123")
    assert settings.allow_frame == ("http://[fd00::1]", "https://home.example:8123")


@pytest.mark.parametrize(
    "address", ["*", "null", "dash.example", "https://*.example", "file:///x", "https://a@b", "http://x:99999"]
)
def test_what_is_no_page_is_not_allowed(address: str) -> None:
    for name in ("allow_origin", "allow_frame"):
        with pytest.raises(ConfigError, match=name):
            load_settings({name: (address,)})


@pytest.mark.parametrize(
    ("given", "kept"), [("", ""), ("/", ""), ("/faces/", "/faces"), ("/home/faces", "/home/faces")]
)
def test_a_path_prefix_has_no_slash_at_its_end(given: str, kept: str) -> None:
    assert load_settings({"path_prefix": given}).path_prefix == kept


@pytest.mark.parametrize("prefix", ["", "/", "home/+", "#"])
def test_what_is_no_topic_is_no_prefix_of_home_assistant(prefix: str) -> None:
    with pytest.raises(ConfigError, match="discovery_prefix"):
        load_settings({"discovery_prefix": prefix})


def no_finder() -> TurnFinder:
    raise AssertionError("nothing is to be found out")


@pytest.mark.parametrize("given", ["180", 180])
def test_degrees_may_be_text_or_a_number(given: object) -> None:
    options = load_settings({"rotate": given}).capture_options(no_finder)
    assert (options.rotate, options.find_turn) == (180, None)


def test_rotation_that_is_to_be_found_out_comes_with_what_finds_it() -> None:
    assert load_settings({"rotate": "auto"}).capture_options(no_finder).find_turn is no_finder


@pytest.mark.parametrize("given", ["45", 45, "sideways", True])
def test_a_rotation_that_is_no_quarter_turn_is_refused(given: object) -> None:
    with pytest.raises(ConfigError, match="'rotate' cannot be"):
        load_settings({"rotate": given})


def test_a_pool_is_a_file_or_a_database_wherever_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACEPOOL_POOL", raising=False)
    file = tmp_path / "facepool.toml"
    file.write_text('pool = "postgresql://ada:hunter2@db/faces"\n', encoding="utf-8")
    assert load_settings({}, file).pool == pool_address("postgresql://ada:hunter2@db/faces")
    monkeypatch.setenv("FACEPOOL_POOL", "postgresql://db/other")
    assert load_settings({}, file).pool == pool_address("postgresql://db/other")
    assert load_settings({"pool": "pool.db"}, file).pool == Path("pool.db")
    assert load_settings({"pool": tmp_path}, file).pool == tmp_path


def test_settings_show_no_password_of_the_pool_and_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEPOOL_POOL", raising=False)
    settings = load_settings({"pool": "postgresql://ada:hunter2@db/faces"})
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in shown
    assert "ada:***@db/faces" in shown
    assert Settings.model_validate(settings.model_dump()).pool == settings.pool  # as the server does for each change


@pytest.mark.parametrize("pool", ['"postgresql://ada:hun@ter2@db/faces"', '{password = "hunter2"}', "[]", "5"])
def test_a_pool_that_cannot_be_read_is_refused_and_not_shown(tmp_path: Path, pool: str) -> None:
    file = tmp_path / "facepool.toml"
    file.write_text(f"pool = {pool}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="pool") as refused:
        load_settings({}, file)
    assert "ter2" not in f"{refused.value!r} {refused.value} {refused.value.__cause__}"


def test_a_secret_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "pool"
    secret.write_text("postgresql://ada:hunter2@db/faces\n", encoding="utf-8")
    monkeypatch.setenv("FACEPOOL_POOL_FILE", str(secret))
    assert load_settings({}).pool == pool_address("postgresql://ada:hunter2@db/faces")
    assert is_in_environment("pool")
    cameras = tmp_path / "cameras"
    cameras.write_text("Door=rtsp://ada:hunter2@door/1\nHall=1\n", encoding="utf-8")
    monkeypatch.setenv("FACEPOOL_CAMERA_FILE", str(cameras))
    assert load_settings({}).camera == ("Door=rtsp://ada:hunter2@door/1", "Hall=1")
    monkeypatch.setenv("FACEPOOL_KEY_FILE", str(secret))
    assert load_settings({}).key_file == secret  # a setting of that name


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 70000, "long")]
)
def test_a_secret_that_cannot_be_used_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, why: str
) -> None:
    secret = tmp_path / "pool"
    if content is not None:
        secret.write_bytes(content)
    monkeypatch.setenv("FACEPOOL_POOL_FILE", str(secret))
    with pytest.raises(ConfigError, match=why) as refused:
        load_settings({})
    assert "FACEPOOL_POOL_FILE" in str(refused.value)
    assert "xxx" not in str(refused.value)


def test_a_value_and_a_file_for_one_setting_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEPOOL_POOL", str(tmp_path / "pool.db"))
    monkeypatch.setenv("FACEPOOL_POOL_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigError, match="FACEPOOL_POOL and FACEPOOL_POOL_FILE"):
        load_settings({})
