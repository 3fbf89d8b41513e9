"""Runs the steps of ``deploy/Containerfile`` in a bare Debian root, starts the server there, and asks it.

    sudo deploy/check DIR            # everything; DIR keeps the roots, and the next run is quicker
    sudo deploy/check DIR --again    # with the image of the last run

It wants root, debootstrap, a Debian mirror (that of apt, or MIRROR=ADDRESS) and a package index (that of pip). The
server runs as the image says: as its user, as process 1, without privileges, on a root that cannot be written to.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from bare_container import Failed, Run, expect, form, free_port, named, portrait, term_under_load, volume  # noqa: E402
from containerfile import Builder, Image, is_root, mounted  # noqa: E402 -- they lie beside this file

if TYPE_CHECKING:
    from support.postgres import PostgresServer

_OWN_MOUNTS = "FACEPOOL_CHECK_MOUNTS"


def main() -> int:
    """Build, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--again", action="store_true", help="take the image of the last run")
    parser.add_argument("--only", action="append", default=[], help="run the checks whose names have this in them")
    options = parser.parse_args()
    if not is_root() or shutil.which("debootstrap") is None:
        print("Only root may run the steps, and debootstrap has to be installed")
        return 2
    if _OWN_MOUNTS not in os.environ:  # what is mounted goes when this ends
        os.environ[_OWN_MOUNTS] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])  # noqa: S606
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not options.again and not options.only:
        shutil.rmtree(folder / "roots", ignore_errors=True)
    image = built(folder, again=options.again)
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        if options.only and not any(part in name for part in options.only):
            continue
        began = time.monotonic()
        try:
            told = check(image, folder)
        except Failed as failure:
            failed += 1
            print(f"FAILED  {name}: {failure}", flush=True)
        else:
            print(f"ok      {name} ({time.monotonic() - began:.1f} s): {told}", flush=True)
    return 1 if failed else 0


def built(folder: Path, *, again: bool) -> Image:
    """The image, from the steps or from the last run."""
    kept = folder / "image.json"
    if again and kept.is_file():
        found = json.loads(kept.read_text())
        return Image(**found | {"root": Path(found["root"])})
    base = folder / "base"
    if not (base / "usr/bin/apt-get").exists():
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", base, mirror()], check=True)
    pip, lent = pips_settings(folder)
    builder = Builder(base, ROOT, folder / "roots", secrets={"pip": pip}, lent=lent)
    began = time.monotonic()
    image = builder.build(ROOT / "deploy" / "Containerfile")
    print(f"The steps took {time.monotonic() - began:.0f} s")
    shutil.rmtree(folder / "roots" / "build")
    kept.write_text(json.dumps({name: getattr(image, name) for name in Image.__slots__}, default=str))
    return image


def mirror() -> str:
    """Where apt takes Debian 12 from."""
    if "MIRROR" in os.environ:
        return os.environ["MIRROR"]
    wanted = ["Created-By: Packages", "Codename: bookworm", "Component: main"]
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted], check=True, capture_output=True, text=True
    )
    return told.stdout.split()[0]


