"""Files of references are fetched whole and checked for any behavior of the server; no others are."""

import hashlib
import shutil
import subprocess
import time

import pytest
from cellferry.errors import InputError
from cellferry.references import connection, fetching
from cellferry.references.cache import Shelves
from cellferry.references.fetching import ATTEMPTS, fetch
from moody_server import CONTENT, OTHER, PATH, Answer, reference, serving


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS_BEFORE_SECOND", 0.001)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    with serving() as server:
        server.tell(PATH, Answer(CONTENT))
        yield server


@pytest.fixture
def shelves(tmp_path):
    return Shelves(tmp_path / "cache")


@pytest.fixture
def lung(server):
    return reference(location=server.address + PATH)


def part_of(shelves):
    return shelves.cache / "lung-1.0.cellferry.zip.part"


def refused(lung, shelves):
    """The message of a failed fetch, after which no file has the final name."""
    with pytest.raises(InputError) as raised:
        fetch(lung, shelves)
    assert not shelves.cached(lung).exists()
    return str(raised.value)


def test_a_file_is_fetched_once(server, lung, shelves):
    path = fetch(lung, shelves)
    assert path == shelves.cache / "lung-1.0.cellferry.zip"
    assert path.read_bytes() == CONTENT
    assert not part_of(shelves).exists()
    assert fetch(lung, shelves) == path
    assert server.ranges == [None]


def test_a_dropped_connection_is_taken_up_where_it_was(server, lung, shelves, capsys):
    drops = [Answer(CONTENT, ends_after=n) for n in (200_000, 100_000, 10)]
    server.tell(PATH, *drops, Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges[1:]]
    assert begun == sorted(begun)
    assert 0 < begun[0] <= 200_000
    assert 200_000 < begun[-1] <= 300_010
    assert "the connection was dropped; 0." in capsys.readouterr().out


