"""Values made typed: every bad field is refused in one line with its value and what is allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from descent_lab.errors import ConfigError

Options = TypeVar("Options")


def checked(name: str, options: Options) -> Options:
    """A dataclass of options that Python code made, validated as one from the command line is. Raises ConfigError."""
    values = {f.name: getattr(options, f.name) for f in fields(options)}  # type: ignore[arg-type]
    validated: Options = typed(name, type(options), values)
    return validated


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    plain = not (is_dataclass(kind) or hasattr(kind, "__pydantic_config__"))
    return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False) if plain else None)


def typed(name: str, kind: Any, value: Any) -> Any:
    """The value as this type, or, for a dataclass, the instance with these fields. Raises ConfigError."""
    if is_dataclass(kind) and isinstance(value, Mapping):
        refuse_unknown(f"{name}.", value, {f.name for f in fields(kind)})
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError("; ".join(_line(name, problem) for problem in error.errors())) from None
    except PydanticUserError as error:
        types = ", ".join(f"{f.name}: {getattr(f.type, '__name__', f.type)}" for f in fields(kind))
        raise ConfigError(f"{name}: values cannot be checked by the types of {kind.__name__} ({types})") from error


def refuse_unknown(prefix: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise ConfigError for the first value that is not of a known field."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{prefix}{unknown[0]}: no such field; there are {', '.join(sorted(known))}")


def _line(name: str, problem: Any) -> str:
    where = ".".join([name, *(str(part) for part in problem["loc"])])
    message = problem["msg"].replace("Input should be", "must be").replace("Value error, ", "")
    if "isfinite" in message:
        message = "must be a finite number"
    return f"{where}={problem['input']}: {message}"