def pips_settings(folder: Path) -> tuple[Path, dict[str, Path]]:
    """This machine's settings of pip as one file, and the files that they name; neither gets into the image."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if told.returncode:  # an environment without pip
        told = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True)
    lent: dict[str, Path] = {}

    def seen(found: re.Match[str]) -> str:
        folder = Path(found[2].removesuffix("/simple"))
        if not folder.exists():
            return found[0]
        place = f"/run/lent/{len(lent)}"
        lent[place] = folder
        return (found[1] or "") + place + found[2].removeprefix(str(folder))

    settings: dict[str, str] = {}
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        words = value.strip("'\"").replace("\\n", " ").split()
        words = [re.sub(r"^(file://)?(/.*)$", seen, word) for word in words]
        settings.setdefault(name.rpartition(".")[2], " ".join(words))  # the environment, which wins, comes first
    path = folder / "pip.conf"
    path.touch(mode=0o600)
    path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return path, lent


# The checks: each says what it saw.


def the_image_has_what_it_needs_and_no_more(image: Image, folder: Path) -> str:
    """Size, user, and that nothing of this machine or of the build got in."""
    del folder
    root = image.root
    size = int(subprocess.run(["du", "-sm", root], capture_output=True, text=True, check=True).stdout.split()[0])
    expect(image.user, "10001:10001", "user")
    for absent in ("etc/pip.conf", "opt/facepool/bin/pip", "usr/bin/gcc", "usr/bin/curl", "src", "root/.config"):
        if (root / absent).exists():
            raise Failed(f"/{absent} is in the image")
    writable = [
        str(path.relative_to(root))
        for top in ("opt", "usr/share/facepool", "usr/local")
        for path in (root / top).rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & 0o022)
    ]
    expect(writable, [], "what the user could change")
    return f"{size} MB, user {image.user}, nothing of it can be changed by that user"


def a_household_on_a_file(image: Image, folder: Path) -> str:
    """Without a key it says what to do; then somebody is enrolled, recognized, and still there after TERM."""
    data, port, log = volume(folder, "household"), free_port(), folder / "household.log"
    volumes = {"/var/lib/facepool": data}
    code, _, err = Run(image, volumes=volumes).once()
    if code != 2 or "facepool keys add" not in err:
        raise Failed(f"without a key it ended with {code}: {err}")
    code, out, err = Run(image, ["keys", "add", "Me", "--role", "admin"], volumes).once()
    expect(code, 0, f"keys add ({err})")
    key = out.split()[0]
    serve = Run(image, [*image.command, "--port", str(port)], volumes)
    with serve.running(port, log, key) as container:
        expect(container.ask("/ready")[0], 200, "/ready")
        health = [
            "nsenter",
            f"--target={container.first}",
            "--mount",
            "--pid",
            f"--root={image.root}",
            *image.health,
            "/ready",
            str(port),
        ]
        told = subprocess.run(health, capture_output=True, text=True, check=False)
        expect(told.returncode, 0, f"health check ({told.stdout}{told.stderr})")
        status, answer = container.ask("/v1/persons/Ada/samples", files={"ada.jpg": portrait(folder)})
        expect(status, 200, f"enrolling ({answer})")
        status, answer = container.ask("/v1/recognize", files={"who.jpg": portrait(folder)})
        expect((status, named(answer)), (200, ["Ada"]), f"recognizing ({answer})")
        memory = container.memory_mb
        container.key = ""
        expect(container.ask("/v1/persons")[0], 401, "without a key")
        container.key = key
        code, took, load = term_under_load(container, portrait(folder))
    with serve.running(port, log, key) as container:
        expect(
            named(container.ask("/v1/recognize", files={"who.jpg": portrait(folder)})[1]), ["Ada"], "after a restart"
        )
        expect(container.end()[0], 0, "exit code")
    left = sorted(path.name for path in data.iterdir())
    ended = f"TERM under load: exit code {code} after {took:.1f} s, {load}"
    return f"enrolled, recognized, {memory} MB of memory; {ended}; the volume has {left}"


def models_that_are_mounted(image: Image, folder: Path) -> str:
    """An image without models says so; with a folder of models in their place it starts, without any network."""
    data, port, log = volume(folder, "mounted"), free_port(), folder / "mounted.log"
    nothing = folder / "volumes" / "nothing"
    nothing.mkdir(exist_ok=True)
    volumes, place = {"/var/lib/facepool": data}, image.environment["FACEPOOL_MODELS_DIR"]
    code, out, _ = Run(image, ["keys", "add", "Me", "--role", "admin"], volumes).once()
    expect(code, 0, "keys add")
    serve = [*image.command, "--port", str(port)]
    code, _, err = Run(image, serve, volumes, {place: nothing}, {"PIP_NO_INDEX": "1"}).once()
    expect((code, "and cannot be put there" in err), (7, True), f"without models ({err})")
    mounted = folder / "volumes" / "models"
    shutil.rmtree(mounted, ignore_errors=True)
    shutil.copytree(image.root / place.removeprefix("/"), mounted)
    run = Run(image, serve, volumes, {place: mounted}, {"PIP_NO_INDEX": "1"})
    with run.running(port, log, out.split()[0]) as container:
        expect(container.ask("/ready")[0], 200, "/ready")
        expect(container.end()[0], 0, "exit code")
    return f"without: exit code 7, {err.splitlines()[0][:90]!r}; with a folder that is mounted: ready"


def an_encrypted_pool_with_its_key_as_a_secret(image: Image, folder: Path) -> str:
    """The key is where compose and Kubernetes mount secrets, readable by a group; nothing on the volume is plain."""
    data, port, log = volume(folder, "encrypted"), free_port(), folder / "encrypted.log"
    key_file = folder / "volumes" / "facepool-key"
    key_file.write_text(os.urandom(32).hex())
    key_file.chmod(0o444)
    volumes, secrets = {"/var/lib/facepool": data}, {"/run/secrets/facepool-key": key_file}
    code, _, err = Run(image, ["pool", "encrypt", "--yes"], volumes, secrets).once()
    expect(code, 0, f"pool encrypt ({err})")
    code, out, _ = Run(image, ["keys", "add", "Me", "--role", "admin"], volumes, secrets).once()
    expect(code, 0, "keys add")
    serve = Run(image, [*image.command, "--port", str(port)], volumes, secrets)
    with serve.running(port, log, out.split()[0]) as container:
        picture = {"ada.jpg": portrait(folder)}
        expect(container.ask("/v1/persons/Ada%20Lovelace/samples", files=picture)[0], 200, "enrolling")
        expect(named(container.ask("/v1/recognize", files=picture)[1]), ["Ada Lovelace"], "recognizing")
        expect(container.end()[0], 0, "exit code")
    plain = [path.name for path in data.rglob("*") if path.is_file() and b"Lovelace" in path.read_bytes()]
    expect(plain, [], "files with the name in them")
    code, _, err = Run(image, ["people", "list"], volumes).once()
    expect((code, "key_needed" in err), (4, True), f"without the key ({err})")
    return "enrolled and recognized; no file of the volume has the name; without the key: exit code 4"


def a_site_on_postgresql(image: Image, folder: Path) -> str:
    """Two servers on a database that `deploy/postgres` has made; all secrets are files."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.postgres import PostgresServer, path_of  # noqa: PLC0415 -- of the tests

    server = PostgresServer()
    try:
        return _with_database(image, folder, server, path_of("psql"))
    finally:
        server.close()


