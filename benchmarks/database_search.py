"""Search in PostgreSQL: what the database's index finds of what comparing everybody finds, and how long both take.

    python benchmarks/database_search.py                                200,000 templates, on a server of its own
    python benchmarks/database_search.py --quick                        a smoke test of some seconds
    python benchmarks/database_search.py --links 16,64 --links 16,200   several indexes (m, ef_construction)

The people are made up: their scatter, and that of the photos of one person, are those of LFW's photos in the embedding
space of the default models, photos of bad quality included: each made-up person scatters as one of LFW's does, and each
of their photos as one of that person's. The probes are further photos of people in the pool. ``--random`` takes vectors
without any likeness in their place. LFW is taken from ``../shared``; its embeddings, which are biometric data, are kept
in the temporary folder.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from facepool import read_image
from facepool.faces.load import ModelChoice, load_analyzer
from facepool.gallery.address import pool_address
from facepool.gallery.batches import SAMPLE_COLUMNS, TemplateBatch
from facepool.gallery.postgres import PostgresGallery
from facepool.gallery.postgres_schema import NEAREST_INDEX
from facepool.search import Search, SearchChoice, hnsw, pgvector
from facepool.search.known import known_of
from facepool.types import EmbeddingSpace, Floats, Indices

REPOSITORY = Path(__file__).parents[1]
LFW = REPOSITORY.parent / "shared" / "data" / "lfw"
CACHE = Path(tempfile.gettempdir()) / "facepool-accuracy" / "lfw-pgvector.npz"
_PHOTOS_OF_MANY, _PHOTOS_OF_ONE, _OF_A_PERSON = 2600, 600, 6
_TEMPLATES_OF_A_PERSON = 4
_CANDIDATES = 5
_ROWS_AT_ONCE = 8192
_RIDGE = 1e-8


@dataclass(frozen=True)
class People:
    """A made-up pool, and faces to search for.

    Attributes:
        templates: (T, D) float32, those of a person next to each other.
        probes: (P, D) float32.
        owners: (P,) whose each probe is.
    """

    templates: Floats
    probes: Floats
    owners: Indices


def photos_of_lfw() -> tuple[Floats, Indices]:
    """Embeddings of some of LFW's photos, and whose they are."""
    if CACHE.is_file():
        kept = np.load(CACHE)
        return kept["vectors"], kept["owners"]
    photos = {folder: sorted(folder.glob("*.jpg")) for folder in sorted(LFW.iterdir()) if folder.is_dir()}
    many = [photo for of_one in photos.values() if len(of_one) > 1 for photo in of_one[:_OF_A_PERSON]]
    alone = [of_one[0] for of_one in photos.values() if len(of_one) == 1]
    analyzer = load_analyzer(ModelChoice())
    vectors, owners = [], []
    for path in many[:_PHOTOS_OF_MANY] + alone[:_PHOTOS_OF_ONE]:
        image = read_image(path)
        ((found, embeddings),) = analyzer.embed_batch([image])
        if len(found):
            middle = np.array([image.shape[1], image.shape[0]]) / 2
            away = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).sum(axis=1)
            vectors.append(embeddings[int(np.argmax(found.sizes - away))])
            owners.append(path.parent.name)
    numbers = np.unique(owners, return_inverse=True)[1]
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    np.savez(CACHE, vectors=np.stack(vectors), owners=numbers)
    return np.stack(vectors), numbers


def like_lfw(
    photos: Floats, owners: Indices, people: int, probes: int, rng: np.random.Generator, copies: int = 1
) -> People:
    """People who scatter as those of some photos do.

    With several copies, vectors are so many times as long, and each part of them scatters so. Bad photos are in all.
    """
    dimension, counts = photos.shape[1], np.bincount(owners)
    sums = np.zeros((len(counts), dimension))
    np.add.at(sums, owners, photos)
    means = sums / counts[:, None]
    several = counts[owners] > 1
    residuals, whose = (photos - means[owners])[several], owners[several]
    within = residuals.T @ residuals / (counts[counts > 1] - 1).sum() + _RIDGE * np.eye(dimension)
    between = np.cov(means.T) - within * np.mean(1 / counts)
    values, vectors = np.linalg.eigh(between)
    between = (vectors * np.maximum(values, _RIDGE)) @ vectors.T
    # How far photos are from the mean of their person, in units of what is usual: people and photos differ in that.
    far = np.einsum("nd,de,ne->n", residuals, np.linalg.inv(within), residuals) / dimension
    far = np.sqrt(far * counts[whose] / (counts[whose] - 1))
    scales = [far[whose == one] for one in np.unique(whose)]

    parts, length = np.eye(copies), copies * dimension
    apart, spread = np.kron(parts, np.linalg.cholesky(between).T), np.kron(parts, np.linalg.cholesky(within).T)
    centres = np.tile(means.mean(axis=0), copies) + rng.standard_normal((people, length)) @ apart
    like = rng.integers(0, len(scales), people)

    def taken(whom: Indices) -> Floats:
        scale = np.array([rng.choice(scales[like[one]]) for one in whom])
        return unit(centres[whom] + scale[:, None] * (rng.standard_normal((len(whom), length)) @ spread))

    asked = rng.integers(0, people, probes)
    return People(taken(np.repeat(np.arange(people), _TEMPLATES_OF_A_PERSON)), taken(asked), asked)


