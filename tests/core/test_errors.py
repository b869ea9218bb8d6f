from __future__ import annotations

from streaming_chat.core.errors import ChatError
from streaming_chat.core.exit_status import ExitStatus


def test_a_fault_of_the_programs_own_is_told_by_its_class_alone() -> None:
    error = ChatError.unexpected(RuntimeError("with a secret in it"))
    assert (error.message, error.exit_status) == ("unexpected: RuntimeError", ExitStatus.UNEXPECTED)
    assert "secret" not in f"{error} {error.hint}"
