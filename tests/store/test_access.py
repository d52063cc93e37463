"""Where endpoint and credentials come from, and that no secret gets out."""

from __future__ import annotations

import io
import logging
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import cloudpickle
import obstore.store
import pytest

from glacierscale.store import access
from glacierscale.store.blocks import StoreError
from glacierscale.store.files import Files
from glacierscale.store.objects import Objects

SECRET = "secret-of-the-test-server"


@pytest.fixture(autouse=True)
def clean(clean_environment: None) -> None:
    """No credentials of this machine's user."""


@pytest.fixture
def profile(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The server's keys and address in files of AWS alone, under a name."""
    for name in s3.environment:
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(f"[ice]\naws_access_key_id = glacier\naws_secret_access_key = {SECRET}\n")
    (tmp_path / "config").write_text(f"[profile ice]\nregion = eu-north-1\nendpoint_url = {s3.endpoint}\n")
    monkeypatch.setenv("AWS_PROFILE", "ice")
    return s3


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access.resolve("s3://ice/a") == access.Access("s3", region="us-east-1", anonymous=True)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "glacier")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert access.resolve("s3://ice/a") == access.Access("s3", "http://127.0.0.1:1", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org")
    assert access.resolve("s3://ice/a").endpoint == "https://s3.example.org"
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert access.resolve("s3://ice/a").anonymous


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("s3://ice/a", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("gs://ice/a", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://ice/a", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("abfs://ice@account.dfs.core.windows.net/a", "AZURE_CLIENT_ID"),
    ],
)
def test_requests_are_unsigned_unless_something_says_who_asks(
    url: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert access.resolve(url).anonymous
    monkeypatch.setenv(variable, "something")
    assert not access.resolve(url).anonymous
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable.partition('_')[0]}_SKIP_SIGNATURE", "false")  # the machine itself may have a role
    assert not access.resolve(url).anonymous


def test_a_profile_gives_keys_address_and_region(profile: Any) -> None:
    assert access.resolve("s3://ice/a") == access.Access("s3", profile.endpoint, "eu-north-1", "ice")
    place = Objects(profile.url("profile"))
    place.put("a", b"1")
    assert place.get("a") == b"1"


def test_a_profile_travels_by_name_alone(profile: Any) -> None:
    place = Objects(profile.url("profile"))
    place.put("travels", b"1")
    for sent in (place, place.handle, place.zarr(read_only=True)):
        assert SECRET.encode() not in cloudpickle.dumps(sent)
    code = "import pickle,sys; sys.stdout.buffer.write(pickle.load(sys.stdin.buffer).get('travels'))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(place), capture_output=True, check=True)
    assert done.stdout == b"1"


def test_the_secret_of_a_profile_stays_out_of_messages(profile: Any) -> None:
    Objects(profile.url("profile")).put("a", b"1")
    assert access.redact(f"it is {SECRET}.") == "it is ***."


def test_keys_in_the_environment_go_before_a_profile(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "glacier")
    assert access.resolve("s3://ice/a").profile == ""


def test_the_default_profile_needs_no_naming(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    assert access.resolve("s3://ice/a").profile == "default"


def test_a_profile_that_changes_is_read_again(profile: Any, tmp_path: Path) -> None:
    assert access.resolve("s3://ice/a").region == "eu-north-1"
    (tmp_path / "config").write_text("[profile ice]\nregion = eu-west-3\n")
    assert access.resolve("s3://ice/a") == access.Access("s3", region="eu-west-3", profile="ice")


def test_an_unknown_profile_is_named_with_those_there_are(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "snow")
    with pytest.raises(StoreError, match=r"no AWS profile snow; the files at hand have: ice. Check AWS_PROFILE"):
        access.resolve("s3://ice/a")


def test_a_profile_without_botocore_says_what_to_install(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    monkeypatch.setenv("AWS_PROFILE", "never-read")
    with pytest.raises(StoreError, match=r"pip install 'glacierscale\[s3\]'"):
        access.resolve("s3://ice/a")


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:password-in-url@ice/a",
        "s3://key:password/in-url@ice/a",
        "s3://password-in-url@ice/a",
        "https://user:password-in-url@example.org/a",
        "https://example.org/a?X-Amz-Signature=password-in-url",
        "abfs://ice@account.dfs.core.windows.net/a?sig=password-in-url",
        "abfs://ice:password-in-url@account.dfs.core.windows.net/a",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    for opened in (Objects, Files.at, access.resolve):
        with pytest.raises(ValueError, match="give it without, and credentials by environment") as caught:
            opened(url)
        assert "password" not in "".join(traceback.format_exception(caught.value)).replace("a password", "")


def test_credentials_in_an_endpoint_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://user:password-in-url@example.org")
    with pytest.raises(ValueError, match="give it without") as caught:
        access.resolve("s3://ice/a")
    assert "password-in" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://ice/a", "S3Store"),
        ("s3a://ice/a", "S3Store"),
        ("gs://ice/a", "GCSStore"),
        ("gcs://ice/a", "GCSStore"),
        ("abfs://ice@account.dfs.core.windows.net/a", "AzureStore"),
        ("az://ice/a", "AzureStore"),
        ("https://example.org/a", "HTTPStore"),
    ],
)
def test_every_scheme_opens_its_kind_of_store(url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert type(Objects(url).handle).__name__ == kind


def test_azure_without_an_account_says_how_to_name_it() -> None:
    with pytest.raises(StoreError, match="names no storage account; write abfs://CONTAINER@ACCOUNT"):
        Objects("abfs://ice/a")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown scheme; expected a folder or one of s3, "):
        access.resolve("ftp://example.org/a")


def test_secrets_and_signatures_are_taken_out_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+ghi")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "azure-key")
    text = (
        "abc/def+ghi abc%2Fdef%2Bghi session-token azure-key https://a/b?X-Amz-Signature=0123abc&x=1 ?sig=xyz%3D "
        "Signature=0123abc, Bearer abcdefghijkl https://user:pass@host/x"
    )
    assert access.redact(text) == (
        "*** *** *** *** https://a/b?X-Amz-Signature=***&x=1 ?sig=*** Signature=***, Bearer *** https://***@host/x"
    )


def test_a_folder_that_another_run_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, calls = obstore.store.LocalStore, []

    def between(path: Path, *, mkdir: bool) -> Any:
        calls.append(path)
        return opened(path, mkdir=mkdir and len(calls) > 3)  # the folder is gone again when it is opened

    monkeypatch.setattr(obstore.store, "LocalStore", between)
    place = Objects(str(tmp_path / "out"), create=True)
    assert len(calls) == 4
    place.put("a", b"1")
    assert place.get("a") == b"1"


def test_nothing_that_is_written_or_logged_holds_a_secret(
    s3: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    import xarray as xr

    caplog.set_level(logging.DEBUG)
    place = Objects(s3.url("written"))
    data = xr.Dataset({"a": ("x", np.zeros(3))}, attrs={"source": place.url})
    data.to_zarr(place.zarr(read_only=False), zarr_format=3, consolidated=False)
    said = io.StringIO()
    logging.getLogger("test").info("%r %r %r", place, place.handle, access.resolve(place.url))
    print(place, place.handle, vars(place), file=said)
    written = b"".join(place.get(key) or b"" for key in place.keys(""))
    captured = capfd.readouterr()
    for text in (caplog.text, said.getvalue(), captured.out, captured.err, written.decode("latin1")):
        assert SECRET not in text
