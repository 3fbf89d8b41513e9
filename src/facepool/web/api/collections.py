"""The collections of the pool: which there are, and, for administrators of all of them, making and erasing some."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from facepool.web.api.schemas import Body
from facepool.web.middleware.authentication import AdministeringAll, Recognizing
from facepool.web.routes import BoundedRoute
from facepool.web.services.collections import CollectionNeeded, Collections
from facepool.web.services.keys import Caller

router = APIRouter(prefix="/v1/collections", tags=["collections"], route_class=BoundedRoute)


class CollectionInfo(BaseModel):
    """A collection, and how many are in it."""

    name: str
    people: int
    templates: int


class CollectionList(BaseModel):
    """The collections that the key is for."""

    collections: list[CollectionInfo]
    default: str | None = Field(description="Which is meant by requests that name none; null: they have to name one")


class NewCollection(Body):
    """A collection to be made."""

    name: str = Field(description="1 to 40 of a-z, 0-9, - and _, the first of them a letter or digit", max_length=200)


@router.get("")
async def list_collections(request: Request, caller: Recognizing) -> CollectionList:
    """Those that your key is for. Name one of them in any other request by `?collection=` or `Facepool-Collection`."""
    collections = collections_of(request)
    sizes = await run_in_threadpool(collections.sizes, caller)
    infos = [CollectionInfo(name=name, people=size.people, templates=size.templates) for name, size in sizes.items()]
    return CollectionList(collections=infos, default=meant_by(collections, caller))


@router.post("", status_code=201)
async def create_collection(body: NewCollection, request: Request, caller: AdministeringAll) -> CollectionInfo:
    """Make a collection without anybody. It takes a key that is bound to none."""
    await run_in_threadpool(collections_of(request).create, body.name, caller.name)
    return CollectionInfo(name=body.name, people=0, templates=0)


@router.delete("/{collection}", status_code=204)
async def remove_collection(
    collection: Annotated[str, Path(max_length=200)], request: Request, caller: AdministeringAll
) -> None:
    """Erase a collection with everybody in it, and all that the server keeps of it; who uses it is cut off."""
    await run_in_threadpool(collections_of(request).remove, collection, caller.name)


def collections_of(request: Request) -> Collections:
    """Those of the application that a request came to."""
    found = request.app.state.collections
    if not isinstance(found, Collections):
        raise TypeError("the application has no collections")
    return found


def meant_by(collections: Collections, caller: Caller) -> str | None:
    """Which collection a caller means who names none."""
    try:
        return collections.meant(caller, None)
    except CollectionNeeded:
        return None
