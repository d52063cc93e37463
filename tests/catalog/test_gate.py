"""The gate: what is refused before Intake sees it, what is let through, and what the refusals say."""

# ruff: noqa: E501 (tables of one-line catalogues)
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glacierscale.catalog import CatalogError, check_catalog, open_catalog
from glacierscale.catalog.fetch import check_resolved
from glacierscale.catalog.locations import Refused, check_host, check_url
from glacierscale.catalog.parameters import Parameter


def _v1(url: str = "s3://bkt/a.zarr", driver: str = "zarr", args: str = "", rest: str = "") -> str:
    return f"sources:\n  s:\n    driver: {driver}\n    args:\n      urlpath: {url!r}\n{args}{rest}"


def _v2(
    url: str = "s3://bkt/a.zarr",
    *,
    datatype: str = "intake.readers.datatypes:Zarr",
    reader: str = "intake.readers.readers:XArrayDatasetReader",
    data: str = "{data(d)}",
    kwargs: str = "",
    output: str = "xarray:Dataset",
    more: str = "",
    parameters: str = "{}",
) -> str:
    return (
        f"version: 2\naliases: {{s: e}}\ndata:\n  d:\n    datatype: {datatype}\n    kwargs:\n      url: {url!r}\n{kwargs}"
        f"    metadata: {{}}\n    user_parameters: {{}}\nentries:\n  e:\n    kwargs:\n      data: {data!r}\n{more}"
        f"    metadata: {{}}\n    output_instance: {output}\n    reader: {reader}\n    user_parameters: {{}}\n"
        f"metadata: {{}}\nuser_parameters: {parameters}\n"
    )


def _parameter(spec: str, url: str = "s3://bkt/{{ x }}/a.zarr") -> str:
    return _v1(url, rest=f"    parameters:\n      x: {spec}\n")


def _storage(options: str, url: str = "s3://bkt/a.zarr") -> str:
    return _v1(url, args=f"      storage_options: {options}\n")


HOSTS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254",
    "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "localhost", "LOCALHOST", "localhost.", "a.localhost", "data.example.",
    "metadata.google.internal", "metadata", "intranet", "nas.local", "router.home.arpa", "kubernetes.default.svc", "a.b.svc.cluster.local",
    "127.0.0.1.nip.io", "10-0-0-1.sslip.io", "u@data.example", "u:p@data.example", "data.example@10.0.0.1", "data.example:8443",
    "data.example:80", "data.example:", "dat\u0430.example", "data\u3002example", "xn--80ak6aa92e.com", "a_b.example", "-a.example", "1.2",
    "\u2460\u2461\u2466.0.0.1", "data.example%00.org",
]  # fmt: skip

