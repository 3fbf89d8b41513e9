"""The page in a real Chromium, with a camera that shows a rendered head: register, see the name live, rename, erase."""

import base64
import importlib.util
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cv2
import httpx
import numpy as np
import pytest

from facepool import open_pool, read_image
from facepool.types import Pose
from support.commands import Commands
from support.ports import free_port
from support.synthetic_camera import Shot, SyntheticCamera, SyntheticHead, head_circle

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or importlib.util.find_spec("playwright") is None,
        reason="needs Chromium (Debian's package chromium) and playwright",
    ),
]

DESKTOP, PHONE, SMALL_PHONE = (1280, 800), (390, 844), (320, 568)
PAGES = ("register", "live", "people", "people/Ada", "unknown", "photo", "activity", "settings")
ELSEWHERE = "facepool.test"
"""A name of this machine that browsers do not take for their own."""
DASHBOARD = free_port()
PATIENCE_MS = 40_000
_PATIENCE_S = 60
_HELD = 3
"""Frames of the film that each pose is held for: Chromium plays 30 a second, and a busy machine looks at few."""

# What a screen reader cannot name, or would read wrongly; each line tells what and where.
UNNAMED = """() => {
  const bad = [];
  const shown = (e) => e.checkVisibility() && !e.closest("[aria-hidden=true]");
  const labelled = (e) => e.labels && [...e.labels].some((label) => label.textContent.trim());
  const named = (e) => e.getAttribute("aria-label") || e.textContent.trim() || labelled(e)
    || [...e.querySelectorAll("img[alt], [aria-label]")].some((x) => x.alt || x.getAttribute("aria-label"));
  for (const e of document.querySelectorAll("a[href], button, input, select, textarea, [role=button]"))
    if (shown(e) && !named(e)) bad.push("no name: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("img:not([alt])")) bad.push("no alt: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]"))
    for (const id of [e.getAttribute("aria-describedby"), e.getAttribute("aria-labelledby")])
      if (id && !document.getElementById(id)) bad.push("points nowhere: " + id);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("id twice: " + id);
  for (const what of ["h1", "main", "nav"])
    if (document.querySelectorAll(what).length !== 1) bad.push("not one " + what);
  const levels = [...document.querySelectorAll("h1, h2, h3")].filter(shown).map((e) => Number(e.tagName[1]));
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) bad.push("heading skips to h" + level); });
  if (!["en", "de"].includes(document.documentElement.lang)) bad.push("no language");
  return bad;
}"""


