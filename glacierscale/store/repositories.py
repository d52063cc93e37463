"""Where the repository of an Icechunk store lies, and whose requests reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacierscale.store import access, faults
from glacierscale.store.blocks import StoreError

if TYPE_CHECKING:
    from icechunk import S3StaticCredentials, Storage

FOLDER = "repository"
"""Below the place of a store; Icechunk wants it to itself."""


def icechunk() -> Any:
    """The library, which is an extra."""
    try:
        import icechunk
    except ImportError as error:
        raise StoreError("icechunk+... places need Icechunk; pip install 'glacierscale[icechunk]'.") from error
    return icechunk


def storage(place: str, known: access.Access | None, budget_s: float) -> Storage:
    """Icechunk's name for the repository below a folder or URL.

    Parameters
    ----------
    place : str
        Folder or URL of the store.
    known : Access
        How to reach it; None for a folder.
    budget_s : float
        Seconds that a request may take with all its tries.
    """
    ice = icechunk()
    bucket, _, folder = place.partition("://")[2].partition("/")
    found: Storage
    if known is None:
        ice.set_logs_filter("warn,icechunk::storage=error")  # it warns of what a lock on commits prevents
        found = ice.local_filesystem_storage(f"{place}/{FOLDER}")
        return found
    prefix = f"{folder}/{FOLDER}".lstrip("/")
    if known.scheme == "gs":
        found = ice.gcs_storage(bucket=bucket, prefix=prefix, **_identity(known))
    elif known.scheme == "abfs":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        found = ice.azure_storage(account=account, container=bucket, prefix=prefix, from_env=True)
    else:
        found = ice.s3_storage(
            bucket=bucket,
            prefix=prefix,
            region=known.region,
            endpoint_url=known.endpoint or None,
            allow_http=known.endpoint.startswith("http://"),
            force_path_style=bool(known.endpoint),
            network_stream_timeout_seconds=max(1, round(faults.SILENCE * budget_s)),
            **_identity(known),
        )
    return found


def _identity(known: access.Access) -> dict[str, Any]:
    """Whose requests: nobody's, a profile's, or those of the environment."""
    if known.anonymous:
        return {"anonymous": True}
    return {"get_credentials": _ProfileKeys(known.profile)} if known.profile else {"from_env": True}


@dataclass(frozen=True)
class _ProfileKeys:
    """Keys of an AWS profile as Icechunk asks for them; holds the name alone."""

    profile: str

    def __call__(self) -> S3StaticCredentials:
        keys = access.ProfileCredentials(self.profile)()
        return icechunk().S3StaticCredentials(  # type: ignore[no-any-return]
            access_key_id=keys["access_key_id"],
            secret_access_key=keys["secret_access_key"],
            session_token=keys.get("token"),
            expires_after=keys["expires_at"],
        )
