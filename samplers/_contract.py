"""Contracts: laws that every component of one kind keeps, their runner, and checks they share."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from nsbench.samplers import Entry, Registry
from nsbench.samplers._waits import Assignments

T = TypeVar("T")
A = TypeVar("A")
Change = Callable[[Tensor], Tensor]


class ContractError(AssertionError):
    """A component broke a law of its contract."""


def expect(condition: object, message: str) -> None:
    """Raise `ContractError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ContractError(message)


@dataclass(frozen=True)
class Law(Generic[T]):
    """One promise of a contract.

    Attributes:
        name: Name of the function that checks it.
        says: The promise in one sentence.
        check: Raises for a component that breaks it.
    """

    name: str
    says: str
    check: Callable[[T], None]

    def __call__(self, component: T) -> None:
        """Check one component.

        Raises:
            ContractError: If the law is broken, naming component and law.
        """
        try:
            self.check(component)
        except Exception as error:
            kind = "" if isinstance(error, ContractError) else f"{type(error).__name__}: "
            text = f"{component!r} breaks {self.name}: {kind}{error}"
            raise ContractError(text) from error


class Contract(Generic[T]):
    """The laws of one kind of component, in the order in which they are checked.

    Args:
        registry: The registered components of that kind.
    """

    def __init__(self, registry: Registry[T]) -> None:
        self.registry = registry
        self.laws: list[Law[T]] = []

    def law(self, check: Callable[[T], None]) -> Callable[[T], None]:
        """Decorator that adds a law: its name and first docstring line are those of ``check``."""
        says = (check.__doc__ or "").strip().split("\n", 1)[0]
        self.laws.append(Law(check.__name__, says, check))
        return check

    def cases(self, component: T | str, parameters: Mapping[str, Any]) -> list[T]:
        """Instances to check; arguments as for `check`."""
        if not isinstance(component, str):
            return [component]
        given = [parameters] if parameters else configurations_of(self.registry.entry(component))
        return [self.registry.make(component, **g) for g in given]

    def check(self, component: T | str, /, **parameters: Any) -> None:
        """Check every law on every case of a component.

        Args:
            component: An instance, or the name of a registered one.
            parameters: Of the named one; without any, its ``test_configs`` are checked as well.

        Raises:
            ContractError: On the first broken law, naming component and law.
        """
        for case in self.cases(component, parameters):
            for law in self.laws:
                law(case)

    def verdicts(self, name: str) -> Iterator[tuple[Law[T], str]]:
        """Every law with what was seen instead, empty if all cases of ``name`` keep it."""
        cases = self.cases(name, {})
        for law in self.laws:
            problem = ""
            try:
                for case in cases:
                    law(case)
            except ContractError as error:
                problem = str(error)
            yield law, problem


def configurations(registry: Registry[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Name and parameters of every case of a registry: the defaults, then ``test_configs``."""
    return [(entry.name, given) for entry in registry for given in configurations_of(entry)]


def configurations_of(entry: Entry[Any]) -> list[dict[str, Any]]:
    """Parameter sets that one registered class is checked with."""
    return [{}, *(dict(given) for given in entry.attribute("test_configs", ()))]


# --- checks that several kinds share ------------------------------------------------------------


def expect_declared(component: object, *flags: str) -> None:
    """Expect a docstring, and flags that are True or False."""
    for flag in flags:
        value = getattr(component, flag, False)
        expect(isinstance(value, bool), f"{flag} must be True or False, not {value!r}")
    expect((type(component).__doc__ or "").strip(), "the class has no docstring")


def expect_frozen(component: object) -> None:
    """Expect a dataclass to be frozen."""
    if is_dataclass(component):
        frozen = getattr(component, "__dataclass_params__").frozen  # noqa: B009  # not in stubs
        expect(frozen, "the dataclass must be frozen: @dataclass(frozen=True)")


def tensors(given: Any) -> dict[str, Tensor]:
    """The tensor fields of a dataclass by name."""
    values = ((f.name, getattr(given, f.name)) for f in fields(given))
    return {name: value for name, value in values if isinstance(value, Tensor)}


def with_tensors(given: A, change: Change) -> A:
    """A copy of a frozen dataclass with ``change`` applied to every tensor field."""
    changes: Any = {name: change(value) for name, value in tensors(given).items()}
    return replace(given, **changes)  # type: ignore[type-var]  # a dataclass


def expect_untouched(act: Callable[[], object], *given: Any) -> None:
    """Expect that ``act`` writes to no tensor field of some dataclasses."""
    found = [pair for one in given for pair in tensors(one).items()]
    before = [(value.clone(), value._version) for _, value in found]
    act()
    for (name, value), (kept, version) in zip(found, before, strict=True):
        expect(value._version == version, f"wrote to {name} of its input")
        expect(torch.equal(value, kept), f"changed {name} of its input")


def seeded(seed: int) -> torch.Generator:
    """A CPU generator in the state that ``seed`` sets."""
    return torch.Generator().manual_seed(seed)


def expect_repeatable(ask: Callable[[torch.Generator], A], same: Callable[[A, A], bool]) -> None:
    """Expect equal answers from equal generator states, and no use of other randomness."""
    outside = torch.get_rng_state()
    first = ask(seeded(5))
    ask(seeded(6))
    again = ask(seeded(5))
    expect(same(first, again), "answered differently from the same generator state")
    expect(torch.equal(outside, torch.get_rng_state()), "drew from torch's global generator")


def expect_chance(component: object, *, varied: bool) -> None:
    """Expect ``stochastic`` to say if answers varied with the generator."""
    claims = getattr(component, "stochastic", False)
    expect(varied or not claims, "says it is stochastic, but answers the same every time")
    expect(claims or not varied, "answers by chance; say so with `stochastic = True`")


class NoBooleanIndex(TorchDispatchMode):
    """Raises on ``t[mask] = x``, which waits for the device though fake tensors allow it."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Check one operation, then run it."""
        if func.overloadpacket in (torch.ops.aten.index_put_, torch.ops.aten.index_put):
            for index in args[1]:
                is_mask = index is not None and index.dtype == torch.bool
                expect(not is_mask, "t[mask] = x waits for the device; use torch.where")
        return func(*args, **(kwargs or {}))


def expect_no_waiting(act: Callable[[Change, str], object], *, real: bool = False) -> None:
    """Expect that no number leaves the device and nothing is made on another device.

    Args:
        act: Does what is checked; gets the change that makes a tensor fake, and its device. Fake
            tensors have shape, dtype and device only, and raise on any wait for the device.
        real: Allow real tensors, such as weights, among the fake ones.
    """
    for device in ("cpu", "meta"):

        def elsewhere(tensor: Tensor) -> Tensor:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")

        with FakeTensorMode(allow_non_fake_inputs=real) as mode:
            try:
                with Assignments(partial(expect, False)), NoBooleanIndex():  # type: ignore[no-untyped-call]  # torch's own
                    act(mode.from_tensor if device == "cpu" else elsewhere, device)
            except ContractError:
                raise
            except Exception as error:
                raise ContractError(
                    f"waits for the device or mixes devices ({device}): "
                    f"{type(error).__name__}: {error}"
                ) from error


def refuses_illegal_parameters(component: Any) -> None:
    """Every number refuses NaN, words and absurd sizes; every word refuses nonsense.

    Parameters that the class lists in ``free_text`` may be any string, such as a model's name.
    """
    if not is_dataclass(component) or isinstance(component, type):
        return
    for item in fields(component):
        if not item.init:
            continue
        free = item.name in getattr(component, "free_text", ())
        for bad in (-1,) if free else _illegal(getattr(component, item.name)):
            try:
                replace(component, **{item.name: bad})
            except ValueError as error:
                text = str(error)
                expect(item.name in text, f"the error does not name {item.name}: {text}")
            else:
                raise ContractError(f"{item.name}={bad!r} was accepted")


def _illegal(value: object) -> Iterable[object]:
    if isinstance(value, bool):
        return ("nonsense",)
    if isinstance(value, int):
        return (-(10**9), 2.5, float("nan"), "nonsense")
    if isinstance(value, float):
        return (float("nan"), float("inf"), -1e9, "nonsense")
    if isinstance(value, str | tuple):
        return ("no such thing", -1)
    return ()
