from dataclasses import FrozenInstanceError

import pytest

from streaming_chat.core.conversation import ChatRequest, Conversation, Message


@pytest.mark.parametrize(("system", "roles"), [(None, ["user"]), ("", ["user"]), ("Be brief.", ["system", "user"])])
def test_a_stateless_request_is_the_system_message_and_the_prompt(system: str | None, roles: list[str]) -> None:
    conversation = Conversation()
    conversation.add("Earlier?", "Yes.")
    messages = conversation.next_messages("Now?", system)
    assert [message.role for message in messages] == roles
    assert messages[-1] == Message("user", "Now?")


def test_a_stateful_request_has_the_earlier_turns_in_order() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("One?", "1.")
    conversation.add("Two?", "2.")
    assert conversation.next_messages("Three?", "Count.") == (
        Message("system", "Count."),
        Message("user", "One?"),
        Message("assistant", "1."),
        Message("user", "Two?"),
        Message("assistant", "2."),
        Message("user", "Three?"),
    )


def test_another_system_message_leaves_no_trace_of_the_one_before() -> None:
    conversation = Conversation(stateful=True)
    conversation.next_messages("One?", "Rhyme.")
    conversation.add("One?", "1.")
    assert [message.content for message in conversation.next_messages("Two?", "Count.")] == ["Count.", "One?", "1.", "Two?"]


def test_asking_keeps_nothing_until_the_answer_is_whole() -> None:
    conversation = Conversation(stateful=True)
    conversation.next_messages("Lost?", None)
    assert conversation.next_messages("Kept?", None) == (Message("user", "Kept?"),)


def test_messages_of_an_earlier_request_do_not_change() -> None:
    conversation = Conversation(stateful=True)
    before = conversation.next_messages("One?", None)
    conversation.add("One?", "1.")
    assert before == (Message("user", "One?"),)


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ((Message("user", "One?"), Message("assistant", "1."), Message("user", "Two?")), "Two?"),
        ((Message("system", "Count."), Message("user", "One?"), Message("assistant", "1.")), "One?"),
        ((Message("system", "Count."),), ""),
        ((), ""),
    ],
)
def test_the_prompt_is_what_the_user_said_last(messages: tuple[Message, ...], prompt: str) -> None:
    assert ChatRequest("m", messages).prompt == prompt


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ChatRequest("m", ()).model = "n"  # type: ignore[misc]


def test_only_the_last_turn_can_be_taken_back_and_only_by_its_own_prompt() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("a", "A")
    conversation.add("b", "B")
    conversation.take_back("a")
    assert len(conversation.next_messages("c", None)) == 5
    conversation.take_back("b")
    assert [message.content for message in conversation.next_messages("c", None)] == ["a", "A", "c"]
    Conversation().take_back("a")
