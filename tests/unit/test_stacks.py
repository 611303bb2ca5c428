"""Whose code a frame is, and what a place is called in a title."""

from __future__ import annotations

import pytest

from injector.campaigns.stacks import bare, of_a_sanitizer


@pytest.mark.parametrize(
    ("function", "library", "whose"),
    [
        ("_ZN11__sanitizer13internal_mmapEPvmiiiy", "/lib/x86_64-linux-gnu/libasan.so.8", True),
        ("", "/usr/lib/libtsan.so.2", True),
        ("_ZN11__sanitizer13internal_openEPKcii", "/srv/shop", True),  # -static-libasan
        ("__asan_report_error", "/srv/shop", True),
        ("write", "/lib/libc.so.6", False),
        ("heap", "/srv/asan", False),
        ("", "/opt/libasanka/libshop.so", False),
    ],
)
def test_the_run_time_of_a_sanitizer(function: str, library: str, whose: bool) -> None:
    assert of_a_sanitizer(function, library) == whose


@pytest.mark.parametrize(
    ("function", "title"),
    [
        ("store::commit(int)", "store::commit"),
        ("(anonymous namespace)::load(char const*, int) const", "(anonymous namespace)::load"),
        ("run(void (*)(int))", "run"),
        ("Job::operator()(int)", "Job::operator()"),
        ("main", "main"),
        ("f(g(h", "f(g(h"),
        ("odd)", "odd)"),
        ("()", "()"),
    ],
)
def test_a_title_leaves_out_parameters(function: str, title: str) -> None:
    assert bare(function) == title
