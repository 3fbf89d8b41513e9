"""The page's files: words of both languages, colours that can be read, nothing that its security policy forbids."""

import importlib
import json
import pkgutil
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from fastapi.testclient import TestClient

import facepool.web
from facepool.errors import FacepoolError
from facepool.gallery.notices import Action
from facepool.liveness.session import MEANINGS
from facepool.web import problems

STATIC = Path(facepool.__file__).parent / "web" / "static"
SAYING = [STATIC.parents[1] / name for name in ("liveness/session.py", "faces/framing.py", "enroll/scan.py")]
SCRIPTS = sorted(STATIC.rglob("*.js"))
LANGUAGES = ("en", "de")
SMALL_BYTES = 380_000
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node to read the page's words")

# What is written on what: foreground, background, least contrast (WCAG 2.2 AA: 4.5 for text, 3 for controls).
READ_ON = [
    ("ink", "bg", 4.5), ("ink", "surface", 4.5), ("ink", "inset", 4.5), ("ink", "hover", 4.5),
    ("ink-2", "bg", 4.5), ("ink-2", "surface", 4.5), ("ink-2", "inset", 4.5),
    ("accent", "bg", 4.5), ("accent", "surface", 4.5), ("accent", "accent-soft", 4.5),
    ("on-accent", "accent-fill", 4.5), ("on-accent", "bad-fill", 4.5),
    ("good", "good-soft", 4.5), ("warn", "warn-soft", 4.5), ("bad", "bad-soft", 4.5), ("bad", "surface", 4.5),
    ("ink", "warn-soft", 4.5), ("ink", "bad-soft", 4.5), ("ink", "accent-soft", 4.5),
    ("control", "surface", 3), ("control", "bg", 3),
]  # fmt: skip


def words(language: str) -> dict[str, object]:
    command = (
        f"import words from '{(STATIC / 'words' / f'{language}.js').as_uri()}'; console.log(JSON.stringify(words))"
    )
    told = subprocess.run(
        ["node", "--input-type=module", "-e", command], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, object] = json.loads(told.stdout)
    return found


def forms(entry: object) -> list[str]:
    return [entry] if isinstance(entry, str) else [str(form) for form in dict(entry).values()]  # type: ignore[call-overload]


@needs_node
def test_both_languages_say_the_same_with_the_same_names_in_it() -> None:
    english, german = words("en"), words("de")
    assert english.keys() == german.keys()
    for key, entry in english.items():
        named = {frozenset(re.findall(r"\{(\w+)\}", form)) - {"n"} for form in [*forms(entry), *forms(german[key])]}
        assert len(named) == 1, key


@needs_node
def test_every_word_that_the_scripts_ask_for_is_there_and_none_is_left_over() -> None:
    english = words("en")
    source = "\n".join(path.read_text("utf-8") for path in SCRIPTS if path.parent.name != "words")
    asked = set(re.findall(r"\bt\(\s*\"([\w.]+)\"", source))
    assert asked <= english.keys()
    literals = set(re.findall(r"\"([\w.]+)\"", source))
    made = re.findall(r"`([\w.]+\.)\$\{[^`]*?\}([\w.]*)`", source)
    left = [
        key
        for key in english
        if key not in literals and not any(key.startswith(head) and key.endswith(tail) for head, tail in made)
    ]
    assert left == []


def subclasses(kind: type[FacepoolError]) -> set[type[FacepoolError]]:
    found = set(kind.__subclasses__())
    return found.union(*(subclasses(one) for one in found))


def error_words(said: list[tuple[str, str]], language: str = "de") -> list[dict[str, str]]:
    """What the page says of messages of the server: of each its code and words."""
    script = f"""
        Object.defineProperty(globalThis, "navigator", {{ value: {{ languages: ["{language}"] }} }});
        globalThis.window = {{}};
        const {{ errorWords }} = await import('{(STATIC / "i18n.js").as_uri()}');
        console.log(JSON.stringify({json.dumps(said)}.map(([code, own]) => errorWords(code, own))));"""
    told = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    found: list[dict[str, str]] = json.loads(told.stdout)
    return found


