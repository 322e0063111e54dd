"""ftpsd.yaml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftpsd.config.model import Config
from ftpsd.config.reading import load_config
from ftpsd.config.units import PortRange
from tests.unit.config.samples import FOLDER, config, config_complaints


def test_an_empty_file_has_every_default() -> None:
    """A file without keys is a good configuration."""
    assert config("").limits.idle_timeout == 600


@pytest.mark.parametrize(
    "name", ["tls", "passive", "active", "limits", "penalties", "uploads", "audit", "log", "workers"]
)
def test_an_empty_section_has_its_defaults(name: str) -> None:
    """A section whose keys are all commented out is as good as absent."""
    assert config(f"{name}:\n  # nothing\n") == config("")


def test_metrics_null_is_off() -> None:
    """null turns the metrics off."""
    assert config("metrics: null").metrics is None


def test_paths_start_at_the_folder_of_the_file() -> None:
    """Defaults and relative paths are resolved, absolute paths stay."""
    found = config("tls: {private_key: /k.pem}\naudit: {log: a.log}")
    assert [found.tls.certificate, found.tls.private_key, found.users, found.audit.log] == [
        FOLDER / "tls/fullchain.pem",
        Path("/k.pem"),
        FOLDER / "users.yaml",
        FOLDER / "a.log",
    ]


def test_a_relative_file_name_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that changes its directory still finds its files."""
    (tmp_path / "f.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("f.yaml")).users == tmp_path / "users.yaml"


def test_values_are_ready_to_use() -> None:
    """Durations are seconds, rates bytes a second, modes bits, ports a range."""
    found = config(
        'limits: {idle_timeout: 1h, download_rate: 1MiB/s}\nuploads: {umask: "027"}\npassive: {ports: 4000-4001}'
    )
    assert found.limits.idle_timeout == 3600
    assert found.limits.download_rate == 2**20
    assert found.limits.upload_rate is None
    assert found.uploads.umask == 0o027
    assert found.passive.ports == PortRange(4000, 4001)


def test_a_configuration_is_frozen() -> None:
    """A session keeps the configuration it was born with, so nobody may change it."""
    with pytest.raises(ValueError, match="frozen"):
        config("").banner = "x"


def test_equal_files_give_equal_configurations() -> None:
    """Comments make no difference between two readings."""
    assert config("banner: hello") == config("# hi\nbanner: hello")


def test_everything_wrong_is_told_at_once() -> None:
    """One reading tells every error, in the order of the file, each at its place."""
    assert config_complaints(
        "listeners:\n"
        "  - {mode: explicit, port: 3000}\n"
        "  - {mode: implict, port: 990}\n"
        "passive:\n"
        "  ports: 50000-40000\n"
        "limits:\n"
        "  idle_timout: 10m\n"
        "  login_timeout: 21:21\n"
        "uploads: {durable: no, umask: 0640}\n"
    ) == [
        "ftpsd.yaml:3:12: listeners[1].mode: implict is not known here; did you mean implicit? "
        "Known are explicit or implicit",
        "ftpsd.yaml:5:10: passive.ports: 50000-40000 runs backwards",
        "ftpsd.yaml:7:3: limits.idle_timout: not a key of limits; did you mean idle_timeout?",
        "ftpsd.yaml:8:18: limits.login_timeout: 21:21 is not a duration; write one as 60s, 10m, 24h or 1d",
        "ftpsd.yaml:9:20: uploads.durable: must be true or false, not no",
        'ftpsd.yaml:9:31: uploads.umask: a mode must be written in quotes, as in "077"',
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "idle_timeout: 5m",
            "ftpsd.yaml:1:1: idle_timeout: not a key of ftpsd.yaml; did you mean limits.idle_timeout?",
        ),
        ("limits: {banner: x}", "ftpsd.yaml:1:10: limits.banner: not a key of limits; did you mean banner at the top"),
        ("log: {colour: x}", "ftpsd.yaml:1:7: log.colour: not a key of log; its keys are level"),
        ("log: {Level: info}", "ftpsd.yaml:1:7: log.Level: not a key of log; did you mean level?"),
        ("xyzzy: {}", "ftpsd.yaml:1:1: xyzzy: not a key of ftpsd.yaml; its keys are listeners,"),
        ("tls: {xyzzy: true}", "ftpsd.yaml:1:7: tls.xyzzy: not a key of tls; its keys are certificate,"),
        ("- a", "ftpsd.yaml:1:1: must be a section with keys of its own, not a list"),
        ("limits: 5", "ftpsd.yaml:1:9: limits: must be a section with keys of its own, not 5"),
        ("listeners: []", "ftpsd.yaml:1:12: listeners: must not be empty; name at least one"),
        (
            "listeners: [{port: 1}]",
            "ftpsd.yaml:1:13: listeners[0].mode: missing; add mode: to listeners[0], which is explicit or implicit",
        ),
        ("listeners: [{mode: explicit}]", "ftpsd.yaml:1:13: listeners[0]: a listener needs a port, or the socket"),
        (
            "listeners: [{mode: explicit, socket: a, port: 5}]",
            "ftpsd.yaml:1:13: listeners[0]: the socket brings its port and address from systemd; remove them here",
        ),
        (
            "listeners: [{mode: explicit, prt: 5}]",
            "ftpsd.yaml:1:30: listeners[0].prt: not a key of listeners[0]; did you",
        ),
        (
            "listeners: [{mode: explicit, port: 70000}]",
            "ftpsd.yaml:1:36: listeners[0].port: 70000 is too large; the most",
        ),
        (
            "listeners: [{mode: explicit, port: '21'}]",
            "ftpsd.yaml:1:36: listeners[0].port: must be a whole number, not 21",
        ),
        (
            "listeners: [{mode: explicit, port: 21, address: localhost}]",
            "ftpsd.yaml:1:49: listeners[0].address: localhost is not an IP address",
        ),
        ("tls: {minimum_version: 1.1}", "ftpsd.yaml:1:24: tls.minimum_version: 1.1 is not a supported TLS version"),
        ("tls: {require: no}", "ftpsd.yaml:1:16: tls.require: no is not known here; did you mean none?"),
        ("tls: {certificate: null}", "ftpsd.yaml:1:20: tls.certificate: nothing is not a path"),
        ("passive: {public_address: '::1'}", "ftpsd.yaml:1:27: passive.public_address: ::1 cannot be announced"),
        ("passive: {public_address: 1.2.3}", "ftpsd.yaml:1:27: passive.public_address: 1.2.3 is neither"),
        (
            "passive: {public_address_for: [{networks: [10.0.0.1/8], address: a}]}",
            "ftpsd.yaml:1:44: passive.public_address_for[0].networks[0]: 10.0.0.1/8 has bits beyond its prefix; "
            "did you mean 10.0.0.0/8?",
        ),
        ("limits: {connections: 0}", "ftpsd.yaml:1:23: limits.connections: 0 is too small; the least is 1"),
        ("limits: {idle_timeout: 0}", "ftpsd.yaml:1:24: limits.idle_timeout: must be longer than 0 seconds"),
        ("limits: {upload_rate: null}", "ftpsd.yaml:1:23: limits.upload_rate: must be a rate such as 10MiB/s"),
        ('banner: "a\\nb"', "ftpsd.yaml:1:9: banner: must be one line without control characters"),
        ("banner: 5", "ftpsd.yaml:1:9: banner: must be text, not 5"),
        ("workers: {transfer: many}", "ftpsd.yaml:1:21: workers.transfer: many is not a number of threads"),
        ("users: [a]", "ftpsd.yaml:1:8: users: a list is not a path"),
        ("audit: {log: &a stdout}", "ftpsd.yaml:1:14: audit.log: anchors (&a) are not supported; remove it"),
        ("metrics: *a", "ftpsd.yaml:1:10: metrics: aliases (*a) are not supported; write the value out"),
    ],
)
def test_one_mistake_is_one_sentence(text: str, complaint: str) -> None:
    """Each mistake is told once, at its place, with what to do."""
    (line,) = config_complaints(text)
    assert line.startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "listeners: [{mode: explicit, port: 3005}]",
            "ftpsd.yaml:1:36: listeners[0].port: 3005 lies in passive.ports 3000-3050; move one of the two",
        ),
        (
            "metrics: {port: 3005}",
            "ftpsd.yaml:1:17: metrics.port: 3005 lies in passive.ports 3000-3050; move one of the two",
        ),
        (
            "listeners: [{mode: explicit, port: 21}, {mode: implicit, port: 21, address: 127.0.0.1}]",
            "ftpsd.yaml:1:64: listeners[1].port: 21 is taken by listeners[0] already; "
            "remove one of the two or change its port",
        ),
        (
            "listeners: [{mode: explicit, socket: a}, {mode: implicit, socket: a}]",
            "ftpsd.yaml:1:67: listeners[1].socket: the socket a is used by listeners[0] already; remove one of the two",
        ),
        ("metrics: {port: 990}", "ftpsd.yaml:1:17: metrics.port: 990 is taken by listeners[1]; choose another port"),
    ],
)
def test_ports_that_clash_are_told(text: str, complaint: str) -> None:
    """No two parts may claim one port."""
    assert config_complaints(text) == [complaint]