# What a finger does not hit, or what reaches beyond the screen. A label belongs to its switch, a row to its control.
HARD_TO_HIT = """() => {
  const bad = [];
  const of = (e) => (e.matches("input[type=checkbox], input[type=radio]") ? e.closest("label, .row") : e);
  for (const e of document.querySelectorAll("a[href], button, input, select, summary")) {
    if (!e.checkVisibility() || e.closest(".skip, .visually-hidden, svg")) continue;
    const { width, height, left, right } = of(e).getBoundingClientRect();
    const what = `${e.tagName} ${e.textContent.trim().slice(0, 30)}`;
    if (width && Math.min(width, height) < 43.5) bad.push(`${what}: ${width} by ${height}`);
    if (width && (left < -1 || right > innerWidth + 1)) bad.push(`${what}: from ${left} to ${right}`);
  }
  return bad;
}"""
# A head that does what the page is told, a little at a time, and more slowly once it is told that; of each direction
# there are frames from straight ahead on.
ACTOR = """
const act = { told: null, way: 0, at: 0, slow: 1, tick: 0 };
const images = FRAMES.map((src) => Object.assign(new Image(), { src }));
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...where) {
    super(...where);
    this.addEventListener("message", (event) => (act.told = JSON.parse(event.data)));
  }
};
navigator.mediaDevices.getUserMedia = async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
  const pen = canvas.getContext("2d");
  setInterval(() => {
    if (["more_slowly", "few_pictures"].includes(act.told?.hint?.code)) act.slow = 3;
    if (++act.tick % act.slow) return;
    const angle = act.told?.hint?.angle_deg ?? null;
    const way = angle === null ? act.way : Math.round(angle / 45) % 8;
    if (act.at === 0) act.way = way;
    const nearer = angle !== null && act.way === way ? 1 : -1;
    act.at = Math.max(0, Math.min(COUNT - 1, act.at + nearer));
    pen.drawImage(images[act.way * COUNT + act.at], 0, 0);
  }, 90);
  return canvas.captureStream(15);
};
"""
ACTED = 9
"""Frames of each direction."""
LONG_NAME = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@dataclass
class Visit:
    """A page, and everything that went wrong in it."""

    page: "Page"
    address: str
    troubles: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    @property
    def unexpected(self) -> list[str]:
        """The troubles that no test has announced."""
        return [trouble for trouble in self.troubles if not any(known in trouble for known in self.expected)]

    def go(self, where: str) -> None:
        self.page.goto(f"{self.address}/#/{where}")
        self.page.wait_for_selector(f"main[data-shows='#/{where}']")


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, head_of: Callable[[str], SyntheticHead]) -> Path:
    """A film of a head that looks straight ahead and round in a circle, again and again, as Chromium wants it."""
    path = tmp_path_factory.mktemp("camera") / "head.mjpeg"
    poses = [*head_circle(28, 80, still=25), *[Pose(0, 0, 0)] * 5]
    with path.open("wb") as film:
        for frame in SyntheticCamera(head_of("person_a_2"), poses):
            _, data = cv2.imencode(".jpg", frame.image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
            film.write(_HELD * data.tobytes())
    return path


@pytest.fixture
def address(facepool: Commands, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server with an empty pool, started with the further flags of the test's parameter."""
    port = free_port()
    server = facepool.start("-m", "facepool", "serve", "--port", str(port), "--no-open", *getattr(request, "param", []))
    try:
        _wait(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=_PATIENCE_S)


def _wait(address: str, server: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        assert server.poll() is None, server.communicate()
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail("the server did not become ready")


@pytest.fixture(scope="module")
def chromium(camera: Path) -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags.append(f"--use-file-for-fake-video-capture={camera}")
    flags.append(f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: "Browser", address: str) -> Iterator[Callable[..., Visit]]:
    """Opens the page in a fresh browser, and fails if anything in it complained or asked another host."""
    contexts: list[Any] = []
    visits: list[Visit] = []

    def open_page(size: tuple[int, int] = DESKTOP, locale: str = "en-GB", scheme: str = "light") -> Visit:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale=locale,
            color_scheme="dark" if scheme == "dark" else "light",
            permissions=["camera"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        found = Visit(page, address)
        page.on("console", lambda said: found.troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: found.troubles.append(str(error)))
        page.on("request", lambda sent: _check_host(sent.url, found))
        visits.append(found)
        return found

    yield open_page
    for context in contexts:
        context.close()
    assert [
        trouble for one in visits for trouble in one.troubles if not any(known in trouble for known in one.expected)
    ] == []


def _check_host(url: str, found: Visit) -> None:
    if not url.startswith((found.address, "blob:", "data:")):
        found.troubles.append(f"asked {url}")


def register(visit: Visit, name: str) -> None:
    page = visit.page
    if "#" not in page.url:
        visit.go("register")
    page.click("nav a[href='#/register']")
    page.fill("input[name=person]", name)
    page.click("form button[type=submit]")
    page.wait_for_selector("dialog, .hint")  # the camera is asked for first
    if page.locator("dialog").count():
        agree(page)
    page.wait_for_selector(".facts")


def agree(page: "Page") -> None:
    go = page.locator("dialog button[type=submit]")
    assert go.is_disabled()
    page.check("dialog input[type=checkbox]")
    go.click()


def test_register_through_the_ring_see_the_name_live_rename_and_erase(
    visit: Callable[..., Visit], facepool: Commands
) -> None:
    opened = visit()
    page = opened.page
    page.goto(opened.address)
    page.wait_for_url("**/#/register")  # nobody is there yet
    register(opened, "Ada")
    assert page.inner_text(".facts dd >> nth=0") == "12/12"
    assert page.locator(".side.near, .side.far").count() == 12
    page.click("text=Save Ada")
    page.wait_for_selector("text=Ada is registered")
    with open_pool(facepool.pool) as pool:
        assert [person.name for person in pool.people()] == ["Ada"]
        assert 8 <= len(pool.templates("Ada")) <= 16
        assert pool.template_ids_with_image("Ada") == {template.id for template in pool.templates("Ada")}

    page.click("text=See it live")
    page.click("text=Start watching")
    page.wait_for_selector(".present a:text-is('Ada')")
    page.click("text=Stop")

    opened.go("activity")
    page.wait_for_selector(".day a:text-is('Ada')")
    page.wait_for_selector(".day .badge", state="detached")
    assert page.locator(".day li").count() == 1  # one visit, whatever happened in it

    opened.go("people")
    page.click("a.person")
    page.click("button:text-is('Rename')")
    page.fill("dialog input[name=name]", "Ada Lovelace")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("h1:text-is('Ada Lovelace')")
    page.click("button:text-is('Erase')")
    page.click("dialog button:text-is('Erase everything')")
    page.wait_for_selector("text=Nobody is registered yet")
    with open_pool(facepool.pool) as pool:
        assert pool.people() == []
    assert httpx.get(f"{opened.address}/v1/activity", params={"person": "Ada Lovelace"}).json() == {"entries": []}


def test_a_side_is_redone_and_who_looks_alike_is_asked_about(visit: Callable[..., Visit], facepool: Commands) -> None:
    opened = visit(PHONE, locale="de-DE", scheme="dark")
    page = opened.page
    register(opened, "Ada")
    page.locator(".side").nth(3).press("Enter")
    page.wait_for_selector(".facts", state="detached")
    page.wait_for_selector(".facts")  # the head comes round again
    page.click("text=Ada sichern")
    page.wait_for_selector("text=Ada ist erfasst")
    register(opened, "Bob")
    save = page.locator("button:has-text('Bob sichern')")
    assert save.is_disabled()
    page.click("text=Verschiedene Personen")
    save.click()
    page.wait_for_selector("text=Bob ist erfasst")
    with open_pool(facepool.pool) as pool:
        assert pool.look_alikes() == {frozenset(("Ada", "Bob"))}
    opened.go("people")
    page.wait_for_selector("text=Zwei Personen sehen sich ähnlich")


def acting(head: SyntheticHead) -> str:
    """A script that puts such a head before a page's camera."""
    camera, frames = SyntheticCamera(head, []), []
    for angle in np.radians(np.arange(0, 360, 45)):
        for share in np.linspace(0, 1, ACTED):
            pose = Pose(float(16 * share * np.cos(angle)), float(18 * share * np.sin(angle)), 0)
            _, data = cv2.imencode(".jpg", camera.take(Shot(pose)), [cv2.IMWRITE_JPEG_QUALITY, 88])
            frames.append(f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}")
    return ACTOR.replace("FRAMES", json.dumps(frames)).replace("COUNT", str(ACTED))


@pytest.mark.parametrize("address", [["--require-live"]], indirect=True, ids=["require-live"])
def test_somebody_shows_that_they_are_there_and_is_named(
    visit: Callable[..., Visit], facepool: Commands, photos: Path, head_of: Callable[[str], SyntheticHead]
) -> None:
    facepool("register", "Ada", str(photos / "person_a_1.jpg"))
    opened = visit(PHONE, locale="de-DE")
    page = opened.page
    page.add_init_script(acting(head_of("person_a_2")))
    opened.go("photo")
    page.click("a:has-text('Ist jemand wirklich da?')")
    page.wait_for_selector("h1:text-is('Ist jemand wirklich da?')")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(HARD_TO_HIT) == []
    page.click("button:has-text('Los')")
    agree(page)
    page.wait_for_selector("h2:has-text('Es ist Ada')")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.getElementById('announcer').textContent") == "Es ist Ada"
    assert page.locator(".side.near").count() >= 2
    assert page.evaluate("document.activeElement.textContent") == "Noch einmal"
    page.keyboard.press("Enter")
    page.click("summary:has-text('Mit einem Foto vergleichen')")
    page.set_input_files("#check-photo", photos / "person_b_1.jpg")
    page.wait_for_selector("img[alt='Mit einem Foto vergleichen']")
    opened.go("live")
    page.click("text=Zusehen")
    page.wait_for_selector("[role=alert] a:has-text('Ist jemand wirklich da?')")
    opened.go("register")
    page.fill("input[name=person]", "Bo")
    page.click("button:has-text('Los')")
    page.click("[role=alert] a:has-text('Ist jemand wirklich da?')")
    page.wait_for_selector("label:has-text('nur wenig drehen')")


@pytest.mark.parametrize("address", [["--keep-unknown", "--keep-recognized"]], indirect=True, ids=["keeping"])
def test_a_stranger_is_named_with_keys_taken_back_corrected_and_forgotten(
    visit: Callable[..., Visit], facepool: Commands, photos: Path
) -> None:
    opened = visit()
    page = opened.page
    opened.go("live")
    page.click("text=Start watching")
    agree(page)
    page.wait_for_selector(".present >> text=Somebody unknown")
    page.wait_for_selector(".present button:text-is('Who is it?')")  # there are faces of them by now
    page.click("button:text-is('Stop')")

    opened.go("unknown")
    page.wait_for_selector("article h2:text-is('Stranger 1')")
    assert page.evaluate(UNNAMED) == []
    page.keyboard.press("i")
    page.wait_for_selector("text=Nobody unknown was seen yet")
    page.keyboard.press("z")
    page.wait_for_selector("article h2:text-is('Stranger 1')")
    page.keyboard.press("1")
    page.fill("dialog input[name=person]", "Ada")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Stranger 1 is now Ada')")
    with open_pool(facepool.pool) as pool:
        assert [person.name for person in pool.people()] == ["Ada"]
    opened.go("activity")
    page.wait_for_selector(".day .row:has(a:text-is('Ada')):has-text('named later')")

    page.click("button:text-is('Not Ada?')")
    page.click("dialog button:has-text('nobody known')")
    page.wait_for_selector(".effects li")  # what it changes is shown before it does
    assert page.locator(".day a:text-is('Ada')").count() == 1
    page.click("dialog button:text-is('Correct it')")
    page.wait_for_selector(".day .row:has-text('Somebody unknown'):has-text('corrected')")
    page.click(".toast:has-text('Corrected') button:text-is('Undo')")
    page.wait_for_selector(".day a:text-is('Ada')")

    with open_pool(facepool.pool) as pool:
        (seen,) = pool.inbox.sightings(person="Ada")
        assert pool.inbox.suggest(pool.inbox.faces([seen.id])[seen.id].ids[-1], "Ada", 0.7, "pose 4 3")
    opened.go("people/Ada")
    page.wait_for_selector("#suggested-heading")
    page.click(".row:has-text('from another side') button:text-is('No')")
    page.click(".toast:has-text('Not stored') button")
    page.wait_for_selector(".row:has-text('from another side') button:has-text('Yes, Ada')")

    page.click("text=Add notes or tags")
    page.fill("dialog textarea", "Has the key\nof the garden")
    page.fill("dialog input[name=tags]", "family, garden, family")
    page.click("dialog button[type=submit]")
    page.click(".tags a:text-is('garden')")
    page.wait_for_selector("a.person:has-text('Ada')")

    opened.go("unknown")
    page.click("button:text-is('Stop keeping') >> nth=0")
    page.click("dialog button:text-is('Stop keeping')")
    page.wait_for_selector("h2:text-is('Keep unknown people?')")
    kept = httpx.get(f"{opened.address}/v1/unknown").json()["kept"]
    assert httpx.get(f"{opened.address}/v1/settings").json()["keep_unknown"] is False
    assert kept["days"] == 14


def test_photos_are_added_and_tried(visit: Callable[..., Visit], photos: Path) -> None:
    opened = visit()
    page = opened.page
    opened.go("people")
    page.click("text=Add from photos")
    page.fill("dialog input[name=person]", "Bob")
    page.set_input_files("#photos-input", [photos / "person_b_1.jpg", photos / "CREDITS.md"])  # the second is no photo
    page.click("text=Add 1 photo")
    page.wait_for_selector("text=1 new view of Bob")
    page.click("text=Done")
    page.wait_for_selector("a.person:has-text('Bob')")
    opened.go("photo")
    page.set_input_files("#photo-input", photos / "person_b_2.jpg")
    page.wait_for_selector(".found article a:text-is('Bob')")
    page.click("label:has-text('Compare two')")
    page.set_input_files("#photo-0", photos / "person_b_1.jpg")
    page.set_input_files("#photo-1", photos / "impostor_1.jpg")
    page.wait_for_selector("text=Not shown to be the same person")


def test_many_photos_are_named_at_once(visit: Callable[..., Visit], facepool: Commands, photos: Path) -> None:
    opened = visit(PHONE)
    page = opened.page
    opened.go("photo")
    page.click("label:has-text('Name many')")
    page.set_input_files("#group-input", [photos / f"person_{who}_{number}.jpg" for number in (1, 2) for who in "ab"])
    page.wait_for_selector("h2:has-text('4 faces, 2 people')")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(HARD_TO_HIT) == []
    page.locator(".groups input").nth(0).fill("One")
    page.keyboard.press("Enter")
    page.keyboard.type("Other")
    page.click("button:text-is('Register 4 faces of 2 people')")
    page.wait_for_selector(".toast:has-text('new views were stored')")
    with open_pool(facepool.pool) as pool:
        assert {person.name for person in pool.people()} == {"One", "Other"}


def test_many_people_are_loaded_as_one_scrolls_and_found_by_how_their_names_begin(
    visit: Callable[..., Visit], facepool: Commands
) -> None:
    with open_pool(facepool.pool) as pool:
        pool.add(
            (), None, (), [f"{first} {number:02}" for first in ("Ada", "Bob", "Zoë Lovelace") for number in range(50)]
        )
    opened = visit(size=PHONE)
    page, cards = opened.page, opened.page.locator("a.person")
    opened.go("people")
    page.wait_for_selector("text=150 people")
    page.wait_for_selector("a.person")
    assert cards.count() < 150
    while cards.count() < 150:
        before = cards.count()
        cards.last.scroll_into_view_if_needed()
        page.wait_for_selector(f"li:nth-child({before + 1}) a.person", state="attached")
    assert page.locator("button:has-text('Show more')").is_hidden()
    for typed, found in (("ZOË", "50 people"), ("lovelace 0", "10 people"), ("nobody", "Nobody is called that.")):
        page.fill("input[type=search]", typed)
        page.wait_for_selector(f"p[role=status]:has-text('{found}')")
    page.fill("input[type=search]", "bob 07")
    page.wait_for_selector("p[role=status]:has-text('1 person')")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Bob 07')")
    page.click("button:has-text('Merge into')")
    page.fill("dialog input[name=target]", "zo")
    page.wait_for_selector("dialog datalist option[value='Zoë Lovelace 00']", state="attached")
    page.fill("dialog input[name=target]", "Zoë Lovelace 00")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("h1:has-text('Zoë Lovelace 00')")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_every_page_can_be_used_with_keys_and_screen_readers(
    visit: Callable[..., Visit], photos: Path, size: tuple[int, int]
) -> None:
    opened = visit(size)
    page = opened.page
    sent = httpx.post(
        f"{opened.address}/v1/persons/Ada/samples", files={"file": (photos / "person_a_1.jpg").read_bytes()}
    )
    assert sent.json()["stored"] == 1
    for where in PAGES:
        opened.go(where)
        assert page.evaluate(UNNAMED) == [], where
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{where} is wider than the screen"
        assert page.evaluate("document.activeElement.tagName") == "H1", where  # who navigates is read what came
        assert "facepool" in page.title()
    page.keyboard.press("Tab")
    page.evaluate("document.querySelector('.skip').focus()")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.click("label:has-text('Deutsch')")
    page.wait_for_selector("h1:text-is('Einstellungen')")
    assert page.evaluate("document.documentElement.lang") == "de"
    page.click("label:has-text('Dunkel')")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 19, 21)"


@pytest.mark.parametrize(("size", "locale"), [(SMALL_PHONE, "de-DE"), (PHONE, "en-GB")])
def test_fingers_hit_everything_on_a_phone_and_no_name_is_too_long(
    visit: Callable[..., Visit], photos: Path, size: tuple[int, int], locale: str
) -> None:
    opened = visit(size, locale)
    page = opened.page
    picture = (photos / "person_a_1.jpg").read_bytes()
    assert httpx.post(f"{opened.address}/v1/persons/{LONG_NAME}/samples", files={"file": picture}).json()["stored"] == 1
    for where in PAGES:
        opened.go(where.replace("Ada", quote(LONG_NAME)))
        assert page.evaluate(HARD_TO_HIT) == [], where
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{where} is wider than the screen"


@pytest.mark.parametrize("size", [SMALL_PHONE, DESKTOP])
@pytest.mark.parametrize("address", [["--require-keys"]], indirect=True)
def test_where_the_camera_cannot_work_it_says_why_and_asks_for_no_consent(
    visit: Callable[..., Visit], facepool: Commands, size: tuple[int, int]
) -> None:
    key = next(word for word in facepool("keys", "add", "Phone", "--role", "enroll").out.split() if word[:3] == "fp_")
    opened = visit(size)
    opened.address = opened.address.replace("127.0.0.1", ELSEWHERE)
    opened.expected = ("401 (Unauthorized)", "Cross-Origin-Opener-Policy")  # the browser ignores it without https
    page = opened.page
    page.goto(opened.address)
    page.fill("input[type=password]", key)
    page.click("button[type=submit]")
    page.wait_for_selector("nav")
    opened.go("live")
    page.wait_for_selector("text=The camera needs a secure address")
    assert "--tls auto" in page.inner_text(".view")
    start = page.locator("button:has-text('Start watching')")
    start.click()
    view, button = (place.bounding_box() for place in (page.locator(".view"), start))
    assert view is not None
    assert button is not None
    assert button["y"] + button["height"] < view["y"] + view["height"]  # the text above it cuts nothing off
    opened.go("register")
    page.wait_for_selector("text=The camera needs a secure address")
    page.fill("input[name=person]", "Ada")
    page.click("form button[type=submit]")
    assert page.locator("dialog").count() == 0
    page.click("text=Use photos instead")
    assert page.input_value("dialog input[name=person]") == "Ada"


def test_boxes_and_cards_of_many_faces_have_the_same_numbers(visit: Callable[..., Visit], photos: Path) -> None:
    opened = visit()
    page = opened.page
    faces = [cv2.resize(read_image(photos / f"person_{who}_1.jpg"), (240, 300)) for who in "abab"]
    _, crowd = cv2.imencode(".png", cv2.vconcat([cv2.hconcat(faces)] * 3))
    opened.go("photo")
    page.set_input_files("#photo-input", {"name": "crowd.png", "mimeType": "image/png", "buffer": crowd.tobytes()})
    page.wait_for_selector(".found article")
    numbers = page.locator(".found article .box-number").all_inner_texts()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 9


@pytest.mark.parametrize("address", [["--require-keys"]], indirect=True)
def test_who_needs_a_key_signs_in_and_sees_what_the_key_is_for(visit: Callable[..., Visit], facepool: Commands) -> None:
    key = next(word for word in facepool("keys", "add", "Desk", "--role", "recognize").out.split() if word[:3] == "fp_")
    opened = visit()
    opened.expected = ("401 (Unauthorized)",)  # the browser tells of each, some later
    page = opened.page
    page.goto(opened.address)
    page.fill("input[type=password]", "fp_wrong")
    page.click("button[type=submit]")
    page.wait_for_selector("text=This key is not known")
    page.fill("input[type=password]", key)
    page.click("button[type=submit]")
    page.wait_for_selector("nav")
    opened.go("people")
    page.wait_for_selector("text=Nobody is registered yet")
    assert page.locator("text=Register somebody").count() == 0
    opened.go("settings")
    assert page.locator("text=API keys").count() == 0
    page.click("text=Sign out")
    page.wait_for_selector("text=Sign in to facepool")


def test_the_settings_change_the_threshold(visit: Callable[..., Visit], photos: Path) -> None:
    opened = visit()
    page = opened.page
    opened.go("settings")
    page.click("label:has-text('Follows the pool')")
    page.locator("input[type=range]").fill("0.5")
    page.wait_for_selector("text=The threshold is 0.500")
    for size in (DESKTOP, SMALL_PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for value in ("0.3", "0.5"):
            page.locator("input[type=range]").fill(value)
            knob, slider = (page.locator(place).bounding_box() for place in (".knob", "input[type=range]"))
            assert knob is not None
            assert slider is not None
            share = (float(value) - 0.2) / (0.7 - 0.2)
            thumb = 22  # its middle goes from half its width to half its width before the end
            assert knob["x"] + knob["width"] / 2 == pytest.approx(
                slider["x"] + thumb / 2 + share * (slider["width"] - thumb), abs=1.5
            )
    assert httpx.get(f"{opened.address}/v1/settings").json()["threshold"] == 0.5
    page.click("label:has-text('Follows the pool')")
    for _ in range(100):
        if httpx.get(f"{opened.address}/v1/settings").json()["threshold"] is None:
            return
        time.sleep(0.1)
    pytest.fail("the threshold does not follow the pool again")


def test_a_camera_of_the_server_is_added_as_it_hangs(visit: Callable[..., Visit]) -> None:
    opened = visit(PHONE)
    opened.expected = ("404 (Not Found)",)  # there is no picture of it yet
    page = opened.page
    opened.go("settings")
    page.click("text=Add a camera")
    page.fill("dialog input[name=source]", "rtsp://127.0.0.1:9/hall")
    page.fill("dialog input[name=name]", "Hall")
    page.click("dialog summary")
    page.fill("dialog input[name=user]", "admin")
    page.fill("dialog input[name=password]", "p@ss/word")
    page.select_option("dialog select[name=rotate]", "90")
    page.fill("dialog input[name=every]", "7.5")
    page.click("dialog button[type=submit]")
    page.wait_for_selector("a:text-is('Hall')")
    (camera,) = httpx.get(f"{opened.address}/v1/cameras").json()["cameras"]
    assert (camera["name"], camera["rotate"], camera["every"]) == ("Hall", "90", 7.5)
    assert camera["source"] == "rtsp://***@127.0.0.1:9/hall"


def test_the_description_shows_every_operation_and_opens_the_one_that_the_address_names(
    visit: Callable[..., Visit], address: str
) -> None:
    described = httpx.get(f"{address}/openapi.json").json()
    operations = {operation["operationId"] for item in described["paths"].values() for operation in item.values()}
    page = visit().page
    recognize = described["paths"]["/v1/recognize"]["post"]["operationId"]
    page.goto(f"{address}/docs/#{recognize}")
    opened = page.locator("details[open]")
    opened.wait_for()
    assert opened.get_attribute("id") == recognize
    assert f"'{address}/v1/recognize'" in opened.inner_text()
    shown = set(page.eval_on_selector_all("details", "all => all.map((one) => one.id)"))
    assert operations <= shown
    assert {f"schema-{name}" for name in described["components"]["schemas"]} <= shown
    dangling = page.eval_on_selector_all(
        "a[href^='#']", "all => all.filter((a) => !document.getElementById(a.hash.slice(1))).length"
    )
    assert dangling == 0


@contextmanager
def showing(html: str, port: int = 0) -> Iterator[int]:
    """A page of another site, at a port of this machine."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    "address", [["--allow-frame", f"http://{ELSEWHERE}:{DASHBOARD}"]], indirect=True, ids=["framed"]
)
def test_a_dashboard_that_may_shows_the_page_in_a_frame_and_no_other_does(visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.expected = (f"asked http://{ELSEWHERE}", "frame-ancestors", "ERR_BLOCKED")
    frame = f"<iframe src='{opened.address}/#/people' width=1000 height=700></iframe>"
    within = opened.page.frame_locator("iframe").locator("main[data-shows='#/people']")
    with showing(frame, DASHBOARD), showing(frame) as other:
        opened.page.goto(f"http://{ELSEWHERE}:{DASHBOARD}/")
        within.wait_for()
        opened.page.goto(f"http://{ELSEWHERE}:{other}/")
        assert any("frame-ancestors" in trouble for trouble in opened.troubles)
        assert within.count() == 0