def at_random(people: int, probes: int, dimension: int, rng: np.random.Generator) -> People:
    """Templates that have nothing in common, and probes that are near one of them."""
    templates = unit(rng.standard_normal((people * _TEMPLATES_OF_A_PERSON, dimension)))
    rows = rng.integers(0, len(templates), probes)
    near = templates[rows] + 0.07 * rng.standard_normal((probes, dimension))
    return People(templates, unit(near), rows // _TEMPLATES_OF_A_PERSON)


def unit(rows: np.ndarray) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def fill(gallery: PostgresGallery, people: People, space: EmbeddingSpace) -> float:
    """Put everybody into an empty gallery; seconds."""
    started = time.perf_counter()
    blank = ("", 0, "", False, *[None] * (len(SAMPLE_COLUMNS) - 5), "")
    for first in range(0, len(people.templates), _ROWS_AT_ONCE):
        vectors = people.templates[first : first + _ROWS_AT_ONCE]
        count = len(vectors)
        names = [f"P{row // _TEMPLATES_OF_A_PERSON + 1:08d}" for row in range(first, first + count)]
        uuids = [uuid4().bytes for _ in range(count)]
        gallery.load(
            TemplateBatch(names, [b""] * count, vectors, uuids, [""] * count, [space.model] * count, [blank] * count),
            space,
        )
    with closing(gallery.separate()) as connection:
        connection.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


def measure(search: Callable[[Floats], str], probes: Floats) -> tuple[list[str], Floats]:
    """Who is nearest to each probe, one after the other, and the milliseconds that took."""
    for probe in probes[:5]:
        search(probe)
    found, took = [], []
    for probe in probes:
        started = time.perf_counter()
        found.append(search(probe))
        took.append(1000 * (time.perf_counter() - started))
    return found, np.array(took)


@contextmanager
def database(url: str | None) -> Iterator[str]:
    """The database that is named, or one on a server of its own."""
    if url is not None:
        yield url
        return
    sys.path.append(str(REPOSITORY / "tests"))
    from support.postgres import own_server  # noqa: PLC0415 -- only where no database is named

    with own_server("shared_buffers=512MB") as server:
        yield server.url("pool")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50_000, help="with four templates each")
    parser.add_argument("--probes", type=int, default=2000)
    parser.add_argument("--timed", type=int, default=200, help="of the probes, for comparing everybody in the database")
    parser.add_argument("--links", action="append", help="m,ef_construction of an index; may be repeated")
    parser.add_argument("--views", type=int, action="append", help="ef_search; may be repeated")
    parser.add_argument("--random", action="store_true", help="vectors without any likeness")
    parser.add_argument("--database", help="postgresql://..., of an empty pool; by default a server of its own")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.people, chosen.probes, chosen.timed = 1000, 50, 10
    if not chosen.random and not CACHE.is_file() and not LFW.is_dir():
        print(f"there is no LFW in {LFW}: vectors without any likeness are taken", file=sys.stderr)
        chosen.random = True
    run(chosen)


def run(chosen: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    if chosen.random:
        people = at_random(chosen.people, chosen.probes, 128, rng)
    else:
        people = like_lfw(*photos_of_lfw(), chosen.people, chosen.probes, rng)
    space = EmbeddingSpace("made-up", "ab" * 32, "none", "none", mirrored=False, dimension=people.templates.shape[1])
    figures: list[dict[str, object]] = []
    with ExitStack() as stack:
        url = stack.enter_context(database(chosen.database))
        gallery = stack.enter_context(PostgresGallery(pool_address(url), space))  # type: ignore[arg-type]
        print(f"{len(people.templates):,} templates stored in {fill(gallery, people, space):.0f} s")
        search = Search(gallery, space)

        def ask(probe: Floats) -> str:
            return search.nearest(probe[None], _CANDIDATES, normalize=True).candidates[0][0].person

        known, right = known_of(gallery), [f"P{owner + 1:08d}" for owner in people.owners]
        started = time.perf_counter()
        search.index()
        print(f"index in memory after {time.perf_counter() - started:.1f} s")
        exact, took = measure(ask, people.probes)
        show(figures, "in memory", exact, exact, right, took)

        known.reconsider(SearchChoice("database", exact=True))
        timed = people.probes[: chosen.timed]
        found, took = measure(ask, timed)
        show(figures, "database, everybody", found, exact, right, took)
        for links in chosen.links or [f"{hnsw.LINKS},{hnsw.BUILD_LINKS}"]:
            hnsw.LINKS, hnsw.BUILD_LINKS = map(int, links.split(","))
            hnsw.drop_index(gallery)
            started = time.perf_counter()
            hnsw.make_index(gallery)
            took_s = time.perf_counter() - started
            with gallery.reading() as db:
                (size,) = db.execute("SELECT pg_relation_size(?)", (NEAREST_INDEX,)).fetchone()
            print(f"index of m, ef_construction = {links}: {took_s:.0f} s, {size / 1e6:.0f} MB")
            known.reconsider(SearchChoice("database"))
            for views in chosen.views or [pgvector.EF_SEARCH]:
                pgvector.EF_SEARCH = views
                found, took = measure(ask, people.probes)
                show(figures, f"database, {links}, ef_search {views}", found, exact, right, took)
    if chosen.output:
        chosen.output.write_text(json.dumps(figures, indent=2))


def show(
    figures: list[dict[str, object]],
    way: str,
    found: Sequence[str],
    exact: Sequence[str],
    right: Sequence[str],
    took: Floats,
) -> None:
    """Print one line, and keep it."""
    named = [place for place in range(len(found)) if exact[place] == right[place]]
    recall = sum(found[place] == right[place] for place in named) / len(named)
    p50, p95 = np.quantile(took, [0.5, 0.95])
    figures.append(
        {"way": way, "probes": len(found), "exact finds": len(named), "recall": recall, "p50": p50, "p95": p95}
    )
    print(
        f"{way:40} right person first: {len(named) / len(found):.4f} by everybody, of these {recall:.4f} here   "
        f"p50 {p50:.2f} ms, p95 {p95:.2f} ms"
    )


if __name__ == "__main__":
    main()