@pytest.mark.parametrize(
    "text",
    [
        "listeners: [{mode: explicit, port: 0}, {mode: implicit, port: 0}]",
        "listeners: [{mode: explicit, port: 21, address: 127.0.0.1}, {mode: implicit, port: 21, address: '::1'}]",
        "listeners: [{mode: explicit, port: 21, address: 0.0.0.0}, {mode: implicit, port: 21, address: '::1'}]",
        "listeners: [{mode: explicit, socket: a}, {mode: implicit, socket: b}]",
        "listeners: [{mode: explicit, port: 9121, address: 192.0.2.1}]",
    ],
)
def test_ports_that_only_look_alike_are_fine(text: str) -> None:
    """Port 0 is any port, and two addresses have their own ports."""
    config(text)


def test_clashes_are_told_beside_other_errors() -> None:
    """A wrong section elsewhere does not hide that two listeners share a port."""
    lines = config_complaints("listeners: [{mode: explicit, port: 21}, {mode: implicit, port: 21}]\nlimits: {x: 1}")
    assert len(lines) == 2


def test_the_file_is_named_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complaint names the file by the name the caller used."""
    (tmp_path / "f.yaml").write_text("x: 1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=r"\Af\.yaml:1:1: x: "):
        load_config(Path("f.yaml"))


def test_a_complaint_is_placed_afterwards() -> None:
    """A mistake that turns out later is still told at the key of the file."""
    assert str(config("users: u.yaml").complaint(("users",), "why")) == "ftpsd.yaml:1:8: users: why"


def test_a_configuration_can_be_made_without_a_file() -> None:
    """A configuration from nothing has the defaults, and its complaints no place."""
    assert str(Config().complaint(("tls", "certificate"), "why")) == ": tls.certificate: why"


def test_a_listener_behind_a_proxy() -> None:
    """Networks and single addresses, of either family."""
    found = config("listeners: [{mode: explicit, port: 21, proxy_protocol: {trusted: [10.0.0.0/8, 2001:db8::1]}}]")
    proxies = found.listeners[0].proxy_protocol
    assert proxies is not None
    assert [str(network) for network in proxies.trusted] == ["10.0.0.0/8", "2001:db8::1/128"]


@pytest.mark.parametrize(
    ("trusted", "why"),
    [
        ("[0.0.0.0/0]", "0.0.0.0/0 is everybody, who could then claim any address; name the proxies alone"),
        ('["::/0"]', "::/0 is everybody, who could then claim any address; name the proxies alone"),
        ("[]", "must not be empty; name at least one"),
        ("[proxy]", "proxy is not a network; write one such as 10.0.0.0/8 or 192.0.2.7"),
    ],
)
def test_proxies_that_cannot_be_trusted(trusted: str, why: str) -> None:
    """The sentence says what to do, at the key, in both places."""
    assert any(why in line for line in config_complaints(f"passive: {{proxy_protocol: {{trusted: {trusted}}}}}"))
    listener = f"{{mode: explicit, port: 21, proxy_protocol: {{trusted: {trusted}}}}}"
    assert any(why in line for line in config_complaints(f"listeners: [{listener}]"))


def test_a_listener_behind_a_proxy_needs_a_port_too() -> None:
    """The complaint about a missing place is made with the new key as without."""
    text = "listeners: [{mode: explicit, proxy_protocol: {trusted: [10.0.0.1]}}]"
    assert any("a listener needs a port" in line for line in config_complaints(text))


@pytest.mark.parametrize("require", ["control", "control-and-data"])
def test_ccc_contradicts_a_policy_that_asks_for_tls(require: str) -> None:
    """It would be a key that does nothing."""
    assert config_complaints(f"tls: {{require: {require}, allow_ccc: true}}") == [
        f"ftpsd.yaml:1:{29 + len(require)}: tls.allow_ccc: does not go with tls.require: {require}; "
        "set that to none, or remove this"
    ]


def test_ccc_can_be_allowed() -> None:
    """Where plain FTP is."""
    assert config("tls: {require: none, allow_ccc: true}").tls.allow_ccc
    assert not config("").tls.allow_ccc
