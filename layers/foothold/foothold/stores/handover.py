"""Hand a store over to another control plane: how a home region moves, and a stack is renamed."""

from collections.abc import Mapping
from dataclasses import replace

from foothold.errors import BucketMissingError, PermanentError
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import HOME_TAG, STACK_TAG, ControlPlane, StoreSpec
from foothold.stores.ownership import refuse_others
from foothold.stores.ports import Buckets, Keys, Parameters
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import Phase, Register
from foothold.stores.steps import ObservedKey

# The claim of the control plane's own stack, which never gives it up before it is deleted.
OWN_RESOURCE = "HomeArtifactStore"


class HandOvers:
    """The stores that one control plane gives away. Data, keys and settings stay as they are."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        *,
        keys: Keys,
        buckets: Buckets,
        parameters: Parameters,
    ) -> None:
        self._control_plane = control_plane
        self._home = control_plane.home_region
        self._reconciler = reconciler
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters

    def hand_over(self, region: str, to_stack: str, to_home: str) -> None:
        """Make the region's bucket and key the other control plane's, and forget the region.

        May be repeated, and goes on where it was cut short. A store that carries the stack's
        name, but no home region, counts as this one's: whoever may run this says so. Raises
        PermanentError, before anything is changed, for a store that is neither this control
        plane's nor the other one's, that somebody here still wants, or that is being retired.
        """
        plane = self._control_plane
        register = plane.register(self._parameters.below(self._home, plane.names.stores))
        spec = plane.spec(region, register.adoption(region))
        to = replace(self._control_plane, stack=to_stack, home_region=to_home)
        receiver = to.spec(region, spec.adopted)
        keeps = to.identity == self._control_plane.identity
        if not keeps:
            self._refuse_while_wanted(region)
        self._refuse_while_going(spec, register)
        key, has_bucket = self._found(spec, receiver)
        if not keeps:
            self._withdraw(spec, key)
        if has_bucket:
            self._buckets.write(spec, BucketAspect.TAGS, to.identity)
        if key:
            self._keys.write(spec, key.arn, KeyAspect.TAGS, to.identity)

    def _found(self, spec: StoreSpec, receiver: StoreSpec) -> tuple[ObservedKey | None, bool]:
        """The key, and whether there is a bucket: each ours, or handed over already."""
        key = self._keys.aliased(spec)
        if key:
            tags = self._keys.read(spec, key.arn, KeyAspect.TAGS) or {}
            self._refuse_strangers(spec, receiver, key.arn, tags)
        try:
            tags = self._buckets.read(spec, BucketAspect.TAGS) or {}
        except BucketMissingError:
            if key is None:
                raise PermanentError(
                    f"{spec.region} has no artifact store; `foothold status` shows the regions"
                ) from None
            return key, False
        self._refuse_strangers(spec, receiver, f"bucket {spec.bucket}", tags)
        if key is None:
            raise PermanentError(
                f"{spec.key_alias} in {spec.region} points at no key, and the artifacts are under "
                f"one: mend the store first, `foothold plan {spec.region}` says how"
            )
        return key, True

    def _refuse_strangers(
        self, spec: StoreSpec, receiver: StoreSpec, name: str, tags: Mapping[str, str]
    ) -> None:
        untold = tags.get(STACK_TAG) == self._control_plane.stack and HOME_TAG not in tags
        if not untold and not receiver.owns(tags):
            refuse_others(spec, name, tags, "it is not handed over")

    def _refuse_while_wanted(self, region: str) -> None:
        wanted = [
            name for name in self._reconciler.wanted_by().get(region, ()) if not self._is_own(name)
        ]
        if wanted:
            raise PermanentError(
                f"{region} is wanted by {', '.join(wanted)}: take those resources out of their "
                f"stacks, and the region off the list with `foothold regions remove {region}`; "
                "then hand it over"
            )

    def _is_own(self, claim: str) -> bool:
        stack, _, resource = claim.partition(".")
        return stack == self._control_plane.stack and resource.endswith(f".{OWN_RESOURCE}")

    def _refuse_while_going(self, spec: StoreSpec, register: Register) -> None:
        written = register.retirement(spec.region)
        if written and written.phase in (Phase.RETIRING, Phase.RETIRED, Phase.RESTORING):
            raise PermanentError(
                f"{spec.region} is {written.phase}: bring it back with `foothold regions retire "
                f"{spec.region} --undo`, then hand it over"
            )

    def _withdraw(self, spec: StoreSpec, key: ObservedKey | None) -> None:
        """Take back this control plane's own parameters: those that name another one's key stay,
        as the other one's do that has published the store already."""
        names = self._control_plane.names
        claims = self._parameters.below(self._home, names.claims)
        own = [
            names.claim(spec.region, claim)
            for claim in self._control_plane.register(claims).claims.get(spec.region, ())
            if self._is_own(claim)
        ]
        at_home = [
            *spec.parameters(spec.home_path, ""),
            spec.adoption_parameter,
            spec.retirement_parameter,
            names.request(spec.region),
        ]
        self._parameters.delete(self._home, (*own, *at_home))
        handed_over = key is not None and not spec.owns(
            self._keys.read(spec, key.arn, KeyAspect.TAGS)
        )
        if not handed_over:
            regional = tuple(spec.parameters(spec.regional_path, ""))
            self._parameters.delete(spec.region, regional)
