"""What the emulator answers, in the shapes of DIS and of the API gateway in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from gateway.dis.error_table import ERRORS_BY_CODE


class Shape(StrEnum):
    """The two bodies of an error that are in use."""

    DIS = "dis"
    APIG = "apig"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class DisError(Exception):
    """Ends a request with an error of DIS. ``detail`` goes where the message of the table has a ``%s``."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


def as_json(status: int, content: Any) -> Answer:
    """A successful answer."""
    return Answer(status, msgspec.json.encode(content))


def error(
    code: str,
    request_id: str,
    *,
    detail: str = "",
    status: int | None = None,
    message: str | None = None,
    shape: Shape | None = None,
    retry_after: str = "",
) -> Answer:
    """An error; what is not given is as the table of errors has it."""
    row = ERRORS_BY_CODE.get(code)
    if message is None:
        message = (row.dis_message.replace("%s", detail) if row else detail).strip()
    if shape is None:
        shape = Shape.APIG if code.startswith("APIGW.") else Shape.DIS
    body = (
        {"error_code": code, "error_msg": message, "request_id": request_id}
        if shape is Shape.APIG
        else {"errorCode": code, "message": message}
    )
    headers = {"Retry-After": retry_after} if retry_after else {}
    return Answer(status or (row.http_status if row else 400), msgspec.json.encode(body), headers)
