"""Where an object store is, and with whose credentials: from the environment or a named profile, never from a URL.

Nothing here keeps a secret: what it hands out holds the name of a profile at most, so that it may travel to other
processes and into messages. Each process looks its credentials up itself.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from glacierscale.store import faults
from glacierscale.store.blocks import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Credential

SCHEMES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs",
    "http": "https", "https": "https",
}  # fmt: skip
"""Schemes understood, and which kind of store each names."""

_SIGNS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
           "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH",
           "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "abfs": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", "AZURE_CLIENT_ID",
             "AZURE_STORAGE_CLIENT_ID", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN",
             "AZURE_FEDERATED_TOKEN_FILE", "AZURE_MSI_ENDPOINT", "AZURE_USE_AZURE_CLI"),
}  # fmt: skip
"""Environment variables that say that there are credentials."""

_MAKINGS = 20
_CREDENTIALS = "~/.aws/credentials"
_PREFIX = {"s3": "AWS", "gs": "GOOGLE", "abfs": "AZURE"}
_PREFIXES = tuple(f"{prefix}_" for prefix in _PREFIX.values())
_SECRET_NAME = re.compile(r"(AWS|AZURE|GOOGLE)_.*(SECRET|TOKEN|KEY|PASSWORD|SAS)(?!.*(FILE|PATH|_ID$))")
_SIGNED = re.compile(
    r"(?i)((?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid|signature|sig)"
    r"\s*[=:]\s*)[^\s&,;\"'<>)]+"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}")
_USERINFO = re.compile(r"(://)[^/\s@]*:[^/\s@]*@")
_learned: set[str] = set()  # secrets of profiles that this process has read, to keep them out of messages


@dataclass(frozen=True)
class Access:
    """How a place is reached, without any secret."""

    scheme: str
    """Kind of store: s3, gs, abfs or https."""
    endpoint: str = ""
    """Server, where it is not the provider's own."""
    region: str = ""
    """Region of the bucket."""
    profile: str = ""
    """Profile that holds the credentials; empty where the environment does."""
    anonymous: bool = False
    """Whether requests go unsigned, because there are no credentials."""


@dataclass(frozen=True)
class ProfileCredentials:
    """Looks the keys of a profile up whenever they are needed; holds its name alone."""

    profile: str
    """Name in the credentials or configuration file."""

    def __call__(self) -> S3Credential:
        """The keys as they stand now; asked for again after ten minutes, so that renewed ones are taken up."""
        found = _profile_keys(self.profile)
        until = datetime.now(UTC) + timedelta(minutes=10)
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": until,
        }


def resolve(url: str) -> Access:
    """Find out how a URL is reached.

    Raises
    ------
    ValueError
        If the scheme is unknown or the URL carries credentials, which are not repeated.
    StoreError
        If the profile that AWS_PROFILE names is not there, or botocore is needed to read it and is not installed.
    """
    refuse_credentials(url)
    scheme = SCHEMES.get(url.partition("://")[0].lower())
    if scheme is None:
        raise ValueError(f"{url} has an unknown scheme; expected a folder or one of {', '.join(SCHEMES)}.")
    if scheme == "https":
        return Access(scheme)
    env = os.environ
    unsigned = env.get(f"{_PREFIX[scheme]}_SKIP_SIGNATURE", "").lower()
    if scheme == "s3":
        profile = "" if env.get("AWS_ACCESS_KEY_ID") else _profile_named(env)
        stated = _profile_settings(profile) if profile else {}
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT") or ""
        endpoint = endpoint or stated.get("endpoint_url", "")
        refuse_credentials(endpoint)
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or stated.get("region", "") or "us-east-1"
    else:
        profile, endpoint, region = "", "", ""
    if scheme == "abfs" and "@" not in url and not env.get("AZURE_STORAGE_ACCOUNT_NAME"):
        raise StoreError(
            f"{url} names no storage account; write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/... or set "
            "AZURE_STORAGE_ACCOUNT_NAME."
        )
    credentials = bool(profile) or any(env.get(name) for name in _SIGNS[scheme]) or _gcloud(scheme)
    anonymous = unsigned in ("1", "true", "yes") or (not credentials and unsigned not in ("0", "false", "no"))
    return Access(scheme, endpoint, region, "" if anonymous else profile, anonymous)


def handle(known: Access | None, url: str, budget_s: float, create: bool) -> ObjectStore:
    """The obstore handle of a folder or URL; it holds no secret, and pickles without one."""
    if known is None:
        return _folder(Path(url).absolute(), create)
    given = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_PREFIXES)))
    return _connected(known, url, budget_s, given)