@needs_node
def test_every_error_of_the_server_has_german_words() -> None:
    """Also those of errors that only some part of the server knows."""
    for module in pkgutil.walk_packages(facepool.web.__path__, "facepool.web."):
        importlib.import_module(module.name)
    codes = sorted({kind.code for kind in subclasses(FacepoolError)} | {FacepoolError.code, *problems._CODES.values()})
    own = "what the server says in English"
    missing = [
        code
        for code, said in zip(codes, error_words([(code, own) for code in codes]), strict=True)
        if said["words"] == own
    ]
    assert missing == []


@needs_node
def test_numbers_and_names_of_the_servers_messages_are_in_the_german_ones(web: TestClient) -> None:
    answers = [
        web.post("/v1/pool/calibrate"),
        web.get("/v1/persons/Bo's friend"),
        web.post("/v1/recognize", content=b"x" * 70_000_000),
    ]
    found = [answer.json() for answer in answers]
    words = error_words([(one["code"], f"{one['message']}: {one['why']}. {one['fix']}") for one in found])
    expected = [
        "Zum Eichen braucht es 64 Personen, und erfasst sind 0.",
        "Niemand heißt Bo's friend.",
        "Angenommen werden 64 MiB",
    ]
    for said, part in zip(words, expected, strict=True):
        assert part in said["words"]
        assert said["detail"] == ""  # nothing is left to be read in English


@needs_node
def test_what_the_page_has_no_words_for_is_said_in_the_servers() -> None:
    said = [("newer", "Own words"), ("config_invalid", "'x' cannot be 3"), ("server_busy", "Busy"), ("", "")]
    assert error_words(said) == [
        {"words": "Own words", "detail": ""},
        {"words": "Eine Einstellung kann so nicht sein. Ändere, was der Server nennt.", "detail": "'x' cannot be 3"},
        {"words": "Der Server ist beschäftigt. Versuche es gleich noch einmal.", "detail": ""},
        {"words": "Das hat nicht geklappt", "detail": ""},
    ]
    assert error_words([("config_invalid", "'x' cannot be 3")], "en") == [{"words": "'x' cannot be 3", "detail": ""}]


@needs_node
def test_whatever_people_are_told_to_do_has_words() -> None:
    told = {
        code
        for path in SAYING
        for code in re.findall(r'(?:Hint\(|^    \()"(\w+)"', path.read_text("utf-8"), re.MULTILINE)
    }
    assert {"turn", "back_to_the_middle", "come_closer", "finish_or_turn"} <= told
    ends = {"live", "not_live"}  # the reason is told instead
    assert {f"hint.{code}" for code in told - ends} <= words("de").keys()
    assert {f"check.reason.{reason}" for reason in MEANINGS} <= words("de").keys()
    assert {f"check.advice.{reason}" for reason in MEANINGS.keys() - {"live"}} <= words("de").keys()


@needs_node
def test_everything_that_the_audit_log_says_has_words() -> None:
    assert {f"audit.{action.replace(' ', '_')}" for action in get_args(Action)} <= words("de").keys()


