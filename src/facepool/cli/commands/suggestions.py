"""``facepool suggestions``."""

import click

from facepool.cli.context import DECISION, CommandContext, json_option, settings_options
from facepool.cli.ui.console import counted, wall_clock
from facepool.gallery import Pool
from facepool.gallery.notices import COMMAND_LINE
from facepool.gallery.sightings import Suggestion
from facepool.groups.drift import most_degrees
from facepool.groups.learn import Learning, Why, take_back
from facepool.records import learned_record, suggestion_record

_NUMBER = click.IntRange(min=1)


@click.group()
def suggestions() -> None:
    """New views of people, proposed by what cameras saw of them. Nothing is stored without your yes.

    \b
    facepool serve --refresh suggest         propose views from now on (recognize has it, too)
    facepool suggestions list                what is proposed, and why
    facepool suggestions accept 3            yes: recognize them in that look, too
    facepool suggestions decline 4           no
    facepool suggestions take-back Ada       forget all that was learned of Ada; what was registered stays

    People age, grow beards and stand in other light. A face is proposed where it is clearly somebody's, good, and shows
    a pose, an age or a look that their views lack, on several days. Suggestions go by themselves after 14 days.
    """


@suggestions.command("list")
@click.argument("person", required=False)
@settings_options("pool", *DECISION)
@json_option
def list_suggestions(context: CommandContext, person: str | None) -> None:
    """List what is proposed, for PERSON or for everybody, and why.

    \b
    facepool suggestions list
    facepool suggestions list Ada --json
    """
    with context.open_pool() as pool:
        found, learned = pool.inbox.suggestions(person), len(pool.inbox.learned(person))
        entries = [(suggestion_record(one), _row(one)) for one in found]
        columns = (">suggestion", "person", "seen", "camera", ">similarity", ">quality", "until", "why")
        context.console.results(columns, entries)
        if not entries:
            context.console.note(_why_nothing(context, pool))
    if learned:
        context.console.note(f"{counted(learned, 'view')} learned before: facepool suggestions take-back erases them")


@suggestions.command()
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True, metavar="SUGGESTION...")
@settings_options("pool", *DECISION)
@json_option
def accept(context: CommandContext, numbers: tuple[int, ...]) -> None:
    """Say yes: each face becomes a view of its person.

    \b
    facepool suggestions accept 3
    facepool suggestions accept 3 5 8

    What is stored is held near the views that the person was registered with, so that nobody can lead a person's views
    astray, whatever they show to a camera and whoever says yes. It says that it was learned, and from which view:
    facepool people show NAME --json.
    """
    with context.changing_pool() as pool:
        learning = Learning(context.policy_of(pool), context.curve_of(pool))
        for number in dict.fromkeys(numbers):
            learned = learning.accept(pool, number, COMMAND_LINE)
            context.console.emit(learned_record(learned))
            context.console.say(f"A new view of {learned.suggestion.person}", "good")
            context.console.note(f"facepool unknown undo {learned.undo} takes it back")
            if learned.replaced:
                context.console.note(f"{counted(learned.replaced, 'older learned view')} made room for it")


@suggestions.command()
@click.argument("numbers", type=_NUMBER, nargs=-1, required=True, metavar="SUGGESTION...")
@settings_options("pool")
@json_option
def decline(context: CommandContext, numbers: tuple[int, ...]) -> None:
    """Say no: that look is not proposed again as long as its face is kept.

    \b
    facepool suggestions decline 4
    """
    with context.changing_pool() as pool:
        learning = Learning(context.policy_of(pool), context.curve_of(pool))
        for number in dict.fromkeys(numbers):
            entry = learning.decline(pool, number, COMMAND_LINE)
            context.console.emit({"id": number, "undo": entry})
            context.console.say(f"Suggestion {number} declined", "good")


@suggestions.command("take-back")
@click.argument("person", required=False)
@click.option("--all", "everybody", is_flag=True, help="Of everybody.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@settings_options("pool")
@json_option
def take_back_learned(context: CommandContext, person: str | None, everybody: bool, yes: bool) -> None:
    """Erase every view that was learned of PERSON, or of everybody; what was registered stays.

    \b
    facepool suggestions take-back Ada
    facepool suggestions take-back --all --yes

    There is no way back.
    """
    if (person is None) == (not everybody):
        raise click.UsageError("Name a person, or say --all")
    with context.changing_pool() as pool:
        count = len(pool.inbox.learned(person))
        whom = person or "everybody"
        if count and not (yes or click.confirm(f"Erase {counted(count, 'learned view')} of {whom}?", err=True)):
            raise click.Abort("nothing was erased")
        gone = take_back(pool, person)
    for name, samples in gone.items():
        context.console.emit({"person": name, "samples": samples})
        context.console.say(f"{counted(samples, 'learned view')} of {name} erased", "good")
    if not gone:
        context.console.note(f"Nothing was learned of {whom}")


def _row(suggestion: Suggestion) -> tuple[str, ...]:
    return (
        str(suggestion.number),
        suggestion.person,
        wall_clock(suggestion.seen_at),
        suggestion.source,
        f"{suggestion.similarity:.2f}",
        f"{suggestion.quality:.0f}",
        wall_clock(suggestion.expires_at)[:10],
        Why.of(suggestion).words,
    )


def _why_nothing(context: CommandContext, pool: Pool) -> str:
    """What to do to get suggestions."""
    curve = context.curve_of(pool)
    if curve is None:
        return "Nothing is suggested: nobody has measured the error rates of this pool's model"
    templates = pool.size().templates
    threshold = context.policy_of(pool).identification(templates, pool.calibration()).value
    if templates and not most_degrees(curve, threshold):
        few = counted(templates, "view")
        return (
            f"Nothing is suggested: a pool of {few} has so low a threshold ({threshold:.2f}) that there is no room to "
            "learn safely. More people or views raise it"
        )
    if context.settings.refresh == "off":
        return "Nothing is suggested: facepool serve --refresh suggest, or facepool recognize --refresh suggest"
    return "Nothing is suggested now. A look has to be seen three times, on two days"