def test_a_later_fetch_goes_on_with_the_earlier_ones_part(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(status=403))
    assert "403 Forbidden" in refused(lung, shelves)
    there = part_of(shelves).stat().st_size
    assert there > 200_000
    server.tell(PATH, Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={there}-"


def test_a_part_that_was_whole_already_is_only_checked(server, lung, shelves):
    shelves.cache.mkdir()
    part_of(shelves).write_bytes(CONTENT)
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_that_knows_no_parts_begins_again(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(CONTENT, ranges=False))
    assert fetch(lung, shelves).read_bytes() == CONTENT


@pytest.mark.parametrize("start", ["7", "", "9" * 5000], ids=["other", "none", "long"])
def test_a_server_that_sends_another_part_than_was_asked_for(server, lung, shelves, start):
    wrong = Answer(CONTENT, headers={"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"})
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), wrong, Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_server_that_has_no_such_part(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(status=416), Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT


def test_it_is_given_up_when_nothing_new_comes(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(CONTENT, ends_after=0))
    said = refused(lung, shelves)
    assert (
        f"the connection was dropped, {ATTEMPTS} times in a row; try again later (the fetched part is kept)"
        in said
    )
    assert len(server.asked) == ATTEMPTS
    assert part_of(shelves).exists()


def test_attempts_that_bring_much_are_not_counted(server, lung, shelves, monkeypatch):
    monkeypatch.setattr(fetching, "NEW_BYTES", 1000)
    server.tell(PATH, Answer(CONTENT, ends_after=66_000))
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert len(server.asked) > ATTEMPTS


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, lung, shelves, status, monkeypatch, capsys):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.tell(PATH, Answer(status=status, headers={"Retry-After": "7"}), Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert waited == [7]
    assert f"the server answers {status} " in capsys.readouterr().out


def test_a_server_that_stays_busy(server, lung, shelves):
    server.tell(PATH, Answer(status=503))
    assert f"the server answers 503 Service Unavailable, {ATTEMPTS} times in a row" in refused(lung, shelves)


@pytest.mark.parametrize("wait", ["soon", "-1", "9" * 5000, "Wed, 21 Oct 2026 07:28:00 GMT"], ids=range(4))
def test_a_wait_that_is_not_a_number_of_seconds_is_ours(server, lung, shelves, monkeypatch, wait):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.tell(PATH, Answer(status=503, headers={"Retry-After": wait}), Answer(CONTENT))
    fetch(lung, shelves)
    assert waited == [fetching.SECONDS_BEFORE_SECOND]


def test_nobody_waits_longer_than_a_minute(server, lung, shelves, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.tell(PATH, Answer(status=503, headers={"Retry-After": "86400"}), Answer(CONTENT))
    fetch(lung, shelves)
    assert waited == [60]


@pytest.mark.parametrize("status", [204, 300, 401, 404, 410])
def test_what_another_attempt_would_not_change_is_said_at_once(server, lung, shelves, status):
    server.tell(PATH, Answer(status=status))
    assert f"{server.address}{PATH} answers {status} " in refused(lung, shelves)
    assert len(server.asked) == 1


def test_nobody_listens(shelves):
    with serving() as server:
        gone = reference(location=server.address + PATH)
    said = refused(gone, shelves)
    assert f"no connection (Connection refused), {ATTEMPTS} times in a row" in said
    assert "or use a mirror (docs/references.md)" in said


def test_a_server_that_says_nothing_more(server, lung, shelves, monkeypatch):
    monkeypatch.setattr(connection, "SECONDS_WITHOUT_ANSWER", 0.1)

    class Silent(Answer):
        def send(self, handler):
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT[:70_000])
            time.sleep(0.5)

    server.tell(PATH, Silent(), Answer(CONTENT))
    assert fetch(lung, shelves).read_bytes() == CONTENT


# ---- Wrong files


def test_wrong_bytes_are_removed_and_said(server, lung, shelves):
    server.tell(PATH, Answer(OTHER))
    said = refused(lung, shelves)
    assert (
        f"has another file (SHA-256 {hashlib.sha256(OTHER).hexdigest()}), but refs.yaml lists {lung.sha256}"
        in said
    )
    assert "nothing was kept" in said
    assert not part_of(shelves).exists()
    assert len(server.asked) == 1


@pytest.mark.parametrize("length", [len(CONTENT) + 1, len(CONTENT) - 1, 0, "many"])
def test_another_length_is_refused_before_anything_is_read(server, lung, shelves, length):
    server.tell(PATH, Answer(CONTENT, length=length))
    said = refused(lung, shelves)
    # A length that is not a number also means another file.
    assert f"has {length} bytes, but refs.yaml lists {len(CONTENT):,}" in said
    assert not part_of(shelves).exists()


def test_a_file_without_a_length_that_is_too_long(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT + b"x", length=None))
    assert f"has more than {len(CONTENT):,} bytes" in refused(lung, shelves)
    assert not part_of(shelves).exists()


def test_a_file_without_a_length_that_is_too_short(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT[:-1], length=None, ranges=False))
    assert f"the connection ended early, {ATTEMPTS} times in a row" in refused(lung, shelves)


def test_a_rest_of_a_file_of_another_length(server, lung, shelves):
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(CONTENT + b"xy"))
    assert f"has {len(CONTENT) + 2} bytes" in refused(lung, shelves)
    assert not part_of(shelves).exists()


