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
    conversation.learn([Message("user", "x" * 4000)], 2008)
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


def prompts(conversation: Conversation) -> list[str]:
    return [exchange.prompt for exchange in conversation.along]


def test_the_turn_that_was_asked_last_can_be_taken_back_once() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("a", "A")
    conversation.add("b", "B")
    conversation.take_back()
    assert prompts(conversation) == ["a"]
    conversation.take_back()
    assert prompts(conversation) == ["a"]
    Conversation().take_back()


def test_a_turn_that_was_not_taken_in_cannot_be_taken_back_even_if_it_asked_the_same() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("go on", "A")
    conversation.set_aside("go on", "")
    conversation.take_back()
    assert prompts(conversation) == ["go on"]
    conversation.stateful = False
    conversation.add("go on", "B")
    conversation.take_back()
    conversation.stateful = True
    assert prompts(conversation) == ["go on"]


def test_the_last_turn_is_undone_also_when_it_was_set_aside() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("a", "A")
    conversation.set_aside("b", "half")
    assert conversation.undo() == ("b", "half")
    assert conversation.aside is None
    assert conversation.undo() == ("a", "A")


def test_a_stateless_chat_leaves_nothing_out() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("a", "A" * 1000)
    conversation.stateful = False
    assert conversation.fit("now", None, 1) == []
    assert conversation.leave_out_half() == []
    conversation.stateful = True
    assert prompts(conversation) == ["a"]


def test_a_shorter_request_has_room_for_more_turns_again() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("a", "A" * 400)
    assert [one.prompt for one in conversation.fit("x" * 4000, None, 500)] == ["a"]
    assert conversation.left_out == [("a", "A" * 400)]
    assert conversation.fit("x" * 4000, None, 500) == [], "told once"
    assert conversation.fit("short", None, 500) == []
    assert prompts(conversation) == ["a"]


def test_what_a_server_had_no_room_for_stays_out_until_that_did_not_help() -> None:
    conversation = Conversation(stateful=True)
    for name in "abc":
        conversation.add(name, name)
    assert [one.prompt for one in conversation.leave_out_half()] == ["a", "b"]
    assert conversation.fit("now", None, 10_000) == []
    assert prompts(conversation) == ["c"]
    assert [one.prompt for one in conversation.leave_out_half()] == ["c"]
    assert conversation.leave_out_half() == []
    assert conversation.take_in_again() == 3
    assert prompts(conversation) == ["a", "b", "c"]
    assert conversation.take_in_again() == 0


def test_forgotten_turns_are_not_counted_as_left_out() -> None:
    conversation = Conversation(stateful=True)
    for name in "ab":
        conversation.add(name, name)
    conversation.leave_out_half()
    conversation.clear()
    conversation.add("c", "c")
    assert prompts(conversation) == ["c"]


def test_the_frame_of_a_short_request_multiplies_nothing() -> None:
    conversation = Conversation(stateful=True)
    conversation.add("hi", "hello")
    conversation.learn([Message("user", "hi")], 40)
    assert conversation.fit("x" * 5000, None, 6000) == []
    # A long one tells how long the tokens are.
    conversation.learn([Message("user", "x" * 4000)], 4000)
    assert [one.prompt for one in conversation.fit("x" * 5000, None, 4000)] == ["hi"]
