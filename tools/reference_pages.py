"""Writes the reference pages of the documentation out of the code: settings, commands and error codes.

``docs/conf.py`` calls ``write`` before each build, so the pages cannot drift from what they describe;
``tests/`` checks that nothing is left out and that every example is understood by the command line.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from facepool import errors
from facepool.cli.main import cli
from facepool.config import ENVIRONMENT_PREFIX, Settings
from facepool.web import problems

EXAMPLES = {
    "demo": ("facepool demo --output pictures",),
    "verify": ("facepool verify a.jpg b.jpg", "facepool verify a.jpg b.jpg --threshold 0.45 --json"),
    "keys add": ("facepool keys add double-take --role enroll",),
    "keys list": ("facepool keys list",),
    "keys remove": ("facepool keys remove double-take",),
    "people export": ("facepool people export backup.db", "facepool people export model_faces.npy"),
    "people import": ("facepool people import backup.db",),
    "people list": ("facepool people list --json",),
    "people merge": ("facepool people merge 'Ada L.' Ada",),
    "people remove": ("facepool people remove Ada --yes",),
    "people rename": ("facepool people rename Ada 'Ada Lovelace'",),
    "people show": ("facepool people show Ada",),
    "evaluate detection": ("facepool evaluate detection boxes.txt --root pictures/",),
    "evaluate folder": ("facepool evaluate folder people/ --output report",),
    "evaluate identify": ("facepool evaluate identify people/ --templates 3 --output report",),
    "evaluate pairs": ("facepool evaluate pairs pairs.txt --root lfw --output report",),
    "calibrate": ("facepool calibrate", "facepool calibrate --target-fpir 0.001 --dry-run"),
    "models import": ("facepool models import my-embedder.toml",),
    "models info": ("facepool models info sface",),
    "models list": ("facepool models list",),
    "models pull": ("facepool models pull open-fast", "facepool models pull --offline-dir models/"),
    "models remove": ("facepool models remove sface",),
    "models verify": ("facepool models verify",),
    "doctor": ("facepool doctor", "facepool doctor --device cuda:0"),
}
"""Examples of commands whose ``--help`` shows none."""


@dataclass(frozen=True, slots=True)
class CommandPage:
    """A command as the reference shows it.

    Attributes:
        path: Its words after ``facepool``: ``people list``.
        command: What click knows of it.
        context: For asking click.
    """

    path: str
    command: click.Command
    context: click.Context

    @property
    def examples(self) -> tuple[str, ...]:
        """Lines to type: those of ``--help``, or those of ``EXAMPLES``."""
        shown = [line for block in _literal_blocks(help_of(self.command)) for line in block]
        return (*(line for line in shown if line.startswith("facepool ")), *EXAMPLES.get(self.path, ()))


def help_of(command: click.Command) -> str:
    """What ``--help`` says of a command, without its indentation."""
    return inspect.cleandoc(command.help or "")


def commands() -> list[CommandPage]:
    """Every command that does something, groups left out, in the order of ``--help``."""
    return list(_leaves(cli, click.Context(cli, info_name="facepool"), ""))


def error_kinds() -> list[type[errors.FacepoolError]]:
    """Every error with a code of its own, each after its parent."""
    importlib.import_module("facepool.web.app")  # which defines a few beside those of facepool.errors
    return [kind for kind in _descendants(errors.FacepoolError) if "code" in vars(kind) and kind.code != "facepool"]


def meaning_and_remedy(kind: type[errors.FacepoolError]) -> tuple[str, str]:
    """The two parts of an error's docstring; a part that is missing is empty."""
    meaning, _, remedy = (kind.__doc__ or "").partition("Remedy:")
    remedy = " ".join(remedy.split())
    return " ".join(meaning.split()), remedy[:1].upper() + remedy[1:]


def settings_page() -> str:
    """Each setting: meaning, default, what is allowed, and who takes it as a flag."""
    users: dict[str, list[str]] = {}
    for page in commands():
        for option in page.command.params:
            if option.name in Settings.model_fields:
                users.setdefault(option.name, []).append(page.path)
    return "\n".join(_setting(name, field, users.get(name, [])) for name, field in Settings.model_fields.items())


def commands_page() -> str:
    """Each command: what it does, how it is typed, examples, its own options and the settings that it takes."""
    return "\n".join(_command(page) for page in commands())