HOSTILE = {
    **{f"host {host!a}": _v1(f"https://{host}/a.zarr") for host in HOSTS},
    "plain http": _v1("http://data.example/a.zarr"),
    "file URL": _v1("file:///etc/passwd"),
    "upper-case file URL": _v1("FILE:///etc/passwd"),
    "memory": _v1("memory://a"),
    "ftp": _v1("ftp://data.example/a"),
    "ssh": _v1("sftp://data.example/a"),
    "github": _v1("github://a:b@main/c"),
    "scheme without slashes": _v1("https:data.example/a"),
    "network path": _v1("//data.example/a"),
    "home": _v1("~/secrets.zarr"),
    "windows drive": _v1("C:/secrets"),
    "backslashes": _v1("..\\..\\secrets"),
    "GDAL prefix": _v1("/vsicurl/http://10.0.0.1/a.tif", driver="rasterio"),
    "GDAL subdataset": _v1("NETCDF:a.nc:b.tif", driver="rasterio"),
    "VRT": _v1("{{ CATALOG_DIR }}/a.vrt", driver="rasterio"),
    "archive in a path": _v1("a.zip!b.shp", driver="shapefile"),
    "chain in the middle": _v1("s3://a/b::https://data.example"),
    "simplecache": _v1("simplecache::s3://a/b"),
    "traversal relative": _v1("../a.zarr"),
    "traversal inside": _v1("a/../../b.zarr"),
    "traversal in a bucket": _v1("s3://bkt/a/../../other/b"),
    "traversal encoded": _v1("https://data.example/a/%2e%2e/%2e%2e/b"),
    "traversal encoded twice": _v1("https://data.example/a/%252e%252e/b"),
    "wide dots": _v1("\uff0e\uff0e/a.zarr"),
    "signed query": _v1("https://data.example/a?X-Amz-Signature=abc"),
    "token query": _v1("https://data.example/a?token=abc"),
    "SAS query": _v1("https://acc.blob.core.windows.net/a?sv=1&sig=abc"),
    "fragment": _v1("https://data.example/a#b"),
    "control character": 'sources: {s: {driver: zarr, args: {urlpath: "s3://bkt/a\\u0000b"}}}',
    "newline in URL": 'sources: {s: {driver: zarr, args: {urlpath: "https://data.example/\\r\\nHost: x"}}}',
    "right-to-left override": _v1("s3://bkt/a\u202egnp.zarr"),
    "credentials in a bucket": _v1("s3://key:secret@bkt/a"),
    "bucket with port": _v1("s3://bkt:9000/a"),
    "bucket address": _v1("s3://169.254.169.254/a"),
    "CATALOG_DIR sent away": _v1("https://data.example/{{ CATALOG_DIR }}/a"),
    "undeclared name": _v1("s3://bkt/{{ region }}/a"),
    "filter": _v1("s3://bkt/{{ CATALOG_DIR|upper }}/a"),
    "statement": _v1("{% for i in range(9) %}a{% endfor %}"),
    "comment": _v1("s3://bkt/{# x #}a"),
    "attribute": _v1("{{ CATALOG_DIR.__class__ }}/a"),
    "env": _v1("s3://bkt/{{ env(HOME) }}"),
    "template in driver": _v1(driver="'{{ x }}'"),
    "template in metadata": _v1(rest="    metadata: {a: \"{{ cycler.__init__ }}\"}\n"),
    "template in description": _v1(rest="    description: \"{{ shell('touch intake_marker') }}\"\n"),
    "template in catalogue metadata": "metadata: {a: \"{{ 7*7 }}\"}\n" + _v1(),
    "template in storage options": _storage("{endpoint_url: '{{ x }}', anon: true}"),
    "template in scheme": _parameter("{type: str, default: s3, allowed: [s3], description: ''}", "{{ x }}://bkt/a"),
    "template in host": _parameter("{type: str, default: a, description: ''}", "https://{{ x }}.example/a"),
    "free template in bucket": _parameter("{type: str, default: a, description: ''}", "s3://{{ x }}/a"),
    "parameter without type": _parameter("{default: a}"),
    "parameter of unknown type": _parameter("{type: list, default: [a]}"),
    "parameter without default": _parameter("{type: str}"),
    "parameter outside allowed": _parameter("{type: str, default: c, allowed: [a, b]}"),
    "parameter above max": _parameter("{type: int, default: 9, max: 3}"),
    "parameter with slash": _parameter("{type: str, default: 'a/b'}"),
    "parameter with dots": _parameter("{type: str, default: '..'}"),
    "allowed value with URL": _parameter("{type: str, default: a, allowed: [a, 'https://x']}"),
    "parameter env": _parameter("{type: str, default: 'env(AWS_SECRET_ACCESS_KEY)'}"),
    "parameter client_shell": _parameter("{type: str, default: 'client_shell(touch intake_marker)'}"),
    "parameter of the catalogue": "metadata: {parameters: {x: {type: str, default: 'shell(touch intake_marker)'}}}\n" + _v1(),
    "parameter named CATALOG_DIR": _v1(rest="    parameters: {CATALOG_DIR: {type: str, default: a}}\n"),
    "data default upwards": _v1("{{ data }}/a.zarr", rest="    parameters: {data: {type: str, default: '../..'}}\n"),
    "data default absolute": _v1("{{ data }}/a.zarr", rest="    parameters: {data: {type: str, default: /etc}}\n"),
    "key": _storage("{key: AKIA, secret: abc}"),
    "session token": _storage("{token: abc}"),
    "gs token file": _storage("{token: /home/someone/key.json}", "gs://bkt/a"),
    "gs token of the cloud": _storage("{token: cloud}", "gs://bkt/a"),
    "azure key": _storage("{account_key: abc}", "abfs://c/a"),
    "endpoint over http": _storage("{anon: true, endpoint_url: 'http://data.example'}"),
    "private endpoint": _storage("{anon: true, endpoint_url: 'https://169.254.169.254'}"),
    "endpoint with the caller's keys": _storage("{endpoint_url: 'https://data.example'}"),
    "endpoint among client options": _storage("{client_kwargs: {endpoint_url: 'https://10.0.0.1'}}"),
    "verify off": _storage("{client_kwargs: {verify: false}}"),
    "profile": _storage("{profile: admin}"),
    "https headers": _storage("{headers: {Authorization: abc}}", "https://data.example/a"),
    "local options": _storage("{auto_mkdir: true}", "a.zarr"),
    "fo": _storage("{fo: 'https://data.example/r.json'}"),
    "list as driver": "sources: {s: {driver: [zarr, netcdf], args: {urlpath: a.zarr}}}",
    "driver class": _v1(driver="intake.source.base.DataSource"),
    "nested catalogue": "sources: {s: {driver: yaml_file_cat, args: {path: 'a.yaml'}}}",
    "text files": _v1(driver="textfiles"),
    "numpy pickles": _v1(driver="numpy"),
    "remade instance": "sources: {s: {cls: 'os.system', args: ['touch intake_marker'], kwargs: {}}}",
    "pandas pickle engine": _v1("a.csv", driver="csv", args="      engine: pickle\n"),
    "xarray engine": _v1("a.nc", driver="netcdf", args="      engine: kerchunk\n"),
    "preprocess": _v1("a.nc", driver="netcdf", args="      preprocess: os.system\n"),
    "backend options": _v1(args="      backend_kwargs: {storage_options: {key: a}}\n"),
    "nested backend options": _v1(args="      xarray_kwargs: {backend_kwargs: {storage_options: {key: a}}}\n"),
    "converters": _v1("a.csv", driver="csv", args="      converters: {a: eval}\n"),
    "csv storage options": _v1("a.csv", driver="csv", args="      csv_kwargs: {storage_options: {a: b}}\n"),
    "group upwards": _v1(args="      group: ../other\n"),
    "unknown source key": _v1(rest="    cache: [{argkey: urlpath, regex: '', type: file}]\n"),
    "plugins with a folder": "plugins: {source: [{dir: /tmp}]}\n" + _v1(),
    "unknown version": "version: 3\n" + _v1(),
    "version 2 with sources": "version: 2\n" + _v1(),
    "pinned file upwards": _v1(rest=f"    metadata: {{files: [{{path: ../a, sha256: {'0' * 64}}}]}}\n"),
    "pinned file over http": _v1(rest=f"    metadata: {{files: [{{path: a, url: 'http://x.example/a', sha256: {'0' * 64}}}]}}\n"),
    "pinned file without digest": _v1(rest="    metadata: {files: [{path: a, url: 'https://x.example/a'}]}\n"),
    "alias bomb": "a: &a [x, x]\nb: &b [*a, *a]\nsources: {}\n",
    "custom tag": "sources: !Foo {}\n",
    "standard tag": "sources: {s: {driver: !!str zarr, args: {urlpath: a}}}\n",
    "binary": "sources: {s: {driver: zarr, args: {urlpath: !!binary YQ==}}}\n",
    "numeric key": "sources: {1: {driver: zarr, args: {urlpath: a}}}\n",
    "complex key": "sources: {? [a] : b}\n",
    "two documents": _v1() + "---\n" + _v1(),
    "depth": "sources: " + "{a: " * 14 + "1" + "}" * 14,
    "endless depth": "[" * 50_000,
    "bulk": "metadata: [" + "1," * 70_000 + "1]\nsources: {}\n",
    "huge number": "metadata: {a: " + "9" * 5000 + "}\nsources: {}\n",
    "not a number": "metadata: {a: .nan}\nsources: {}\n",
    "empty": "",
    "scalar": "hello\n",
    "list": "- a\n",
    "no sources": "metadata: {}\n",
    "v2 func": _v2("{func(os:system)}"),
    "v2 import": _v2("s3://bkt/{import(os:system)}"),
    "v2 pickle": _v2("{pickle64(gASV)}"),
    "v2 format attribute": _v2("s3://bkt/{CATALOG_DIR.__class__}"),
    "v2 format index": _v2("s3://bkt/{STORAGE_OPTIONS[key]}"),
    "v2 format width": _v2("s3://bkt/{CATALOG_DIR:>99999999}"),
    "v2 storage options template": _v2(kwargs="      storage_options: '{STORAGE_OPTIONS}'\n"),
    "v2 stray data reference": _v2(data="{data(other)}"),
    "v2 data in text": _v2(data="data(d)"),
    "v2 data written out": _v2(data="s3://bkt/a.zarr"),
    "v2 datatype": _v2(datatype="intake.readers.datatypes:PickleFile"),
    "v2 catalogue file": _v2(datatype="intake.readers.datatypes:CatalogFile"),
    "v2 python source": _v2(datatype="intake.readers.datatypes:PythonSourceCode"),
    "v2 wrong pair": _v2(reader="intake.readers.readers:PandasCSV"),
    "v2 converter": _v2(reader="intake.readers.convert:Pipeline"),
    "v2 steps": _v2(more="      steps: [['{func(os:system)}', [touch], {}]]\n"),
    "v2 output": _v2(output="os:system"),
    "v2 icechunk": _v2(datatype="intake.readers.datatypes:IcechunkRepo"),
    "v2 parameter class": _v2(parameters="{u: {cls: 'os:system', default: a}}"),
    "v2 parameter builtin": _v2(
        parameters="{u: {cls: 'intake.readers.user_parameters:SimpleUserParameter', dtype: eval, default: a}}"
    ),
    "v2 parameter env": _v2(
        parameters="{u: {cls: 'intake.readers.user_parameters:SimpleUserParameter', dtype: str, default: 'env(HOME)'}}"
    ),
    "v2 literal parameter": _v2(parameters="{STORAGE_OPTIONS: {key: abc}}"),
    "v2 alias of nothing": _v2().replace("{s: e}", "{s: os}"),
}  # fmt: skip

