"""Requests made of an OpenAPI document, with values of somebody's choice wherever one can be put."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Values:
    """What is put into a request.

    Attributes:
        text: Where text is taken: a name or an id.
        number: Where a whole number is.
        vector: Where an array of numbers is.
        picture: Where a file is.
        key: In addresses that have one in them.
    """

    text: str
    number: int
    vector: tuple[float, ...] = field(repr=False)
    picture: bytes = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True)
class Operation:
    """One of a document's."""

    method: str
    path: str
    described: Document
    document: Document = field(repr=False)

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.method} {self.path}"

    @property
    def names_collection(self) -> bool:
        """Whether it says that it takes the name of a collection."""
        return any(parameter["name"] == "collection" for parameter in self._parameters if parameter["in"] == "query")

    def request(self, values: Values) -> dict[str, Any]:
        """What an HTTP client sends, all parameters and fields included; of several bodies, a form before JSON."""
        path, query = self.path, {}
        for parameter in self._parameters:
            name, where = parameter["name"], parameter["in"]
            if name.lower().endswith("collection"):
                if where == "path":
                    path = path.replace(f"{{{name}}}", values.text)
                continue
            filled = values.key if name == "key" else self._filled(parameter["schema"], values)
            if where == "path":
                path = path.replace(f"{{{name}}}", str(filled))
            elif where == "query" and (parameter.get("required") or name in _TELLING):
                query[name] = filled
        return {"method": self.method, "url": path, "params": query, **self._body(values)}

    @property
    def _parameters(self) -> list[Document]:
        return [self._resolved(one) for one in self.described.get("parameters", [])]

    def _body(self, values: Values) -> dict[str, Any]:
        content = self._resolved(self.described.get("requestBody", {})).get("content", {})
        if "multipart/form-data" in content:
            schema = self._resolved(content["multipart/form-data"]["schema"])
            files, data = [], {}
            for name, one in schema.get("properties", {}).items():
                filled = self._filled(one, values)
                if isinstance(filled, bytes) or (isinstance(filled, list) and filled and isinstance(filled[0], bytes)):
                    files.append((name, ("face.png", values.picture, "image/png")))
                elif isinstance(filled, str | int | float):
                    data[name] = str(filled)
            return {"files": files or [("nothing", ("", b"", ""))], "data": data}
        if "application/json" in content:
            return {"json": self._filled(content["application/json"]["schema"], values)}
        return {}

    def _filled(self, schema: Document, values: Values) -> Any:
        schema = self._resolved(schema)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                kinds = [one for one in schema[several] if self._resolved(one).get("type") != "null"]
                return self._filled(kinds[0], values)
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        if kind == "object":
            return {name: self._filled(one, values) for name, one in schema.get("properties", {}).items()}
        if kind == "array":
            item = self._resolved(schema.get("items", {}))
            return list(values.vector) if item.get("type") == "number" else [self._filled(item, values)]
        if kind == "integer":
            return min(max(values.number, schema.get("minimum", values.number)), schema.get("maximum", values.number))
        if kind == "number":
            return schema.get("maximum", schema.get("minimum", 1))
        if kind == "boolean":
            return False
        is_file = schema.get("format") == "binary" or "contentMediaType" in schema
        return values.picture if is_file else values.text

    def _resolved(self, one: Document) -> Document:
        while "$ref" in one:
            found: Any = self.document
            for part in one["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            one = found
        return one


_TELLING = ("person", "name", "subject", "search", "prefix", "group", "tag", "source")
"""Parameters of queries by which something is looked for; pages and limits have their defaults."""


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """All of a document's."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield Operation(method.upper(), path, methods[method], dict(document))
