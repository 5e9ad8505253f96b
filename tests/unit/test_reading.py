"""Signatures of files: content of small ones, size and time of large ones."""

import os

from cellferry.core.reading import CHECKSUM_BYTES, signature


def test_small_files_are_told_apart_by_their_content(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("cells")
    other.write_text("cells")
    os.utime(other, (1, 1))
    assert signature(one) == signature(other)
    other.write_text("cellz")
    os.utime(other, (1, 1))
    assert signature(one) != signature(other)


def test_large_files_are_told_apart_by_size_and_time(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(CHECKSUM_BYTES + 1))
    os.utime(path, (1000.25, 1000.25))
    first = signature(path)
    os.utime(path, (1000.75, 1000.75))  # a copy keeps whole seconds
    assert signature(path) == first
    os.utime(path, (900, 900))
    assert signature(path) != first
    path.write_bytes(bytes(CHECKSUM_BYTES + 2))
    os.utime(path, (1000, 1000))
    assert signature(path) != first


def test_a_file_that_is_not_there_has_a_signature_too(tmp_path):
    assert signature(tmp_path / "no") == "unreadable: No such file or directory"
