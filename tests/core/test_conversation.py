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


def test_half_an_answer_goes_along_only_when_it_is_kept() -> None:
    conversation = Conversation(stateful=True)
    assert not conversation.set_aside("Nothing?", "")
    assert conversation.set_aside("Half?", "Ha")
    assert len(conversation.next_messages("Next?", None)) == 1
    assert conversation.keep() == ("Half?", "Ha")
    assert [one.content for one in conversation.next_messages("Next?", None)] == ["Half?", "Ha", "Next?"]
    assert conversation.keep() is None


def test_a_whole_answer_takes_the_place_of_one_that_was_set_aside() -> None:
    conversation = Conversation(stateful=True)
    conversation.set_aside("Half?", "Ha")
    conversation.add("Whole?", "Yes.")
    assert conversation.keep() is None


def test_turns_are_forgotten_one_by_one_or_all() -> None:
    conversation = Conversation(stateful=True)
    for number in "123":
        conversation.add(number, number)
    assert conversation.undo() == ("3", "3")
    assert conversation.clear() == 2
    assert conversation.undo() is None


def test_the_oldest_turns_are_left_out_to_fit() -> None:
    conversation = Conversation(stateful=True)
    for number in "123":
        conversation.add(number * 400, "x" * 400)
    assert conversation.fit("now", None, 1000) == []
    assert [one.prompt[0] for one in conversation.fit("now", None, 450)] == ["1"]
    # The model counts twice as many.
    conversation.learn([Message("user", "x" * 400)], 208)
    assert [one.prompt[0] for one in conversation.fit("now", None, 450)] == ["2"]
    assert [one.prompt[0] for one in conversation.fit("now", None, 1)] == ["3"]


def test_an_earlier_conversation_is_gone_on_with() -> None:
    conversation = Conversation(stateful=True)
    conversation.resume(
        [
            Message("system", "S"),
            Message("user", "One?"),
            Message("assistant", "1."),
            Message("user", "Lost?"),
            Message("user", "Two?"),
            Message("assistant", "2."),
            Message("user", "Open?"),
        ]
    )
    assert conversation.exchanges == [("One?", "1."), ("Two?", "2.")]


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
