"""A model's control strings, made harmless in text: who writes ``<|im_end|>`` must not end a turn.

A tokenizer turns certain strings into control tokens wherever they stand, in a user's text too. Here each
is broken by a blank, ``<|im_end |>``: for people it reads the same, for the tokenizer it is ordinary text,
and nothing that is done to texts later (trimming, Unicode's normal forms) joins it again.

Which strings these are the model says (``runners/control_tokens.py``); ``FAMILIES`` are those of the
families that most open models come from, for models that say nothing.
"""

import re
import unicodedata
from collections.abc import Iterable

BREAKS = (" ", "\u2009", "\u2005", "\u00b7")
"""What breaks a string: the first that is in none of them, so that breaking one never makes another."""
BOUNDARY_BREAK = "\u00b7"
"""Where a string is spread over texts in pieces of one character: trimming must not take it."""
CHARACTERS_MAX = 256
LOOKED_AT_MAX = 64
"""Beginnings of which the second character is looked at in a body; with more, its texts are looked at."""
STRINGS_MAX = 4096

_PIPED = (
    # ChatML, Qwen, Phi, Llama 3 and 4, GPT-OSS, GLM, Granite, Command, Falcon, InternLM, Yi, StarCoder.
    "im_start im_end im_sep endoftext startoftext begin_of_text end_of_text start_header_id end_header_id "
    "eot_id eom_id python_tag finetune_right_pad_id reserved_special_token_0 header_start header_end eot eom "
    "step image image_start image_end image_pad patch tile_x_separator user assistant system tool developer "
    "observation end start channel message return call constrain startofprompt endofprompt fim_prefix "
    "fim_middle fim_suffix fim_pad repo_name file_sep vision_start vision_end vision_pad video_pad quad_start "
    "quad_end object_ref_start object_ref_end box_start box_end start_of_role end_of_role tool_call "
    "START_OF_TURN_TOKEN END_OF_TURN_TOKEN SYSTEM_TOKEN USER_TOKEN CHATBOT_TOKEN START_TEXT END_TEXT "
    "START_RESPONSE END_RESPONSE START_ACTION END_ACTION START_TOOL_RESULT END_TOOL_RESULT START_THINKING "
    "END_THINKING action_start action_end interpreter plugin placeholder1 endofchunk audio_start audio_end "
    "bos eos pad unk sep msg_start msg_end turn_start turn_end begin_of_image end_of_image assistant_end "
    "assistant_start user_end user_start system_start system_end"
)
_BARRED = (
    "begin▁of▁sentence end▁of▁sentence User Assistant tool▁calls▁begin tool▁call▁begin tool▁call▁end "
    "tool▁calls▁end tool▁outputs▁begin tool▁output▁begin tool▁output▁end tool▁outputs▁end tool▁sep "
    "fim▁begin fim▁hole fim▁end"
)
FAMILIES: tuple[str, ...] = (
    *(f"<|{name}|>" for name in _PIPED.split()),
    *(f"<｜{name}｜>" for name in _BARRED.split()),
    # Llama 2, Mistral and their kin.
    *("<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    *("[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"),
    *("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[BEGIN_AUDIO]"),
    # Gemma, GLM, Qwen, SmolLM, MiniMax, and what multimodal runners put in a picture's place.
    *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>"),
    *("[gMASK]", "<sop>", "<eop>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<think>", "</think>", "]~b]", "]~!b[", "[e~[", "<__media__>"),
)  # fmt: skip

_LITERAL = re.compile(
    # What looks like a mark in a chat template, whether the vocabulary has it or not.
    r"<\|[^\s|<>'\"]{1,64}\|>|<｜[^\s｜<>'\"]{1,64}｜>|\[/?[A-Z][A-Z_]{2,40}\]|<</?[A-Z]{2,20}>>"
    r"|</?[a-z]{2,20}_[a-z_]{2,40}>|</?think(?:ing)?>|</?s>|<[be]os>"
)
_DIGITS = re.compile(r"[0-9]+")
_WIDE = re.compile("[\ufe10-\ufe6f\uff01-\uff5e]")


def literals(template: str) -> list[str]:
    """The marks in a chat template's own text, each once, in its order."""
    return list(dict.fromkeys(_LITERAL.findall(template)))


def without_numbers(strings: Iterable[str]) -> list[str]:
    """One of each family: ``<unused7>`` and its six thousand kin are ``<unused0>``.

    A string's digits stand for any digits (see ``ControlStrings``), so that nothing is lost.
    """
    return list(dict.fromkeys(_DIGITS.sub("0", one) if _is_marked(one) else one for one in strings))


def _is_marked(one: str) -> bool:
    return not one.replace("_", "").isalnum()


class ControlStrings:
    """Finds and breaks the control strings of one model. Letters match in any case, digits any digits.

    Args:
        strings: as they stand in the vocabulary or the template; blanks alone are left out, and so is what
            is longer than ``CHARACTERS_MAX``.
    """

    __slots__ = (
        "_pattern",
        "_seconds",
        "_wide",
        "beginnings",
        "characters_max",
        "sign",
        "strings",
    )

    def __init__(self, strings: Iterable[str]) -> None:
        kept = without_numbers(s for s in strings if s.strip() and 1 < len(s) <= CHARACTERS_MAX)
        self.strings = tuple(kept[:STRINGS_MAX])
        self.characters_max = max(map(len, self.strings), default=0) + 32  # digits may be more
        self.sign = next(sign for sign in BREAKS if not any(sign in one for one in self.strings))
        self._pattern = re.compile(_pattern_of(self.strings), re.IGNORECASE)
        firsts = {case for one in self.strings for case in (one[0].lower(), one[0].upper())}
        self.beginnings = tuple(sorted(firsts))
        self._seconds = {
            ord(first): _seconds(first, self.strings) for first in firsts if first.isascii()
        }
        self._wide = tuple(
            chr(code)
            for code in (*range(0xFE10, 0xFE70), *range(0xFF01, 0xFF5F))
            if unicodedata.normalize("NFKC", chr(code)) in firsts
        )

    def are_absent(self, body: bytes) -> bool:
        """Whether no text of a JSON body, nor two texts together, can hold one; by fast searches alone.

        Args:
            body: well-formed JSON of which ``sanitise.needs_no_look`` holds (so it has no ``\\u``).
        """
        for first, seconds in self._seconds.items():
            at = body.find(first)
            for _ in range(LOOKED_AT_MAX):
                if at < 0:
                    break
                if at + 1 < len(body) and body[at + 1] in seconds:
                    return False
                at = body.find(first, at + 1)
            else:
                return False
        return b"\\/" not in body

    def may_be_in(self, text: str) -> bool:
        """Whether the text holds a character that one begins with."""
        for first in self.beginnings:
            if first in text:
                return True
        return not text.isascii() and any(wide in text for wide in self._wide)

    def is_in(self, text: str) -> bool:
        """Whether the text holds one."""
        return self._pattern.search(text) is not None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where they stand, without overlaps."""
        return [found.span() for found in self._pattern.finditer(text)]

    def break_in(self, text: str) -> str:
        """The text with each of them broken; the same object where there is none."""
        if not text.isascii() and _WIDE.search(text) is not None:
            # Some tokenizers write full-width signs as plain ones before they look.
            plain = unicodedata.normalize("NFKC", text)
            if self.is_in(plain) and not self.is_in(text):
                text = plain
        while (
            self._pattern.search(text) is not None
        ):  # overlapping ones are found in the next round
            text = self._pattern.sub(self._broken, text)
        return text

    def _broken(self, found: re.Match[str]) -> str:
        one = found[0]
        at = break_at(one)
        return one[:at] + self.sign + one[at:]


def break_at(one: str) -> int:
    """Where a control string is broken: before the signs that close it, so that it reads the same."""
    at = len(one)
    while at > 0 and not one[at - 1].isalnum():
        at -= 1
    return at if 0 < at < len(one) else 1


def _seconds(first: str, strings: Iterable[str]) -> frozenset[int]:
    """The bytes that can follow ``first``; the quote too, since the rest may stand in the next text."""
    seconds = {ord('"')}
    for one in strings:
        if one[0].lower() == first.lower():
            second = "0123456789" if one[1].isdigit() else one[1].lower() + one[1].upper()
            seconds.update(second.encode()[:1] if not second.isascii() else second.encode())
            if one[1] in '"\\\n\r\t':
                seconds.add(ord("\\"))  # as JSON writes it
    return frozenset(seconds)


def _pattern_of(strings: Iterable[str]) -> str:
    """One expression for all of them; what begins alike is looked at once."""
    root: dict[str, object] = {}
    for one in strings:
        node = root
        for piece in re.findall(r"[0-9]+|[^0-9]", one) if _is_marked(one) else one:
            step = "[0-9]+" if piece.isdigit() and _is_marked(one) else re.escape(piece.lower())
            node = node.setdefault(step, {})  # type: ignore[assignment]  # a tree of itself
        node[""] = {}
    return _expression(root) if root else r"(?!)"


def _expression(node: dict[str, object]) -> str:
    # The end of a shorter one comes last: the longest is found.
    choices = [step + _expression(inner) for step, inner in node.items() if step]  # type: ignore[arg-type]
    if "" in node:
        return f"(?:{'|'.join(choices)})?" if choices else ""
    return choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"
