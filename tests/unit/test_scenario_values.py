"""The small languages of values: what they mean, what they refuse and how they are written back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.rules.scenario import patterns, values
from injector.rules.scenario.fields import Bad, Mistakes, Text
from injector.words.model import Delay, FdKind, Globs, Range, Short, When

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5%", 0.05),
        ("0.05", 0.05),
        ("1", 1.0),
        ("0", 0.0),
        ("100%", 1.0),
        (".5", 0.5),
        ("0.1%", 0.001),
        ("1e-3", 0.001),
        ("12.5 %", 0.125),
        ("33%", 0.33),
    ],
)
def test_probabilities(text: str, value: float) -> None:
    assert values.probability(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "5, without %, is more than always"),
        ("101%", "101% is more than always"),
        ("-1%", "'-1' is not a number"),
        ("x", "'x' is not a number"),
        ("%", "'' is not a number"),
        ("nan", "'nan' is not a number"),
        ("inf", "'inf' is not a number"),
        ("1e999", "1e999, without %, is more than always"),
        ("1" * 50, f"'{'1' * 50}' is not a number"),
        ("٥%", "'٥' is not a number"),
    ],
)
def test_wrong_probabilities(text: str, message: str) -> None:
    with pytest.raises(Bad) as caught:
        values.probability(text)
    assert caught.value.message == message


@given(st.floats(0, 1))
def test_probabilities_are_read_back(value: float) -> None:
    assert values.probability(values.probability_text(value)) == value


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("200ms", 200 * MS),
        ("2s", 2000 * MS),
        ("10us", 10000),
        ("10µs", 10000),
        ("1m", 60000 * MS),
        ("500ns", 500),
        ("1.5s", 1500 * MS),
        ("1 h", 3600000 * MS),
        ("0s", 0),
        ("0.5ns", 0),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert values.duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "say the unit of 5"),
        ("0", "say the unit of 0"),
        ("5sec", "unknown unit 'sec'"),
        ("5mss", "unknown unit 'mss'; did you mean 'ms'?"),
        ("-5s", "'-5s' is not a time"),
        ("ms", "'ms' is not a time"),
        ("999999999h", "999999999h is longer than a year"),
        ("1e3s", "'1e3s' is not a time"),
    ],
)
def test_wrong_durations(text: str, message: str) -> None:
    with pytest.raises(Bad) as caught:
        values.duration(text)
    assert caught.value.message == message


@given(st.integers(0, 366 * 24 * 3600 * 10**9))
def test_durations_are_read_back(nanoseconds: int) -> None:
    assert values.duration(values.exact_duration_text(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("200ms", Delay("fixed", 200 * MS)),
        ("10ms..50ms", Delay("uniform", 10 * MS, 50 * MS)),
        ("10ms .. 50ms", Delay("uniform", 10 * MS, 50 * MS)),
        ("exponential 20ms", Delay("exponential", 20 * MS)),
        ("normal 20ms 5ms", Delay("normal", 20 * MS, 5 * MS)),
    ],
)
def test_delays(text: str, delay: Delay) -> None:
    assert values.delay(text) == delay
    assert values.delay(values.delay_text(delay)) == delay


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "50ms..10ms",
        "10ms..",
        "..5ms",
        "10..50ms",
        "exponential",
        "exponential 5",
        "normal 20ms",
        "normal 1ms 2ms 3ms",
        "gaussian 5ms",
        "20ms 5ms",
        "ms",
    ],
)
def test_wrong_delays(text: str) -> None:
    with pytest.raises(Bad):
        values.delay(text)


@pytest.mark.parametrize(
    ("text", "when", "canonical"),
    [
        ("3", When(3, 3), "3"),
        ("3+", When(3), "3+"),
        ("3+2", When(3, None, 2), "3+2"),
        ("3..9", When(3, 9), "3..9"),
        ("3..9+", When(3, 9), "3..9"),
        ("3..9+2", When(3, 9, 2), "3..9+2"),
        ("3..3+5", When(3, 3), "3"),
        ("1+", When(), "1+"),
        ("100000", When(100000, 100000), "100000"),
    ],
)
def test_when(text: str, when: When, canonical: str) -> None:
    assert values.when(text) == when
    assert str(when) == canonical
    assert values.when(canonical) == when


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "occurrences count from 1"),
        ("0+", "occurrences count from 1"),
        ("3+0", "the step is 0"),
        ("9..3", "9..3 goes backwards"),
        ("3..", "'3..' is no range of occurrences"),
        ("..3", "'..3' is no range of occurrences"),
        ("-1", "'-1' is no range of occurrences"),
        ("1.5", "'1.5' is no range of occurrences"),
        ("first", "'first' is no range of occurrences"),
        ("9" * 30, f"{'9' * 30} is more than {2**63 - 1}"),
    ],
)
def test_wrong_when(text: str, message: str) -> None:
    with pytest.raises(Bad) as caught:
        values.when(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4096", 4096),
        ("0x1000", 4096),
        ("4K", 4096),
        ("1m", 1 << 20),
        ("-5", -5),
        ("0o17", 15),
        ("010", 10),
        ("0b11", 3),
        ("2G", 2 << 30),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert values.integer(text) == value


@pytest.mark.parametrize("text", ["", "x", "0x", "1.5", "4KB", "1_000", "1" * 100, "0xg"])
def test_wrong_integers(text: str) -> None:
    with pytest.raises(Bad):
        values.integer(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", Short(bytes=1)), ("4K", Short(bytes=4096)), ("50%", Short(fraction=0.5))],
)
def test_short(text: str, value: Short) -> None:
    assert values.short(text) == value


@pytest.mark.parametrize("text", ["0", "0%", "100%", "-1", "half", "0.5", "150%"])
def test_wrong_short(text: str) -> None:
    with pytest.raises(Bad):
        values.short(text)


@given(st.floats(1e-6, 1, exclude_max=True))
def test_short_fractions_are_read_back(fraction: float) -> None:
    assert values.short(values.short_text(Short(fraction=fraction))) == Short(fraction=fraction)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ENOSPC", "ENOSPC"),
        ("enospc", "ENOSPC"),
        ("28", "ENOSPC"),
        ("EWOULDBLOCK", "EAGAIN"),
        ("4095", "4095"),
        ("134", "134"),
    ],
)
def test_errnos(text: str, name: str) -> None:
    assert values.errno(text) == name
    assert values.errno(name) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "error 0 is no error"),
        ("4096", "error 4096 is not in 1..4095"),
        ("-5", "error -5 is not in 1..4095"),
        ("512", "error 512 (ERESTARTSYS) is the kernel's own, which no program sees"),
        ("520", "error 520 is the kernel's own, which no program sees"),
        ("ERESTARTSYS", "ERESTARTSYS is the kernel's own, which no program sees"),
        ("ENOSP", "no error 'ENOSP'; did you mean 'ENOSPC'?"),
        ("ZZZ", "no error 'ZZZ'"),
        ("9" * 5000, f"no error '{'9' * 5000}'"),
    ],
)
def test_wrong_errnos(text: str, message: str) -> None:
    with pytest.raises(Bad) as caught:
        values.errno(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "number"), [("TERM", 15), ("sigterm", 15), ("9", 9), ("SIGRTMIN+2", 36), ("32", 32)]
)
def test_signals(text: str, number: int) -> None:
    assert values.signal(text) == number
    assert values.signal(values.signal_text(number)) == number


@pytest.mark.parametrize("text", ["0", "65", "SIGFOO", "", "9" * 5000])
def test_wrong_signals(text: str) -> None:
    with pytest.raises(Bad):
        values.signal(text)


def test_retval_refuses_what_programs_take_for_an_error() -> None:
    with pytest.raises(Bad) as caught:
        values.retval("-5")
    assert (caught.value.message, caught.value.help) == (
        "-5 is a failure to the program",
        "say error: EIO",
    )
    assert values.retval("0x7fff") == 0x7FFF
    assert values.retval("-5000") == values.retval("18446744073709546616") == 2**64 - 5000
    assert values.exact_retval_text(2**64 - 5000) == "-5000"
    # which is how strace's retval=-1 is kept
    assert values.retval(values.exact_retval_text(2**64 - 1)) == 2**64 - 1
    for wrong in ("0x10000000000000000", "18446744073709551615", "x"):
        with pytest.raises(Bad):
            values.retval(wrong)


@pytest.mark.parametrize(
    ("texts", "ranges", "kinds", "canonical"),
    [
        (["0..2"], (Range(0, 2),), frozenset(), "0..2"),
        ([">2"], (Range(3, None),), frozenset(), ">=3"),
        (["<=2", "7"], (Range(None, 2), Range(7, 7)), frozenset(), "<=2,7"),
        (["socket, pipe"], (), frozenset((FdKind.SOCKET, FdKind.PIPE)), "pipe,socket"),
    ],
)
def test_descriptors(
    texts: list[str], ranges: tuple[Range, ...], kinds: frozenset[FdKind], canonical: str
) -> None:
    found = patterns.fd_set([Text(text) for text in texts], Mistakes())
    assert found is not None
    assert (found.ranges, found.kinds, found.text) == (ranges, kinds, canonical)


@pytest.mark.parametrize("text", ["sock", "-1", "2..0", ">", "", "<0", "!tty", "3.5"])
def test_wrong_descriptors(text: str) -> None:
    notes = Mistakes()
    assert patterns.fd_set([Text(text)], notes) is None
    assert len(notes.found) == 1


@pytest.mark.parametrize(
    ("text", "network", "ports", "canonical"),
    [
        ("10.0.0.0/8:5432", "10.0.0.0/8", Range(5432, 5432), "10.0.0.0/8:5432"),
        (":443", "", Range(443, 443), ":443"),
        ("*:443", "", Range(443, 443), ":443"),
        (":8000..8100", "", Range(8000, 8100), ":8000..8100"),
        (":>=1024", "", Range(1024, 65535), ":1024..65535"),
        ("[::1]:53", "::1", Range(53, 53), "[::1]:53"),
        ("[fe80::/10]:53", "fe80::/10", Range(53, 53), "[fe80::/10]:53"),
        ("[fe80::]/10:53", "fe80::/10", Range(53, 53), "[fe80::/10]:53"),
        ("::1", "::1", None, "::1"),
        ("127.0.0.1", "127.0.0.1", None, "127.0.0.1"),
        ("::/0", "::/0", None, "::/0"),
    ],
)
def test_addresses(text: str, network: str, ports: Range | None, canonical: str) -> None:
    found = patterns.address(text)
    assert (found.network, found.ports, found.unix, found.text) == (network, ports, None, canonical)
    assert patterns.address(canonical) == found


@pytest.mark.parametrize("path", ["/run/x.sock", "@abstract", "*"])
def test_unix_addresses(path: str) -> None:
    assert patterns.address(f"unix:{path}").unix == path


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("localhost:80", "'localhost': host names are not looked up", "127.0.0.0/8 or ::1"),
        ("10.0.0.1/8", "10.0.0.1/8 has bits set beyond its prefix", "10.0.0.0/8"),
        ("/run/x", "'/run/x' is no network address", "say unix:/run/x"),
        (":65536", "port 65536 is not in 0..65535", ""),
        ("[::1", "the [ is not closed", "like [::1]:53"),
        ("300.1.1.1", "'300.1.1.1' is no IP address or network", "like 10.0.0.0/8, ::1"),
    ],
)
def test_wrong_addresses(text: str, message: str, help: str) -> None:
    with pytest.raises(Bad) as caught:
        patterns.address(text)
    assert (caught.value.message, caught.value.help) == (message, help)


@pytest.mark.parametrize(
    "text", ["", "*", ":", ":x", "unix:", "unix:@", "[::1]x", ":9..1", "1.2.3"]
)
def test_more_wrong_addresses(text: str) -> None:
    with pytest.raises(Bad):
        patterns.address(text)


def test_globs() -> None:
    found = patterns.globs([Text("/var/**"), Text("!/var/log/*")], Mistakes())
    assert found == Globs(("/var/**",), ("/var/log/*",))
    for wrong in ("", "!", "a\0b"):
        notes = Mistakes()
        assert patterns.globs([Text(wrong)], notes) is None
        assert len(notes.found) == 1


@pytest.mark.parametrize("text", ["50%", "10%", "0.5%", "33.3%", "99%", "0.0001%"])
def test_a_fraction_is_written_as_people_write_it(text: str) -> None:
    assert values.short_text(values.short(text)) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (11476750, "11.5ms"),
        (999999999, "1s"),
        (1500000000, "1.5s"),
        (200000000, "200ms"),
        (90 * 10**9, "90s"),
        (1234000000, "1.234s"),
        (123456, "123us"),
        (999, "999ns"),
        (0, "0s"),
    ],
)
def test_times_for_people_are_short(nanoseconds: int, text: str) -> None:
    assert values.duration_text(nanoseconds) == text


def test_times_that_are_read_back_are_exact() -> None:
    assert values.exact_duration_text(11476750) == "11476750ns"
    delay = values.delay("11476750ns..1.5s")
    assert values.delay(values.delay_text(delay)) == delay
