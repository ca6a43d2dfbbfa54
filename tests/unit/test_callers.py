"""Who may call and do what: the decision as a table, and the file that it is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb
from gateway.errors import CallerNotAllowed, CallerUnknown, ConfigurationError
from gateway.rpc.callers import ADMIN, READS, WRITES, Names, Policy, Rights, Shown, digest
from gateway.rpc.callers_file import read_policy

TOKEN = b"token-that-nothing-may-show"
BILLING = Rights("billing", WRITES, Names.of(["orders", "eu-*"]), Names.of(["billing"]))
AUDIT = Rights("audit", frozenset({"GetCheckpoint"}), Names.of(["*"]), Names.of(["*"]))
POLICY = Policy(
    {digest(TOKEN): BILLING}, {b"spiffe://example.org/billing": BILLING, b"audit.example.org": AUDIT, b"audit": AUDIT}
)
KNOWN = """
[[caller]]
name = "billing"
token_sha256 = ["{digest}"]
identities = ["spiffe://example.org/billing"]
streams = ["orders", "eu-*"]
apps = ["billing"]
access = "write"
"""


@pytest.mark.parametrize(
    ("shown", "caller"),
    [
        (Shown(digest(TOKEN)), "billing"),
        (Shown(digest(TOKEN), (b"audit",)), "billing"),
        (Shown(identities=(b"spiffe://example.org/billing",)), "billing"),
        (Shown(identities=(b"spiffe://example.org/other", b"audit.example.org")), "audit"),
        (Shown(identities=(b"spiffe://example.org/billing", b"audit")), "billing"),
        (Shown(digest(b"other")), None),
        (Shown(digest(b"other"), (b"audit",)), None),  # a wrong token is not made good by a certificate
        (Shown(identities=(b"spiffe://example.org/billing/", b"Audit", b"")), None),
        (Shown(TOKEN), None),  # the token in the place of its digest
        (Shown(), None),
        (Shown(unix=True), None),
    ],
)
def test_a_caller_is_known_by_its_token_or_by_an_exact_name_of_its_certificate(
    shown: Shown, caller: str | None
) -> None:
    if caller is not None:
        assert POLICY.rights(shown).name == caller
        return
    with pytest.raises(CallerUnknown) as caught:
        POLICY.rights(shown)
    assert TOKEN.decode() not in caught.value.message


def test_who_shows_nothing_on_a_unix_socket_may_be_a_caller_too() -> None:
    policy = Policy(POLICY.tokens, POLICY.identities, AUDIT)
    assert policy.rights(Shown(unix=True)) is AUDIT
    assert policy.rights(Shown(digest(TOKEN), unix=True)) is BILLING
    for shown in (Shown(), Shown(digest(b"other"), unix=True)):
        with pytest.raises(CallerUnknown):
            policy.rights(shown)


@pytest.mark.parametrize(
    ("stream", "app", "refused"),
    [
        ("orders", "billing", {}),
        ("eu-1", "billing", {}),
        ("eu-", "billing", {}),
        ("orders2", "billing", {"stream": "orders2"}),
        ("order", "billing", {"stream": "order"}),
        ("us-eu-1", "billing", {"stream": "us-eu-1"}),
        ("Orders", "billing", {"stream": "Orders"}),
        ("orders", "audit", {"app": "audit"}),
        ("others", "audit", {"stream": "others"}),
    ],
)
def test_streams_and_apps_are_exact_names_or_beginnings(stream: str, app: str, refused: dict[str, str]) -> None:
    if not refused:
        BILLING.require(stream, app)
        return
    with pytest.raises(CallerNotAllowed) as caught:
        BILLING.require(stream, app)
    assert caught.value.metadata == {"caller": "billing", **refused}


def file_of(directory: Path, text: str) -> Path:
    file = directory / "callers.toml"
    file.write_text(text.replace("{digest}", digest(TOKEN).hex()))
    return file


def rights(directory: Path, *lines: str) -> Rights:
    text = '[[caller]]\nname = "x"\ntoken_sha256 = ["{digest}"]\nstreams = ["*"]\napps = ["*"]\n' + "\n".join(lines)
    return read_policy(file_of(directory, text), checks_unix=False).rights(Shown(digest(TOKEN)))


@pytest.mark.parametrize("access", ["read", "write", "admin"])
def test_each_level_of_access_holds_the_one_below(tmp_path: Path, access: str) -> None:
    allowed = rights(tmp_path, f'access = "{access}"').rpcs
    assert "GetCheckpoint" in allowed
    assert ("CommitCheckpoint" in allowed) == (access != "read")
    assert ("DeleteCheckpoint" in allowed) == (access != "read")
    assert ("DeleteAppCheckpoints" in allowed) == (access == "admin")


def test_every_method_of_the_services_is_in_a_level() -> None:
    services = pb.DESCRIPTOR.services_by_name.values()
    assert {method.name for service in services for method in service.methods} == ADMIN
    reading = {"GetCheckpoint", "BatchGetCheckpoints", "ListCheckpoints", "WatchCheckpoints"}
    assert {name for name in ADMIN if not any(word in name for word in ("Commit", "Delete"))} == reading


def test_methods_can_be_named_alone_or_beyond_a_level(tmp_path: Path) -> None:
    assert rights(tmp_path, 'rpcs = ["GetCheckpoint"]').rpcs == {"GetCheckpoint"}
    both = rights(tmp_path, 'access = "read"', 'rpcs = ["CommitCheckpoint"]')
    both.require_rpc("ListCheckpoints")
    both.require_rpc("CommitCheckpoint")
    with pytest.raises(CallerNotAllowed) as caught:
        both.require_rpc("DeleteCheckpoint")
    assert caught.value.metadata == {"caller": "x", "rpc": "DeleteCheckpoint"}


def test_a_file_is_read_with_every_way_to_know_a_caller(tmp_path: Path) -> None:
    policy = read_policy(file_of(tmp_path, KNOWN), checks_unix=False)
    assert policy.rights(Shown(digest(TOKEN))) == BILLING
    assert policy.rights(Shown(identities=(b"spiffe://example.org/billing",))) == BILLING


ONE = '[[caller]]\nname = "x"\nstreams = ["*"]\napps = ["*"]\naccess = "read"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Object missing required field `caller`"),
        ("caller = []\n", "has no [[caller]]"),
        ("[[caller]\n", "is not TOML"),
        (KNOWN + "acess = 'read'\n", "unknown field `acess`"),
        (KNOWN + "[server]\n", "unknown field `server`"),
        (KNOWN.replace('"write"', '"all"'), "Invalid enum value 'all'"),
        (KNOWN.replace('["billing"]', '"billing"'), "Expected `array`"),
        (KNOWN.replace('streams = ["orders", "eu-*"]', ""), "missing required field `streams`"),
        (KNOWN.replace('["billing"]', "[]"), "apps is empty"),
        (KNOWN.replace('"eu-*"', '"e*u"'), "streams has 'e*u'"),
        (KNOWN.replace('"eu-*"', '""'), "streams has ''"),
        (KNOWN.replace('access = "write"', ""), "it may do nothing"),
        (KNOWN.replace('access = "write"', 'rpcs = ["Get"]'), "rpcs has 'Get'"),
        (KNOWN.replace("{digest}", TOKEN.decode()), "64 hex digits"),
        (KNOWN.replace('name = "billing"', 'name = " "'), "name is empty"),
        (KNOWN + KNOWN, "another caller has this name"),
        (KNOWN + KNOWN.replace('name = "billing"', 'name = "b"'), "a digest that is there already"),
        (KNOWN + ONE + 'identities = ["spiffe://example.org/billing"]\n', "is there already"),
        (ONE, "nothing tells who it is"),
        (ONE + 'identities = [""]\n', "identities has an empty one"),
        (ONE + "unix = true\n", "unix has no effect"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name_and_shows_no_token(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_policy(file_of(tmp_path, text), checks_unix=False)
    assert caught.value.key == "callers.file"
    assert str(tmp_path / "callers.toml") in caught.value.problem
    assert words in caught.value.problem
    for secret in (TOKEN.decode(), digest(TOKEN).hex()):
        assert secret not in str(caught.value)


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    lines = page.partition("    [[caller]]")[2].partition("\n|")[0]
    policy = read_policy(file_of(tmp_path, "[[caller]]" + lines), checks_unix=False)
    reports = policy.rights(Shown(identities=(b"spiffe://example.org/ns/shop/sa/reports",)))
    assert (reports.name, reports.rpcs) == ("reports", READS)
    assert {one.name for one in policy.tokens.values()} == {"billing", "resetter"}


def test_one_caller_may_be_who_comes_by_the_unix_socket(tmp_path: Path) -> None:
    policy = read_policy(file_of(tmp_path, ONE + "unix = true\n"), checks_unix=True)
    assert policy.rights(Shown(unix=True)).name == "x"
    second = ONE.replace('"x"', '"y"') + "unix = true\n"
    with pytest.raises(ConfigurationError, match="unix is true for 'x' already"):
        read_policy(file_of(tmp_path, ONE + "unix = true\n" + second), checks_unix=True)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_policy(tmp_path / "none.toml", checks_unix=False)
    (tmp_path / "callers.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_policy(tmp_path / "callers.toml", checks_unix=False)


def test_nothing_that_describes_a_policy_shows_a_digest() -> None:
    assert digest(TOKEN).hex() not in repr(POLICY) + repr(Shown(digest(TOKEN)))
    assert repr(digest(TOKEN)) not in repr(POLICY) + repr(Shown(digest(TOKEN)))
