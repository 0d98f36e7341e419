"""Components: the classes that a configuration may name, what they declare, and the parts that go by a name.

A component is what a group's YAML names by `_target_`: an optimizer, a data set, a backend, ... It is a frozen
dataclass of its options, derived from the abstract base class of its group. Smaller parts (activations, losses,
metrics) are known by a name in a `Registry`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from difflib import get_close_matches
from importlib import import_module
from inspect import isabstract
from typing import Any, ClassVar, TypeVar

from descent_lab import plugins
from descent_lab.errors import ConfigError
from descent_lab.faults import failure_of
from descent_lab.moved import MOVED

Part = TypeVar("Part")


# The groups whose choices name a class, and the class of choices that name none: those were written when it was alone.
COMPONENTS = ("backend", "dataset", "model", "init", "schedule", "optimizer", "engine")
UNNAMED = {"model": "descent_lab.nn.models.mlp.MLP"}


NEUTRAL = "neutral"  # marks a field in its metadata


def neutral(default: Any) -> Any:
    """A dataclass field with this default, which an identity leaves out where it holds the default.

    An option that is added to an existing class is declared so if its default trains as before. The runs that stores
    hold already then keep their identities.
    """
    return field(default=default, metadata={NEUTRAL: True})


class Component:
    """Base of all that a configuration may name.

    group: the configuration's group, such as "optimizer"; set by the abstract base class of the group.
    kind: the stable name that stands for the class in the identities of runs. It must not change when the class moves
    or is renamed. Without one, it is made of the top-level package and the class's name.
    outside_identity: options that cannot change a run's curves.
    """

    group: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    outside_identity: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" not in cls.__dict__:  # an inherited kind would make two classes one
            cls.kind = f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def resolve(group: str, target: object) -> type[Component]:
    """The class behind `<group>._target_=<target>`.

    Nothing is imported before the top-level package is known to be allowed: this one, an installed plug-in, or a
    package that the command line allows. Raises ConfigError for other packages, for what does not exist, and for
    anything but a complete component class of this group.
    """
    path = MOVED.get(str(target), str(target))
    where = f"{group}._target_={target}"
    module, _, name = path.rpartition(".")
    top = path.partition(".")[0]
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError(f"{where}: must be the dotted path of a class")
    if top not in plugins.allowed():
        raise ConfigError(
            f"{where}: package {top} is neither descent_lab nor an installed plug-in; "
            f"plugins.allow=[{top}] on the command line lets a configuration name its classes"
        )
    try:
        kind = getattr(import_module(module), name)
    except Exception as error:
        if isinstance(error, AttributeError) or (
            isinstance(error, ModuleNotFoundError) and path.startswith(f"{error.name}.")
        ):
            raise ConfigError(f"{where}: no such class ({error})") from error
        raise ConfigError(f"{where}: its module cannot be imported: {failure_of(error)}") from error
    if not isinstance(kind, type) or not issubclass(kind, Component) or kind.group != group:
        raise ConfigError(f"{where}: is not the class of a component of the group {group}")
    if isabstract(kind):
        raise ConfigError(f"{where}: is an abstract class; name one that is complete")
    return kind


def target_of(component: Component) -> str:
    """The dotted path of a component's class, as `_target_` names it."""
    return f"{type(component).__module__}.{type(component).__qualname__}"


class Registry(Mapping[str, Part]):
    """Parts by name. Plug-ins add to it when they are imported, which happens when a name is asked for."""

    def __init__(self, what: str, parts: Mapping[str, Part] | None = None) -> None:
        """what: one of the parts in words, such as "activation"."""
        self.what = what
        self._parts: dict[str, Part] = dict(parts or {})

    def add(self, name: str, part: Part) -> Part:
        """Make a part known. Raises ConfigError if another has this name already."""
        if self._parts.setdefault(name, part) is not part:
            raise ConfigError(f"{self.what} {name!r}: there is one of this name already")
        return part

    def __getitem__(self, name: str) -> Part:
        """The part of that name; KeyError where there is none."""
        if name not in self._parts:
            plugins.load()
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        plugins.load()
        return iter(self._parts)

    def __len__(self) -> int:
        plugins.load()
        return len(self._parts)

    __hash__ = object.__hash__  # a registry is one place, whatever its parts: it can stand in a type

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"Registry({self.what!r}, {', '.join(self)})"

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """As an annotation, Annotated[str, ACTIVATIONS]: text that names a part."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def checked(self, name: str) -> str:
        """The name, if a part has it. Raises ValueError, which lists the names there are."""
        if name in self:
            return name
        raise ValueError(f"must be one of {', '.join(sorted(self))}{suggestion(name, self)}")


def suggestion(word: str, among: Mapping[str, Any] | list[str]) -> str:
    """`; did you mean adam?`, if a name is near; else nothing."""
    near = get_close_matches(word, list(among), n=1)
    return f"; did you mean {near[0]}?" if near else ""