BENIGN = {
    "pangeo": "metadata: {version: 1}\nsources:\n  sst:\n    description: OISST\n    driver: zarr\n    metadata:\n"
    "      tags: [ocean, sst]\n      url: https://pangeo.example/doc\n    args:\n"
    "      urlpath: 'gcs://pangeo-noaa/oisst.zarr'\n      consolidated: True\n      storage_options: {requester_pays: True}\n",
    "relative": _v1("data/a.zarr"),
    "below": _v1("{{CATALOG_DIR}}/data/a.zarr"),
    "below without slash": _v1("{{ CATALOG_DIR }}data/a.zarr"),
    "https": _v1("https://data.example.org/v1.0/a%20b.zarr"),
    "https port": _v1("https://data.example.org:443/a.zarr"),
    "https download": _v1("https://zenodo.example.org/records/1/a.nc?download=1", driver="netcdf"),
    "azure": _v1("abfs://container@account.dfs.core.windows.net/a.zarr", args="      storage_options: {anon: true}\n"),
    "azure container": _v1("az://container/a.zarr", args="      storage_options: {account_name: era5}\n"),
    "endpoint": _storage("{anon: true, client_kwargs: {endpoint_url: 'https://osn.example.org'}}"),
    "netcdf": _v1(
        "a.nc", driver="netcdf", args="      chunks: {time: 12}\n      xarray_kwargs: {engine: h5netcdf, decode_times: false}\n"
    ),
    "netcdf glob": _v1("{{ CATALOG_DIR }}/a_*.nc", driver="netcdf", args="      combine: by_coords\n"),
    "rasterio": _v1("s3://bkt/a.tif", driver="rasterio", args="      chunks: {x: 512, y: 512}\n"),
    "csv": _v1("a.csv", driver="csv", args="      sep: ';'\n      encoding: latin-1\n      header: null\n      names: [a, b]\n"),
    "csv of old": _v1("a.csv", driver="csv", args="      csv_kwargs: {sep: ';', dtype: {a: str}}\n"),
    "class name of a driver": _v1(driver="intake_xarray.xzarr.ZarrSource"),
    "list of files": "sources: {s: {driver: netcdf, args: {urlpath: [a.nc, b.nc], combine: nested, concat_dim: time}}}\n",
    "integer": _parameter("{type: int, default: 2001, min: 1979, max: 2020, description: year}"),
    "date": _parameter("{type: datetime, default: 2001-01-01, description: day}"),
    "bucket from a list": _parameter("{type: str, default: a, allowed: [a, b], description: ''}", "s3://{{ x }}/a.zarr"),
    "shared parameter": "metadata: {parameters: {r: {type: str, default: '11'}}}\n" + _v1("gs://b/{{ r }}/a.zarr"),
    "folder": _v1("{{ data }}/a.zarr", rest="    parameters: {data: {type: str, default: public, description: d}}\n"),
    "colon in text": _v1(rest="    description: 'ERA5: {monthly} means, 100 %'\n"),
    "umlaut in a file name": _v1("Ötztal.nc", driver="netcdf"),
    "direct access": _v1(rest="    direct_access: allow\n"),
    "empty catalogue": "sources: {}\n",
    "v2 plain": _v2(),
    "v2 group": _v2(kwargs="      root: land/monthly\n"),
    "v2 chunks": _v2(more="      chunks: {time: 1}\n"),
    "v2 csv": _v2(
        "{CATALOG_DIR}/a.csv",
        datatype="intake.readers.datatypes:CSV",
        reader="intake.readers.readers:PandasCSV",
        output="pandas:DataFrame",
        more="      sep: ';'\n",
    ),
    "v2 options": _v2(
        "gs://b/{r}/a.zarr",
        parameters="{r: {cls: 'intake.readers.user_parameters:OptionsUserParameter', dtype: str, default: a, options: [a, b]}}",
    ),
}  # fmt: skip


