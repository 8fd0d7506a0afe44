"""Look at one region's store. Reads only: what it finds is what a plan is made from."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from foothold.errors import BucketMissingError
from foothold.stores.aspects import (
    BUCKET_ASPECTS,
    KEY_ASPECTS,
    SPARE_KEYS,
    Aspect,
    BucketAspect,
    LookedAt,
)
from foothold.stores.model import StoreSpec
from foothold.stores.ownership import is_anothers
from foothold.stores.planner import TAGS
from foothold.stores.ports import Buckets, Keys, Parameters
from foothold.stores.register import Register, Retirement
from foothold.stores.steps import ObservedKey, ObservedStore


class Observer:
    """Stores, as they are."""

    def __init__(self, keys: Keys, buckets: Buckets, parameters: Parameters) -> None:
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters

    def look(
        self,
        spec: StoreSpec,
        register: Register,
        aspects: Collection[LookedAt],
        called_off: Retirement | None = None,
    ) -> ObservedStore:
        """A store that is kept. `register` is what is written about stores at home, `aspects` are
        the settings to read, `called_off` is a retirement whose key may be found again."""
        seen = self._look(spec, register, aspects, called_off)
        if seen.key is None:
            return replace(seen, tagged_keys=self._keys.tagged(spec))
        if SPARE_KEYS in aspects:
            return replace(seen, spare_keys=self._keys.unused(spec))
        return seen

    def left(
        self, spec: StoreSpec, register: Register, retirement: Retirement | None
    ) -> ObservedStore:
        """What is left of a store that is being retired. `tagged_keys` is its key once no alias
        points at it; parameters that name another control plane's key are none of its own."""
        seen = self._look(spec, register, TAGS, retirement, whether_empty=True)
        former = spec.adopted.key_arn if spec.adopted else retirement and retirement.key_arn
        return replace(
            seen,
            tagged_keys=tuple(
                key
                for key in seen.named_keys
                # Whatever the record says, without the tags it is not ours.
                if not seen.key and key.arn == former and spec.tags.items() <= key.tags.items()
            ),
            home_parameters=_ours(spec, seen.home_parameters, seen.named_keys),
            regional_parameters=_ours(spec, seen.regional_parameters, seen.named_keys),
        )

    def _look(
        self,
        spec: StoreSpec,
        register: Register,
        aspects: Collection[LookedAt],
        retirement: Retirement | None,
        *,
        whether_empty: bool = False,
    ) -> ObservedStore:
        """What both have in common. `whether_empty`: this is looked at in any case, and not
        only where the bucket carries no tag."""
        key = self._keys.aliased(spec)
        names = tuple(spec.parameters(spec.regional_path, ""))
        regional = self._parameters.get(spec.region, names)
        home = {
            name: register.parameters[name]
            for name in spec.parameters(spec.home_path, "")
            if name in register.parameters
        }
        named = spec.keys_named_in({**regional, **home})
        if key:
            named.discard(key.arn)
        else:
            records = (spec.adopted, retirement)
            named |= {each.key_arn for each in records if each and each.key_arn}
        found = [self._keys.find(spec, arn) for arn in sorted(named)]
        settings: dict[Aspect, Any] = {
            aspect: self._keys.read(spec, key.arn, aspect)
            for aspect in KEY_ASPECTS
            if key and aspect in aspects
        }
        exists, empty = True, None
        try:
            for aspect in BUCKET_ASPECTS:
                if aspect in aspects:
                    settings[aspect] = self._buckets.read(spec, aspect)
            if whether_empty or not settings.get(BucketAspect.TAGS, "not read"):
                empty = self._buckets.is_empty(spec)
        except BucketMissingError:
            exists = False
        return ObservedStore(
            key=key,
            named_keys=tuple(other for other in found if other),
            bucket_exists=exists,
            bucket_empty=empty,
            settings=settings,
            home_parameters=home,
            regional_parameters=regional,
        )


def _ours(
    spec: StoreSpec, parameters: Mapping[str, str], named: tuple[ObservedKey, ...]
) -> Mapping[str, str]:
    """The parameters, unless the key that they name is another control plane's."""
    theirs = {key.arn for key in named if is_anothers(spec, key.tags)}
    return {} if theirs & set(parameters.values()) else parameters