@pytest.mark.parametrize("n_bytes", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_is_no_hindrance(server, lung, shelves, n_bytes):
    shelves.cache.mkdir()
    part_of(shelves).write_bytes((OTHER * 2)[:n_bytes])
    assert fetch(lung, shelves).read_bytes() == CONTENT


def test_a_part_of_another_file_and_another_file_on_the_server(server, lung, shelves):
    shelves.cache.mkdir()
    part_of(shelves).write_bytes(OTHER[:1000])
    server.tell(PATH, Answer(OTHER))
    assert "has another file" in refused(lung, shelves)
    assert server.ranges == ["bytes=1000-", None]


def test_a_cached_file_that_is_damaged_is_fetched_again(lung, shelves, capsys):
    path = fetch(lung, shelves)
    path.write_bytes(OTHER)
    assert fetch(lung, shelves).read_bytes() == CONTENT
    assert f"{path} has the SHA-256 " in capsys.readouterr().out


def test_a_damaged_file_stays_until_there_is_another(server, lung, shelves):
    path = fetch(lung, shelves)
    path.write_bytes(OTHER)
    server.tell(PATH, Answer(status=404))
    with pytest.raises(InputError):
        fetch(lung, shelves)
    assert path.read_bytes() == OTHER


# ---- Redirects


def leads_to(target, status=302):
    return Answer(status=status, headers={"Location": target})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server, shelves, status):
    server.tell("/old", leads_to("/new", status))
    server.tell("/new", leads_to(server.address + PATH, status))
    assert fetch(reference(location=f"{server.address}/old"), shelves).read_bytes() == CONTENT


def test_a_resumed_file_is_asked_for_where_it_was_redirected_to(server, shelves):
    server.tell("/old", leads_to(PATH))
    server.tell(PATH, Answer(CONTENT, ends_after=300_000), Answer(CONTENT))
    assert fetch(reference(location=f"{server.address}/old"), shelves).read_bytes() == CONTENT
    assert server.ranges[-1].startswith("bytes=")


def test_redirects_in_a_circle(server, lung, shelves):
    server.tell(PATH, leads_to("/round"))
    server.tell("/round", leads_to(PATH))
    assert "has more than 10 redirects" in refused(lung, shelves)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://example.org/lung.zip", "is not encrypted: use https"),
        ("file:///etc/passwd", "is not a valid address"),
        ("ftp://127.0.0.1/lung.zip", "is not a valid address"),
        ("https://me:secret@example.org/lung.zip", "contains a user name or password"),
        ("https://[::1/lung.zip", "is not a valid address (Invalid IPv6 URL)"),
    ],
)
def test_redirects_to_where_nothing_is_asked(server, lung, shelves, target, said):
    server.tell(PATH, leads_to(target))
    assert said in refused(lung, shelves)
    assert len(server.asked) == 1


# ---- Certificates


@pytest.fixture
def safe_server(tmp_path):
    """An https server, and the file of its self-signed certificate."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    if shutil.which("openssl") is None:
        pytest.skip("a certificate is made by openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving(certificate, key) as server:
        server.tell(PATH, Answer(CONTENT))
        yield server, certificate


def test_https_with_a_certificate_that_is_known(safe_server, shelves, monkeypatch):
    server, certificate = safe_server
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert fetch(reference(location=server.address + PATH), shelves).read_bytes() == CONTENT


def test_https_with_a_certificate_that_is_not(safe_server, shelves):
    server, _ = safe_server
    said = refused(reference(location=server.address + PATH), shelves)
    assert f"no safe connection to {server.address}{PATH} (self-signed certificate (_ssl.c:" in said
    assert "set REQUESTS_CA_BUNDLE to their file" in said
    assert server.asked == []


def test_from_https_to_http_there_is_no_way(safe_server, server, shelves, monkeypatch):
    safe, certificate = safe_server
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    safe.tell(PATH, leads_to(server.address + PATH))
    said = refused(reference(location=safe.address + PATH), shelves)
    assert f"{safe.address}{PATH} redirects to {server.address}{PATH}, which is not encrypted" in said
    assert server.asked == []


def test_certificates_that_are_not_there(safe_server, shelves, monkeypatch):
    server, _ = safe_server
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    said = refused(reference(location=server.address + PATH), shelves)
    assert "cannot be fetched (Could not find a suitable TLS CA certificate bundle" in said