def _folder(path: Path, create: bool) -> ObjectStore:
    """The handle of a folder; one that is still empty may be removed, while we make it, by a run that was refused."""
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore

    for _ in range(_MAKINGS if create else 0):
        with contextlib.suppress(BaseError):
            return LocalStore(path, mkdir=True)
    return LocalStore(path, mkdir=create)


@lru_cache(maxsize=64)
def _connected(known: Access, url: str, budget_s: float, _given: tuple[tuple[str, str], ...]) -> ObjectStore:
    """A handle with its connections, kept until the environment says something else."""
    from obstore.store import from_url

    options: dict[str, Any] = {}
    if known.scheme == "s3":
        options = {"region": known.region, "disable_bulk_delete": True}
        options |= {"endpoint": known.endpoint} if known.endpoint else {}
    if known.anonymous:
        options["skip_signature"] = True
    elif known.profile:
        options["credential_provider"] = ProfileCredentials(known.profile)
    client = faults.patience(budget_s) | {"allow_http": (known.endpoint or url).startswith("http://")}
    place = url.replace("gcs://", "gs://", 1) if known.scheme == "gs" else url
    return from_url(place, client_options=client, retry_config=faults.retrying(budget_s), **options)  # type: ignore[call-overload,no-any-return]


def refuse_credentials(url: str) -> None:
    """Raise `ValueError` if a URL carries a password or a signature; the message does not repeat it."""
    scheme, _, rest = url.partition("://")
    host, kind = rest.partition("/")[0], SCHEMES.get(scheme.lower())
    user, _, server = host.rpartition("@")
    port = server.partition(":")[2]
    if (user and (kind != "abfs" or ":" in user)) or (port and not (kind == "https" and port.isdigit())) or "?" in rest:
        raise ValueError(
            f"{scheme}://...: the URL carries a user name, a password or a query, which may hold a signature; give it "
            "without, and credentials by environment variables or a profile (AWS_ACCESS_KEY_ID, AWS_PROFILE, ...)."
        )


def redact(text: str) -> str:
    """A text without the secrets this process knows of, and without signatures."""
    secrets = {value for name, value in os.environ.items() if _SECRET_NAME.match(name)} | _learned
    secrets |= {quote(secret, safe="") for secret in secrets}
    for secret in sorted((s for s in secrets if len(s) > 5), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USERINFO.sub(r"\1***@", _BEARER.sub(r"\1***", _SIGNED.sub(r"\1***", text)))


def check_keys(known: Access | None) -> str:
    """What to do where access is denied."""
    if known is not None and known.anonymous:
        prefix = _PREFIX.get(known.scheme, "AWS")
        return f"No credentials were found ({prefix}_... variables, or AWS_PROFILE for s3), so none were sent."
    return "Check the credentials and what they allow."


def _profile_named(env: Mapping[str, str]) -> str:
    """The profile to use: the one that is named, or the default one where a credentials file has it."""
    named = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or ""
    file = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or _CREDENTIALS).expanduser()
    return named or ("default" if file.is_file() and "[default]" in file.read_text() else "")


def _gcloud(scheme: str) -> bool:
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud").expanduser()
    return scheme == "gs" and (folder / "application_default_credentials.json").is_file()


def _session(profile: str) -> Any:
    try:
        import botocore.session
    except ImportError as error:
        raise StoreError(
            f"the AWS profile {profile} needs botocore to be read; pip install 'glacierscale[s3]', or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    return botocore.session.Session(profile=profile)


def _profile_settings(profile: str) -> dict[str, str]:
    """Endpoint and region of a profile."""
    env = os.environ
    names = (env.get("AWS_CONFIG_FILE") or "~/.aws/config", env.get("AWS_SHARED_CREDENTIALS_FILE") or _CREDENTIALS)
    files = [Path(name).expanduser() for name in names]
    return _settings_as_of(profile, tuple((str(f), f.stat().st_mtime_ns if f.is_file() else 0) for f in files))


@lru_cache(maxsize=8)
def _settings_as_of(profile: str, _files: tuple[tuple[str, int], ...]) -> dict[str, str]:
    session = _session(profile)
    profiles = session.full_config["profiles"]
    if profile not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise StoreError(f"there is no AWS profile {profile}; the files at hand have: {known}. Check AWS_PROFILE.")
    return {key: value for key, value in profiles[profile].items() if key in ("endpoint_url", "region")}


def _profile_keys(profile: str) -> Any:
    chain = _session(profile).get_component("credential_provider")
    chain.remove("iam-role")  # a profile's keys stand in files; asking a machine's metadata server would hang elsewhere
    found = chain.load_credentials()
    if found is None:
        raise StoreError(f"the AWS profile {profile} has no keys; add aws_access_key_id and aws_secret_access_key.")
    keys = found.get_frozen_credentials()
    _learned.update(filter(None, (keys.secret_key, keys.token)))
    return keys
