"""The composition root of rollouts and boards: a caller who may be the deploy roles and the reader
roles of target accounts."""

import json
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from secrets import token_hex
from typing import Any

from botocore.config import Config

from foothold.aws.clients import CONFIG, Clients
from foothold.caller import THREADS, Caller
from foothold.packaging.manifest import Manifest
from foothold.packaging.release import code_of, keys_of
from foothold.refused import READER_ROLE
from foothold.releases.gateways.alarms import TargetAlarms
from foothold.releases.gateways.cells import TargetCells
from foothold.releases.gateways.changesets import TargetChangeSets
from foothold.releases.gateways.records import RegionalRecords
from foothold.releases.gateways.stacks import DeployedStacks, object_url
from foothold.releases.gateways.target_accounts import TargetClients
from foothold.releases.gateways.trials import OwnTrials
from foothold.releases.model import (
    DEPLOY_ROLE,
    MANIFEST,
    Release,
    releases_prefix,
)
from foothold.releases.observe import Boards
from foothold.releases.rollout import Rollouts, Say

SESSION_NAME = "foothold-rollout"
# A function that is tried may take its 15 minutes, and is never invoked twice.
TRYING = CONFIG.merge(Config(read_timeout=910, retries={"total_max_attempts": 1}))

# One client serves a region of an account, for as many threads as look there at a time.
BOARD = CONFIG.merge(Config(max_pool_connections=THREADS))


class ReleasesCaller(Caller):
    """A caller who rolls releases out, or takes them back."""

    def rollouts(
        self, say: Say = lambda _: None, clock: Callable[[], float] = time.time
    ) -> Rollouts:
        """What brings releases to targets; `say` takes lines on how it goes."""
        deploying = TargetClients(self.session, DEPLOY_ROLE, SESSION_NAME)
        reading = TargetClients(self.session, READER_ROLE, SESSION_NAME)
        trying = Clients(self.session, TRYING)
        get: Any = trying.get  # of services that have no types here, too
        return Rollouts(
            releases=self.releases,
            records=RegionalRecords(self.regional_client, self.account),
            stores=self.stores,
            reader=TargetChangeSets(partial(reading.client, "cloudformation")),
            stacks=DeployedStacks(partial(deploying.client, "cloudformation")),
            alarms=TargetAlarms(partial(reading.client, "cloudwatch")),
            trials=OwnTrials(get),
            home_region=self.home_region,
            url_of=self._url_of,
            owner=self.clients.caller,
            new_id=new_run,
            clock=clock,
            sleep=time.sleep,
            say=say,
            gone=self._gone,
            threads=THREADS,
        )

    def _gone(self, release: Release, regions: Collection[str]) -> tuple[str, ...]:
        body = self.releases.file(release, MANIFEST)
        manifest = Manifest.from_json(json.loads(body)) if body else None
        keys = keys_of(release, manifest).items()
        return self.releases.gone(release, {name: of for name, of in keys if name in regions})

    def boards(self) -> Boards:
        """What looks at target accounts."""
        reading = TargetClients(self.session, READER_ROLE, "foothold-board", BOARD)
        return Boards(
            releases=self.releases,
            records=self.records,
            home=lambda: self.home_store,
            cells=TargetCells(reading.client),
            declared=self.declared_targets,
            code_of=partial(code_of, self.releases),
            clock=time.time,
            threads=THREADS,
        )

    def projects(self) -> list[str]:
        """Those whose pipelines publish what they deploy to, and those that have releases in the
        home store."""
        root = self._names.pipeline("").rstrip("/")
        published = {
            name.removeprefix(f"{root}/").partition("/")[0]
            for name in self.parameters.below(self.home_region, root)
        }
        home = self.home_store
        others = [name for name in self.records.folders(home, "") if name not in published]

        def has_releases(name: str) -> bool:
            return bool(self.records.folders(home, releases_prefix(name)))

        with ThreadPoolExecutor(THREADS) as pool:
            kept = {
                name
                for name, has in zip(others, pool.map(has_releases, others), strict=True)
                if has
            }
        return sorted(published | kept)

    @cached_property
    def _url_of(self) -> Any:
        return partial(object_url, self.regional_client.s3.meta.endpoint_url)


def new_run() -> str:
    """An id of its own: letters and digits, which the name of a change set may have."""
    return token_hex(8)
