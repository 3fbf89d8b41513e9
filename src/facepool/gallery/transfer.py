"""From one pool into another, whatever they are kept in."""

from dataclasses import dataclass, replace

from facepool.gallery.base import Gallery
from facepool.types import Template


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a transfer did.

    Attributes:
        created: Names that the target did not have, sorted.
        extended: Names that it had, and that got templates, sorted.
        added: Templates stored.
        skipped: Templates that the target had already: same person, same numbers.
        notes: Remarks for the user, one line each.
    """

    created: tuple[str, ...]
    extended: tuple[str, ...]
    added: int
    skipped: int
    notes: tuple[str, ...]


def transfer(source: Gallery, target: Gallery) -> TransferReport:
    """Copy everybody with all provenance; people who are in both get the templates of both. All or nothing.

    A source that does not know its embedding space is taken for the target's, checked by dimension; the report says so.

    Raises:
        SpaceMismatch: The two are of different spaces, or neither knows its own.
        InvalidEmbedding: The source does not know its space, and the dimensions differ.
    """
    had = {person.name for person in target.people()}
    seen = {_key(template) for template in target.templates()}
    offered = source.templates()
    fresh: list[Template] = []
    for template in offered:
        if _key(template) not in seen:
            seen.add(_key(template))
            fresh.append(template)
    without_templates = [person for person in source.people() if not person.templates and person.name not in had]
    # The pictures only of what is copied: there may be as many megabytes of them as there are templates in hundreds.
    with_image = source.template_ids_with_image()
    fresh = [_with_image(source, template) if template.id in with_image else template for template in fresh]
    target.add(
        fresh,
        source.space,
        source.look_alikes() - target.look_alikes(),
        without_templates,
    )
    touched = {template.person for template in fresh}.union(person.name for person in without_templates)
    return TransferReport(
        created=tuple(sorted(touched - had)),
        extended=tuple(sorted(touched & had)),
        added=len(fresh),
        skipped=len(offered) - len(fresh),
        notes=(*source.notes, *target.notes),
    )


def _with_image(source: Gallery, template: Template) -> Template:
    return replace(template, sample=replace(template.sample, picture=source.picture(template.id) or b""))


def _key(template: Template) -> tuple[str, bytes]:
    return template.person, template.sample.embedding.tobytes()