def _write(folder: Path, text: str) -> Path:
    file = folder / "catalog.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_catalogues_are_refused_before_anything_in_them_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = _write(tmp_path, HOSTILE[name])
    faults = check_catalog(file)
    assert faults
    with pytest.raises(CatalogError, match=r"expected"):
        open_catalog(file)
    assert all(fault.expected and fault.remedy and fault.path == str(file) for fault in faults)
    assert os.listdir(tmp_path) == ["catalog.yaml"]


@pytest.mark.parametrize("name", BENIGN)
def test_ordinary_catalogues_are_let_through(name: str, tmp_path: Path) -> None:
    file = _write(tmp_path, BENIGN[name])
    assert [str(fault) for fault in check_catalog(file)] == []
    assert len(open_catalog(file)) == (0 if "empty" in name else 1)


def test_every_hostile_file_of_the_shared_cases_is_refused(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted((shared / "hostile_catalogs" / "hostile").glob("*.yaml"))
    assert len(files) >= 25
    for file in files:
        assert check_catalog(file), file.name
        with pytest.raises(CatalogError):
            open_catalog(file)
    assert not (tmp_path / "intake_marker").exists()


def test_every_benign_file_of_the_shared_cases_is_accepted(shared: Path) -> None:
    files = sorted((shared / "hostile_catalogs" / "benign").glob("*.yaml"))
    assert len(files) >= 5
    assert {file.name: list(open_catalog(file)) for file in files} == {file.name: ["s"] for file in files}


def test_a_refusal_names_file_line_entry_what_came_what_was_expected_and_the_remedy(tmp_path: Path) -> None:
    file = _write(tmp_path, _v1() + "  t:\n    driver: subprocess.Popen\n    args: {urlpath: a.zarr}\n")
    with pytest.raises(CatalogError) as caught:
        open_catalog(file)
    message = str(caught.value)
    for part in (
        str(file),
        "line 7",
        "entry 't'",
        "'subprocess.Popen'",
        "expected one of zarr",
        "name one of these drivers",
    ):
        assert part in message
    assert (caught.value.line, caught.value.entry) == (7, "t")


def test_check_lists_all_faults_and_open_counts_them(tmp_path: Path) -> None:
    text = _v1("http://a.example/b", args="      preprocess: x\n") + "  t:\n    driver: pickle\n    args: {}\n"
    file = _write(tmp_path, text)
    assert [(fault.line, fault.entry) for fault in check_catalog(file)] == [(5, "s"), (6, "s"), (8, "t")]
    with pytest.raises(CatalogError, match=r"2 more: glacierscale catalog check"):
        open_catalog(file)


def test_refusals_never_repeat_a_secret(tmp_path: Path) -> None:
    for text in (_storage("{key: AKIA, secret: hunter2}"), _v1("https://user:hunter2@data.example/a")):
        faults = check_catalog(_write(tmp_path, text))
        assert faults
        assert not any("hunter2" in str(fault) for fault in faults)


def test_large_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    big = _write(tmp_path, "sources: {}\n" + "#" * (1 << 20))
    with pytest.raises(CatalogError, match="1 MiB"):
        open_catalog(big)
    (tmp_path / "latin.yaml").write_bytes("description: Ötztal\nsources: {}\n".encode("latin-1"))
    with pytest.raises(CatalogError, match="UTF-8"):
        open_catalog(tmp_path / "latin.yaml")
    with pytest.raises(CatalogError, match="no such file"):
        open_catalog(tmp_path / "absent.yaml")


def test_a_link_that_leaves_the_catalogue_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "up").symlink_to(tmp_path)
    for url in ("link.csv", "up/secret.csv", "*.csv", "{{ CATALOG_DIR }}/link.csv"):
        with pytest.raises(CatalogError, match="leaves"):
            open_catalog(_write(inside, _v1(url, driver="csv")))
    folder = "    parameters: {data: {type: str, default: public, description: d}}\n"
    with pytest.raises(CatalogError, match="leaves"):
        open_catalog(_write(inside, _v1("{{ data }}/link.csv", driver="csv", rest=folder)), data=inside)


