"""Strips the reasoning and the control tokens that usual families of models write around their answers."""

import re

_NAME = (
    r"(?:begin_of_|start_|seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|inner_?monologue|"
    r"deliberation|plan(?:ning)?|details)"
)
_OPEN = rf"(?:<\|?{_NAME}\|?>|<\|inner_prefix\|>|\[{_NAME}\]|◁think▷|^[ \t]*Thinking\.\.\.$)"
_CLOSE = (
    r"(?:</\|?(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|inner_?monologue|"
    r"deliberation|plan(?:ning)?|details)\|?>|<\|?(?:end_of_|end_)(?:think(?:ing)?|thoughts?)\|?>|<\|/think\|>|"
    rf"<\|inner_suffix\|>|\[/{_NAME}\]|◁/think▷|^\.\.\.done thinking\.$)"
)
_BLOCK = re.compile(rf"{_OPEN}.*?{_CLOSE}", re.IGNORECASE | re.DOTALL | re.MULTILINE)
_OPENING, _CLOSING = (re.compile(mark, re.IGNORECASE | re.MULTILINE) for mark in (_OPEN, _CLOSE))
_CHANNEL = re.compile(r"<\|?channel\|?>")
_FINAL = re.compile(
    r"<\|?channel\|?>\s*final\b.{0,200}?<\|message\|>|^\s*analysis.*?assistant\s*final(?=\W|[A-Z])|"
    r"^\s*(?i:here is my thought process:.*?here is my response:)",
    re.DOTALL,
)
_BARE_CHANNEL = re.compile(r"^\s*(?:analysis(?=[A-Z])|assistant\s*analysis)")
_SOLUTION = re.compile(r"<\|?(?:begin_of_solution|start_response)\|?>|<\|?(?:end_of_solution|end_response)\|?>", re.IGNORECASE)
_BEFORE = re.compile(
    r"\[INST\].*?\[/INST\]|<s>|<bos>|<\|im_start\|>\s*(?:assistant)?|<start_of_turn>\s*(?:model)?|"
    r"<\|start\|>\s*(?:assistant)?|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|^\s*thought for [^\n]{1,40}\n",
    re.DOTALL | re.IGNORECASE,
)
_TOKEN = re.compile(
    r"<[|｜][^<>\n]{1,40}[|｜]>|\[\|[^][\n]{1,40}\|\]|</?(?:s|eos|pad|end|im_end|eot_id|end_of_turn|endoftext|end_of_text)>|"
    r"\[/?INST\]|\[e~\["
)
LONGEST_ANSWER = 20_000  # characters that are looked at, besides the reasoning
UNFINISHED = "the model was still reasoning when it stopped; raise max_tokens, or set reasoning_effort=low"


class NoCaption(Exception):
    """An answer without a caption; the message says why, without a full stop."""


def without_reasoning(answer: str) -> str:
    """Returns the answer alone, up to the control token that ends it.

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
    if closings := list(_CLOSING.finditer(answer)):
        whole = closings[-1].end()
        answer = _BLOCK.sub("", answer[:whole]) + answer[whole:]
    if closings := list(_CLOSING.finditer(answer)):  # the opening was part of the prompt
        answer = answer[closings[-1].end() :]
    if _OPENING.search(answer):
        raise NoCaption(UNFINISHED)
    return _first_turn(_SOLUTION.sub("", answer)[:LONGEST_ANSWER])


def _first_turn(answer: str) -> str:
    """Selects the text before the control token, of any family of models, that ends the turn."""
    turns = _TOKEN.split(_BEFORE.sub("", answer))
    return next((turn for turn in turns if turn.strip()), "")
