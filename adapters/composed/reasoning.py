"""Strips the reasoning that usual families of models write before their answers."""

import re

_NAME = (
    r"(?:begin_of_|start_|seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|inner_?monologue|"
    r"deliberation|plan(?:ning)?|details)"
)
_OPEN = rf"(?:<\|?{_NAME}\|?>|\[{_NAME}\]|◁think▷)"
_CLOSE = (
    r"(?:</\|?(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|inner_?monologue|"
    r"deliberation|plan(?:ning)?|details)\|?>|<\|?(?:end_of_|end_)(?:think(?:ing)?|thoughts?)\|?>|<\|/think\|>|"
    rf"\[/{_NAME}\]|◁/think▷)"
)
_BLOCK = re.compile(rf"{_OPEN}.*?{_CLOSE}", re.IGNORECASE | re.DOTALL)
_OPENING, _CLOSING = re.compile(_OPEN, re.IGNORECASE), re.compile(_CLOSE, re.IGNORECASE)
_CHANNEL = re.compile(r"<\|?channel\|?>")
_FINAL = re.compile(r"<\|?channel\|?>\s*final\b.*?<\|message\|>|^\s*analysis.*?assistant\s*final(?=\W|[A-Z])", re.DOTALL)
_BARE_CHANNEL = re.compile(r"^\s*(?:analysis(?=[A-Z])|assistant\s*analysis)")
_SOLUTION = re.compile(r"<\|?(?:begin_of_solution|start_response)\|?>|<\|?(?:end_of_solution|end_response)\|?>", re.IGNORECASE)
UNFINISHED = "the model was still reasoning when it stopped; raise max_tokens, or set reasoning_effort=low"


class NoCaption(Exception):
    """An answer without a caption; the message says why, without a full stop."""


def without_reasoning(answer: str) -> str:
    """Returns the answer alone.

    Raises:
        NoCaption: unfinished reasoning, so that no answer follows.

    Example:
        >>> without_reasoning("<think>They want red.</think>A red coat"), without_reasoning("so, red.</think>A red coat")
        ('A red coat', 'A red coat')
    """
    if finals := list(_FINAL.finditer(answer)):
        answer = answer[finals[-1].end() :]
    elif channels := list(_CHANNEL.finditer(answer)):  # <|channel>thought ... <channel|>answer
        answer = answer[channels[-1].end() :]
        if len(channels) == 1 or channels[-1].group() != "<channel|>":
            raise NoCaption(UNFINISHED)
    elif _BARE_CHANNEL.match(answer):
        raise NoCaption(UNFINISHED)
    answer = _BLOCK.sub("", answer)
    if closings := list(_CLOSING.finditer(answer)):  # the opening was part of the prompt
        answer = answer[closings[-1].end() :]
    if _OPENING.search(answer):
        raise NoCaption(UNFINISHED)
    return _SOLUTION.sub("", answer)