@pytest.mark.parametrize(
    "value", ["../x", "a/b", "a\\b", "https://x", "a:b", "{{ x }}", "a\0b", "a\nb", "..", ".", "", "é%2e", " a"]
)
def test_a_callers_text_cannot_begin_a_new_part_of_the_location(value: str, tmp_path: Path) -> None:
    file = _write(tmp_path, _parameter("{type: str, default: a, description: ''}"))
    with pytest.raises(CatalogError, match="parameter value"):
        open_catalog(file, x=value)


def test_parameters_are_rendered_and_checked_and_unknown_ones_listed(tmp_path: Path) -> None:
    file = _write(tmp_path, _parameter("{type: int, default: 2001, min: 1979, max: 2020, description: year}"))
    assert open_catalog(file)["s"].urlpaths == ("s3://bkt/2001/a.zarr",)
    assert open_catalog(file, x=2005)["s"].urlpaths == ("s3://bkt/2005/a.zarr",)
    assert open_catalog(file, x="2005").fingerprint == open_catalog(file, x=2005).fingerprint
    assert open_catalog(file).fingerprint != open_catalog(file, x=2005).fingerprint
    with pytest.raises(CatalogError, match="at most 2020"):
        open_catalog(file, x=2021)
    with pytest.raises(CatalogError, match="type int"):
        open_catalog(file, x=True)
    with pytest.raises(CatalogError, match=r"the parameter 'year'; expected one of x"):
        open_catalog(file, year=2005)