def errors_page() -> str:
    """Each error code: what it means and what to do, a table for each exit code."""
    kinds = error_kinds()
    lines: list[str] = []
    for family in errors.FacepoolError.__subclasses__():
        words = re.sub(r"(?<!^)([A-Z])", r" \1", family.__name__).capitalize()
        title = f"{words}s, exit code {family.exit_code}"
        if family is problems.RequestError:
            title = "Requests that the server refuses"
        lines += [f"## {title}", "", "| Code | HTTP | Meaning, and what to do |", "|---|---|---|"]
        lines += [*(_error_row(kind) for kind in kinds if issubclass(kind, family)), ""]
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Write the three pages into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("settings", settings_page()), ("commands", commands_page()), ("errors", errors_page())):
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _leaves(command: click.Command, context: click.Context, path: str) -> Iterator[CommandPage]:
    if not isinstance(command, click.Group):
        yield CommandPage(path, command, context)
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            below = click.Context(child, info_name=name, parent=context)
            yield from _leaves(child, below, f"{path} {name}".strip())


def _descendants(kind: type[errors.FacepoolError]) -> Iterator[type[errors.FacepoolError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)


def _setting(name: str, field: FieldInfo, users: list[str]) -> str:
    flag = f"`--{name.replace('_', '-')}`"
    taken_by = f"{flag} of {', '.join(f'`{user}`' for user in users)}" if users else "no flag"
    facts = [
        f"**Default:** {_default(field)}",
        f"**Allowed:** {_allowed(field)}",
        f"**Environment:** `{ENVIRONMENT_PREFIX}{name.upper()}`",
        f"**Flag:** {taken_by}",
    ]
    return "\n".join([f"## `{name}`", "", f"{field.description}.", "", *(f"- {fact}" for fact in facts), ""])


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "a file in your own data folder"
    if field.default in (None, ()):
        return "none"
    return f"`{str(field.default).lower()}`" if field.annotation is bool else f"`{field.default}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if field.annotation == tuple[str, ...]:
        return "addresses: a list in the file, with spaces between them in the environment"
    if field.annotation == Settings.model_fields["detect_every"].annotation:
        return "`auto` or a whole number from 1"
    words = {
        "Path": "a path",
        "PostgresAddress": "an address",
        "IndexAddress": "an address",
        "str": "text",
        "int": "a whole number",
        "float": "a number",
        "bool": "`true` or `false`",
    }
    names = [getattr(one, "__origin__", one).__name__ for one in kinds]
    kind = " or ".join(words[name] for name in names if name != "EncryptedFile")  # that is a path with a key_file
    least = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    most = next((bound.le for bound in field.metadata if hasattr(bound, "le")), None)
    if least is None and most is None:
        return kind
    return f"{kind} from {least} to {most}" if most is not None else f"{kind} from {least} up"


def _command(page: CommandPage) -> str:
    usage = " ".join(page.command.collect_usage_pieces(page.context))
    own = [option for option in page.command.params if isinstance(option, click.Option) and _is_own(option)]
    settings = [option.name for option in page.command.params if option.name in Settings.model_fields]
    lines = [f"## `facepool {page.path}`", "", *_prose(help_of(page.command)), ""]
    lines += ["```text", f"facepool {page.path} {usage}", "```", ""]
    if page.examples:
        lines += ["```sh", *page.examples, "```", ""]
    if own:
        lines += ["| Option | Meaning |", "|---|---|", *(_option_row(option) for option in own), ""]
    if settings:
        links = ", ".join(f"[`--{name.replace('_', '-')}`](settings.md#{name.replace('_', '-')})" for name in settings)
        lines += [f"Settings: {links}, and `--config FILE`.", ""]
    return "\n".join(lines)


def _is_own(option: click.Option) -> bool:
    return option.name not in Settings.model_fields and option.name != "config" and not option.hidden


def _option_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    kind = "" if option.is_flag or option.count else f" {_kind(option)}"
    return f"| {names}{kind} | {_cell(_option_meaning(option))} |"


def _kind(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return (option.metavar or option.type.name).upper()


def _option_meaning(option: click.Option) -> str:
    meaning = option.help or ""
    if option.required:
        return f"{meaning} Required."
    if option.show_default and option.default is not None and not option.is_flag:
        return f"{meaning} Default: `{option.default}`."
    return meaning


def _prose(text: str) -> list[str]:
    """The paragraphs of a help text that are no literal blocks, each on one line."""
    paragraphs = [part for part in text.split("\n\n") if not part.lstrip().startswith("\b")]
    return "\n\n".join(" ".join(_escape(part).split()) for part in paragraphs).split("\n")


def _literal_blocks(text: str) -> list[list[str]]:
    parts = [part.lstrip() for part in text.split("\n\n")]
    return [part.split("\n")[1:] for part in parts if part.startswith("\b")]


def _error_row(kind: type[errors.FacepoolError]) -> str:
    meaning, remedy = meaning_and_remedy(kind)
    status = problems.status_of(kind(""))
    return f"| `{kind.code}`<br>`{kind.__name__}` | {status} | {_cell(meaning)}<br>→ {_cell(remedy)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escape(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")