@needs_node
def test_labels_of_a_crowd_cover_no_face_and_no_other_label() -> None:
    script = f"""
        import {{ arrange }} from '{(STATIC / "placement.js").as_uri()}';
        const wanted = [], sizes = [[80, 24], [22, 17]];
        for (let row = 0; row < 5; row += 1) for (let column = 0; column < 12; column += 1)
          wanted.push({{ box: {{ x: 60 + 50 * column, y: 60 + 62 * row, w: 28, h: 32 }}, sizes }});
        const packed = wanted.map(({{ sizes }}, number) => ({{ box: {{ x: 9 * number, y: 0, w: 9, h: 480 }}, sizes }}));
        console.log(JSON.stringify([
          wanted, arrange(wanted, [720, 480]), arrange(packed, [540, 480]),
          arrange(packed.map((one) => ({{ ...one, optional: true }})), [540, 480]), arrange([], [9, 9]),
        ]));"""
    told = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    wanted, places, packed, left_out, none = json.loads(told.stdout)
    faces = [(one["box"]["x"], one["box"]["y"], one["box"]["w"], one["box"]["h"]) for one in wanted]
    plates = [
        (place["x"], place["y"], *one["sizes"][place["choice"]]) for one, place in zip(wanted, places, strict=True)
    ]

    def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]

    assert all(apart(plate, face) for plate in plates for face in faces)
    assert all(apart(a, b) for row, a in enumerate(plates) for b in plates[:row])
    assert None not in packed
    assert left_out == [None] * len(packed)
    assert none == []


def colours(dark: bool) -> dict[str, str]:
    css = (STATIC / "app.css").read_text("utf-8")
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", css)
    named = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", blocks[0][1]))
    if dark:
        (block,) = [body for name, body in blocks if name.strip() == ':root[data-theme="dark"]']
        named |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
    return named


def luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_everything_that_is_written_can_be_read(dark: bool) -> None:
    found = colours(dark)
    for front, back, least in READ_ON:
        one, other = sorted((luminance(found[front]), luminance(found[back])))
        assert (other + 0.05) / (one + 0.05) >= least, (front, back)


def test_both_ways_to_the_dark_theme_have_the_same_colours() -> None:
    css = (STATIC / "app.css").read_text("utf-8")
    by_system, by_choice = re.findall(r"(?:light\"\]\)|data-theme=\"dark\"\]) \{([^}]*)\}", css)
    assert re.findall(r"--[^;]+;", by_system) == re.findall(r"--[^;]+;", by_choice)


def test_the_page_has_nothing_inline_and_asks_no_other_host() -> None:
    page = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    for path in STATIC.rglob("*"):
        if path.suffix in {".js", ".css", ".html"}:
            text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert re.findall(r"(?:https?:)?//[\w-]+\.[\w.]+", text) == [], path
            assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval)\b", text), path
            assert not re.search(r"setAttribute\(\"style\"|\{ style:(?! \"(percent|unit))", text), path


def test_every_module_that_is_imported_is_there() -> None:
    for path in SCRIPTS:
        for wanted in re.findall(r"from \"(\.[^\"]+)\"", path.read_text("utf-8")):
            assert (path.parent / wanted).resolve().is_file(), (path, wanted)


def test_every_name_of_another_module_is_imported_and_no_other_is() -> None:
    exported = {
        path: set(
            re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", path.read_text("utf-8"), re.MULTILINE)
        )
        for path in SCRIPTS
    }
    for path in SCRIPTS:
        text = path.read_text("utf-8")
        imports = re.findall(r"^import \{([^}]*)\} from \"(.*)\"", text, re.MULTILINE)
        body = re.sub(r"^import .*$", "", text, flags=re.MULTILINE)
        imported = {name.strip() for names, _ in imports for name in names.split(",")} - {""}
        for names, source in imports:
            assert {name.strip() for name in names.split(",")} - {""} <= exported[(path.parent / source).resolve()], (
                path
            )
        assert [name for name in imported if not re.search(rf"\b{name}\b", body)] == [], path
        own = set(re.findall(r"\b(?:function|const|let|class) (\w+)", body)) | set(
            re.findall(r"^ +(?:async )?(\w+)\(", body, re.MULTILINE)
        )
        bound = {
            name.strip().split(":")[-1].strip()
            for group in re.findall(r"[({\[]([\w,: ]+)[)}\]]", body)
            for name in group.split(",")
        }
        called = set(re.findall(r"(?<![.\w\"'`$])(\w+)\(", body))
        anywhere = set().union(*exported.values())
        assert (called & anywhere) - imported - own - bound == set(), path


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < SMALL_BYTES
