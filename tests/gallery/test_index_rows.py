"""What a pool knows of its indexes."""

from dataclasses import replace
from pathlib import Path

import pytest

from facepool.gallery import SqlGallery
from facepool.gallery.index_rows import IndexRow, delete_index, read_index, read_indexes, write_index
from support.pools import BACKENDS, opened

PLACE = "milvus://db:19530"


@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "model_faces.npy"])
def test_a_collection_is_found_as_soon_as_it_is_whole(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as pool:
        assert isinstance(pool, SqlGallery)
        with pool.reading() as db:
            assert (read_indexes(db), read_index(db, PLACE)) == ([], None)
        row = IndexRow.new(PLACE, 8, "space", 0)
        revision = pool.revision()
        with pool.changing() as db:
            write_index(db, row)
        with pool.reading() as db:
            assert (read_indexes(db), read_index(db, PLACE)) == ([row], None)
        whole = replace(row, state="whole", position=7, filled=3, stamp="s", failure="index_unreachable")
        newer = replace(IndexRow.new(PLACE, 8, "space", 9), state="leaving")
        with pool.changing() as db:
            write_index(db, whole)
            write_index(db, newer)
        with pool.reading() as db:
            assert read_indexes(db) == [whole, newer]
            assert read_index(db, PLACE) == whole
            assert read_index(db, "milvus://other:19530") is None
        with pool.changing() as db:
            delete_index(db, row.collection)
        with pool.reading() as db:
            assert read_indexes(db) == [newer]
        assert pool.revision() == revision