def test_version_2_parameters_are_rendered(tmp_path: Path) -> None:
    file = _write(tmp_path, BENIGN["v2 options"])
    assert open_catalog(file, r="b")["s"].urlpaths == ("gs://b/b/a.zarr",)
    with pytest.raises(CatalogError, match="one of a, b"):
        open_catalog(file, r="c")


@pytest.mark.parametrize(
    ("kind", "value", "text"), [("bool", True, True), ("float", "1.5", 1.5), ("datetime", "2001-02-03", "2001-02-03")]
)
def test_parameters_keep_their_type(kind: str, value: object, text: object) -> None:
    assert Parameter(name="x", kind=kind, default=0).validate(value) == text


@pytest.mark.parametrize("value", ["nan", "inf", "x"])
def test_numbers_must_be_finite(value: str) -> None:
    with pytest.raises(Refused):
        Parameter(name="x", kind="float", default=0.0).validate(value)


def test_public_hosts_and_urls_pass_unchanged() -> None:
    for host in (
        "data.example.org",
        "raw.githubusercontent.com",
        "its-live-data.s3.amazonaws.com",
        "1000genomes.s3.amazonaws.com",
    ):
        assert check_host(host) == host
    for url in ("s3://copernicus-dem-30m/a/b.tif", "gs://b/a.zarr", "https://data.example.org/a/b-1.0_x+y.nc"):
        assert check_url(url) == url


def test_a_public_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    answers = {"public.example.org": "93.184.215.14", "rebound.example.org": "10.0.0.7"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(2, 1, 6, "", (answers[host], port))])
    check_resolved("https://public.example.org/a")
    with pytest.raises(CatalogError, match="resolves to a private address"):
        check_resolved("https://rebound.example.org/a")


JUNK: list[Any] = [
    None, True, -1.5, "", [], {}, [1, [2]], {"a": {"b": "c"}}, "{x}", "{{ x }}", "https://[::1", "https://a.example/%ff", "a**b",
    "a" * 3000, "x/" * 900, 2**70, "::", "/", "https://", "\u2028",
]  # fmt: skip


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_replaces_a_value_the_gate_answers_with_faults_and_never_stumbles(
    data: st.DataObject, tmp_path: Path
) -> None:
    document = yaml.safe_load(data.draw(st.sampled_from(sorted(BENIGN.values()))))
    *parents, last = data.draw(st.sampled_from([place for place in _places(document) if place]))
    target = document
    for key in parents:
        target = target[key]
    target[last] = data.draw(st.sampled_from(JUNK))
    faults = check_catalog(_write(tmp_path, yaml.safe_dump(document, allow_unicode=True)))
    assert all(isinstance(fault, CatalogError) for fault in faults)
    if faults:
        with pytest.raises(CatalogError):
            open_catalog(tmp_path / "catalog.yaml")