def _with_database(image: Image, folder: Path, server: "PostgresServer", psql: str) -> str:
    secrets = folder / "volumes" / "secrets"
    shutil.rmtree(secrets, ignore_errors=True)
    subprocess.run([ROOT / "deploy" / "make-secrets", secrets], check=True, stdout=subprocess.DEVNULL)
    access = server.folder / "data" / "pg_hba.conf"
    access.write_text(f"host all facepool 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
    server.execute("SELECT pg_reload_conf()")
    made = {
        "PATH": f"{Path(psql).parent}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(server.port),
        "FACEPOOL_PASSWORD_FILE": str(secrets / "facepool-password"),
    }  # fmt: skip
    script = ROOT / "deploy" / "postgres" / "10-facepool.sh"
    subprocess.run([script], env=made, check=True, stdout=subprocess.DEVNULL)
    address = (secrets / "facepool-pool").read_text().replace("@postgres/", f"@127.0.0.1:{server.port}/")
    (secrets / "facepool-pool").write_text(address)
    (secrets / "facepool-admin-key").write_text(os.urandom(32).hex() + "\n")
    read = {f"/run/secrets/{name}": secrets / name for name in ("facepool-pool", "facepool-admin-key")}
    told = {"FACEPOOL_POOL_FILE": "/run/secrets/facepool-pool"}

    def container(words: list[str], number: int) -> Run:
        return Run(image, words, {"/var/lib/facepool": volume(folder, f"site-{number}")}, read, told)

    first = ["keys", "add", "admin", "--role", "admin", "--from", "/run/secrets/facepool-admin-key"]
    both = [
        subprocess.Popen(container(first, number).command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in (1, 2)
    ]
    errors = [one.communicate()[1].decode()[-300:] for one in both]
    expect([one.returncode for one in both], [0, 0], f"two init containers at once ({errors})")
    key = (secrets / "facepool-admin-key").read_text().strip()
    ports = [free_port(), free_port()]
    serve = [container([*image.command, "--port", str(port)], number) for number, port in enumerate(ports, 1)]
    logs = [folder / f"site-{number}.log" for number in (1, 2)]
    picture = {"ada.jpg": portrait(folder)}
    with serve[0].running(ports[0], logs[0], key) as one, serve[1].running(ports[1], logs[1], key) as other:
        expect(one.ask("/v1/persons/Ada/samples", files=picture)[0], 200, "enrolling at the first")
        expect(named(other.ask("/v1/recognize", files=picture)[1]), ["Ada"], "recognizing at the second")
        server.stop("immediate")
        expect((one.ask("/health")[0], one.ask("/ready")[0]), (200, 503), "health, ready without a database")
        server.start()
        until = time.monotonic() + 60
        while one.ask("/ready")[0] != 200 and time.monotonic() < until:
            time.sleep(0.5)
        expect(one.ask("/ready")[0], 200, "ready when it is back")
        secret = address.partition("facepool:")[2].partition("@")[0]
        for container_ in (one, other):
            shown = (
                Path(f"/proc/{container_.first}/environ").read_bytes()
                + Path(f"/proc/{container_.first}/cmdline").read_bytes()
            )
            expect(secret.encode() in shown, False, "the password in the environment or command line")  # noqa: FBT003
        code, took, load = term_under_load(one, portrait(folder))
        expect(named(other.ask("/v1/recognize", files=picture)[1]), ["Ada"], "the second, when the first has gone")
        expect(other.end()[0], 0, "exit code")
    expect([log for log in logs if secret in log.read_text()], [], "logs with the password")
    backup = volume(folder, "backup")
    words = ["pool", "backup", "/backup/pool-1.db", "--force"]
    code_, _, err = Run(image, words, {"/backup": backup}, read, told).once()
    expect(code_, 0, f"backup without a volume of its own ({err})")
    return (
        "made by deploy/postgres; two init containers at once; enrolled at one, recognized at the other; "
        "database away: healthy, not ready, then ready by itself; "
        f"TERM under load: exit code {code} after {took:.1f} s, {load}; backed up"
    )


def an_office_behind_its_proxy(image: Image, folder: Path) -> str:
    """Nginx with the configuration of `deploy/`: pictures, pages of its own origin, and WebSockets come through."""
    if shutil.which("nginx") is None:
        return "not run: nginx is not installed"
    from websockets.sync.client import connect  # noqa: PLC0415 -- of the project's environment
    from websockets.typing import Origin  # noqa: PLC0415 -- the same

    ports, place = (free_port(), free_port()), volume(folder, "proxy")
    certificate = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    certificate += ["-subj", "/CN=localhost", "-keyout", str(place / "tls.key"), "-out", str(place / "tls.pem")]
    subprocess.run(certificate, check=True, capture_output=True)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for there, here in (
        ("facepool:8000", f"127.0.0.1:{ports[0]}"),
        ("8443 ssl", f"127.0.0.1:{ports[1]} ssl"),
        ("/run/secrets/", f"{place}/"),
        ("/tmp/nginx", f"{place}/nginx"),  # noqa: S108 -- of the container
    ):
        expect(there in text, True, f"{there} in nginx.conf")  # noqa: FBT003 -- what is seen
        text = text.replace(there, here)
    (place / "nginx.conf").write_text(text)
    data = {"/var/lib/facepool": volume(folder, "office")}
    code, out, err = Run(image, ["keys", "add", "Me", "--role", "admin"], data).once()
    expect(code, 0, f"keys add ({err})")
    key = out.split()[0]
    serve = Run(image, [*image.command, "--port", str(ports[0]), "--proxy", "127.0.0.1"], data)
    trust = ssl.create_default_context(cafile=str(place / "tls.pem"))
    trust.check_hostname = False
    with serve.running(ports[0], folder / "office.log", key):
        nginx = subprocess.Popen(["nginx", "-c", str(place / "nginx.conf"), "-g", "daemon off;"])
        try:
            time.sleep(1)
            body, kind = form({"ada.jpg": portrait(folder)})
            origin = f"https://localhost:{ports[1]}"
            headers = {"x-api-key": key, "Content-Type": kind, "Origin": origin}
            asked = f"{origin}/v1/persons/Ada/samples"
            request = urllib.request.Request(asked, body, headers)  # noqa: S310 -- of this machine
            with urllib.request.urlopen(request, timeout=60, context=trust) as answer:  # noqa: S310 -- of this machine
                expect(answer.status, 200, "enrolling from a page of the proxy's own origin")
            address = f"wss://localhost:{ports[1]}/v1/liveness"
            with connect(address, ssl=trust, origin=Origin(origin), additional_headers={"x-api-key": key}) as socket_:
                socket_.send('{"do": "start", "partial": false}')
                expect(json.loads(socket_.recv(30))["type"], "challenge", "a WebSocket")
        finally:
            nginx.terminate()
            nginx.wait()
    return "enrolled over https from a page of its own origin; a WebSocket came through"


def a_service_of_a_machine(image: Image, folder: Path) -> str:
    """`deploy/systemd/install` in a bare root, then the unit's command with what the unit takes away from it."""
    del image
    root = folder / "roots" / "service"
    install_service(root, folder)
    verified = in_root(root, "systemd-analyze verify /etc/systemd/system/facepool*.service /etc/systemd/system/*.timer")
    expect((verified.returncode, verified.stderr), (0, ""), "systemd-analyze verify")
    score = (
        in_root(root, "systemd-analyze security --offline=yes facepool.service")
        .stdout.rpartition("facepool.service: ")[2]
        .split()[0]
    )
    made = in_root(root, "facepool keys add Me --role admin")
    expect(made.returncode, 0, f"facepool keys add ({made.stderr})")
    number = root.joinpath("var/lib/facepool/pool.server.db").stat().st_uid
    unit = read_unit(root / "etc/systemd/system/facepool.service")
    rules = folder / "rules.json"
    rules.write_text(json.dumps({"calls": sorted(calls_of(unit)), "families": families_of(unit)}))
    environment = environment_of(unit)
    serve = environment.pop("SERVE")
    port, log = free_port(), folder / "service.log"
    words = [*shlex.split(unit["ExecStart"][0].replace("$SERVE", serve)), "--port", str(port)]
    service = Image(root, {"PATH": "/usr/bin:/bin", **environment}, f"{number}:{number}", "/var/lib/facepool")
    service.entrypoint = ["/usr/bin/python3", "/run/confine.py", "/run/rules.json"]
    read = {"/run/confine.py": ROOT / "tools" / "confine.py", "/run/rules.json": rules}
    run = Run(service, words, {"/var/lib/facepool": root / "var/lib/facepool"}, read)
    picture = {"ada.jpg": portrait(folder)}
    with run.running(port, log, made.stdout.split()[0]) as container:
        expect(container.ask("/v1/persons/Ada/samples", files=picture)[0], 200, "enrolling")
        expect(named(container.ask("/v1/recognize", files=picture)[1]), ["Ada"], "recognizing")
        backup = in_root(root, f"runuser -u facepool -- sh -c {shlex.quote(backup_command(root))}")
        expect(backup.returncode, 0, f"backup ({backup.stderr})")
        code, took, load = term_under_load(container, portrait(folder))
    listed = in_root(root, "facepool people list --pool /var/backups/facepool/pool-*.db")
    expect("Ada" in listed.stdout, True, f"the backup ({listed.stdout}{listed.stderr})")  # noqa: FBT003 -- what is seen
    told = f"exposure level {score} of 10; enrolled, recognized, backed up"
    return f"{told}; TERM under load: exit code {code} after {took:.1f} s, {load}"


def install_service(root: Path, folder: Path) -> None:
    """What docs/install.md says, in a copy of the bare root."""
    if (root / "var/lib/facepool/models").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "--archive", folder / "base", root], check=True)
    pip, lent = pips_settings(folder)
    (root / "src").mkdir()
    tree = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True)
    subprocess.run(["tar", "--extract", "--directory", root / "src"], check=True, input=tree.stdout)
    with mounted(root, {**lent, "/etc/pip.conf": pip}):
        for line in (
            "apt-get update && apt-get install --yes --no-install-recommends python3-venv systemd python3-seccomp",
            "sh /src/deploy/systemd/install",
        ):
            done = in_root(root, line, mount=False)
            expect(done.returncode, 0, f"{line} ({done.stdout[-500:]}{done.stderr[-500:]})")
        os.chown(pip, (root / "var/lib/facepool").stat().st_uid, -1)  # its index may need a password
        done = in_root(root, "facepool models pull", mount=False)
        os.chown(pip, 0, 0)
        expect(done.returncode, 0, f"facepool models pull ({done.stderr[-500:]})")


def in_root(root: Path, line: str, *, mount: bool = True) -> "subprocess.CompletedProcess[str]":
    """A line of a shell in a root, as its administrator."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    command = [
        "chroot",
        str(root),
        "env",
        "-i",
        path,
        "DEBIAN_FRONTEND=noninteractive",
        "LANG=C.UTF-8",
        "sh",
        "-c",
        line,
    ]
    with mounted(root, {}) if mount else nullcontext():
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def read_unit(path: Path) -> dict[str, list[str]]:
    """The values of each name of a unit, in its order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def calls_of(unit: dict[str, list[str]]) -> set[str]:
    """The system calls that a unit leaves, as systemd reads its lines."""
    left: set[str] = set()
    for line in unit["SystemCallFilter"]:
        calls = {call for word in line.removeprefix("~").split() for call in calls_in(word)}
        left = left - calls if line.startswith("~") else left | calls | calls_in("@default")
    return left


@cache
def calls_in(name: str) -> frozenset[str]:
    """Those of a set of systemd, sets in it included."""
    if not name.startswith("@"):
        return frozenset({name})
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in told.stdout.splitlines()[1:]]
    return frozenset(call for word in words if word and not word.startswith("#") for call in calls_in(word))


def families_of(unit: dict[str, list[str]]) -> list[int]:
    """The numbers of the families of addresses that a unit leaves."""
    return [int(getattr(socket, name)) for name in unit["RestrictAddressFamilies"][0].split()]


def environment_of(unit: dict[str, list[str]]) -> dict[str, str]:
    """The variables that a unit sets."""
    words = [word for line in unit["Environment"] for word in shlex.split(line)]
    return dict(word.replace("%S", "/var/lib").split("=", 1) for word in words)


def backup_command(root: Path) -> str:
    """What the unit of the backup runs."""
    unit = read_unit(root / "etc/systemd/system/facepool-backup.service")
    line = shlex.split(unit["ExecStart"][0].replace("$$", "$").replace("%%", "%"))[-1]
    return f"cd /var/lib/facepool && export {shlex.join(f'{n}={v}' for n, v in environment_of(unit).items())} && {line}"


CHECKS: list[Callable[[Image, Path], str]] = [
    the_image_has_what_it_needs_and_no_more,
    a_household_on_a_file,
    models_that_are_mounted,
    an_encrypted_pool_with_its_key_as_a_secret,
    a_site_on_postgresql,
    an_office_behind_its_proxy,
    a_service_of_a_machine,
]

if __name__ == "__main__":
    sys.exit(main())
